"""Files that people attach to their conversations. Someone else's conversation does not exist."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.auth.principal import Principal
from server.chat.sessions import own_session
from server.core.errors import AppError, Conflict, KBNotFound, SessionNotFound
from server.core.i18n import Text
from server.core.pagination import PageParams
from server.core.settings import Settings
from server.db.session import Database
from server.kb.access import check_queue
from server.kb.attachments import Attachments
from server.kb.files import name_key
from server.kb.models import Document, Job, KnowledgeBase
from server.kb.passages import ReadText
from server.kb.service import Content
from server.kb.uploads import Upload


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one file of an upload: its document, or why it was refused."""

    name: str
    document: Document | None = None
    error: AppError | None = None


class SessionFiles:
    """What a person does with the files of a conversation. Every method raises SessionNotFound."""

    def __init__(self, database: Database, attachments: Attachments, settings: Settings) -> None:
        self._database, self._attachments, self._settings = database, attachments, settings

    async def add(self, caller: Principal, session_id: str, uploads: Sequence[Upload]) -> list[Taken]:
        """Take files; the worker reads them. One that is refused does not hold up the others.

        Raises TooManyRequests, EmbeddingUnavailable, and the reason of the first when all are refused.
        """
        kb = await self._open(caller, session_id)
        taken: list[Taken] = []
        for upload in uploads:
            try:
                if any(name_key(one.name) == name_key(upload.name) for one in taken):
                    raise Conflict(
                        Text("同一次上传里有重名文件", "the same name stands twice in this upload")
                    )
                accepted = await self._attachments.add(kb, upload)
            except KBNotFound:
                raise SessionNotFound from None  # deleted meanwhile
            except AppError as error:
                taken.append(Taken(upload.name, error=error))
            else:
                taken.append(Taken(upload.name, accepted.document))
        first = taken[0].error
        if first is not None and all(one.error for one in taken):
            raise first
        return taken

    async def _open(self, caller: Principal, session_id: str) -> KnowledgeBase:
        async with self._database.read() as session:
            await own_session(session, caller, session_id)
            await check_queue(session, caller.client_id, self._settings)
            found = await self._attachments.find(session, session_id)
        if found is not None:
            return found
        draft = await self._attachments.draft(caller, session_id)
        async with self._database.write() as session:
            await own_session(session, caller, session_id, lock=True)
            return await self._attachments.ensure(session, draft)

    async def list_all(self, caller: Principal, session_id: str) -> list[tuple[Document, Job | None]]:
        """The files with the last job of each."""
        await self._check(caller, session_id)
        return await self._attachments.list_all(session_id)

    async def delete(self, caller: Principal, session_id: str, document_id: str) -> None:
        """Raises DocumentNotFound."""
        await self._check(caller, session_id)
        await self._attachments.delete(session_id, document_id)

    async def content(
        self, caller: Principal, session_id: str, document_id: str, *, preview: bool
    ) -> Content:
        """Raises DocumentNotFound."""
        await self._check(caller, session_id)
        return await self._attachments.content(session_id, document_id, preview=preview)

    async def read(
        self, caller: Principal, session_id: str, document_id: str, paging: PageParams, near: int | None
    ) -> ReadText:
        """Raises DocumentNotFound."""
        await self._check(caller, session_id)
        return await self._attachments.read(session_id, document_id, paging, near)

    async def _check(self, caller: Principal, session_id: str) -> None:
        async with self._database.read() as session:
            await own_session(session, caller, session_id)
