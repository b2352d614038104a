"""Files of one conversation: a hidden knowledge base that is found by the conversation's id and by nothing else.

Whose a conversation is, whoever calls has made sure of; and it holds the conversation's row locked when it makes the
knowledge base or deletes it, so that neither is left without the other.
"""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import DocumentNotFound
from server.core.pagination import PageParams
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import attachment_repository, document_repository, repository
from server.kb.files import FileStore
from server.kb.models import Document, DocumentState, Job, KnowledgeBase
from server.kb.passages import ReadText, read_page
from server.kb.service import Content, KBService
from server.kb.uploads import Accepted, Upload

# No knowledge base that somebody makes can be called so: files.check_kb_name.
_NAME = "*{}"


@dataclass(frozen=True, slots=True)
class Attached:
    """What a conversation's files are to a question in it."""

    kb: KnowledgeBase
    # Is there something to be searched?
    is_ready: bool
    # Names of the files that are missing: they are still being read.
    unread: list[str]
    # And of the others.
    read: list[str]

    def without_search(self) -> "Attached":
        """For as long as its embedding model is not there: a question is answered without these files, and says so."""
        return replace(self, is_ready=False, unread=[*self.unread, *self.read], read=[])


async def find_attached(session: AsyncSession, session_id: str) -> Attached | None:
    """None for a conversation without files, and for one whose files could not be read."""
    kb = await attachment_repository.find_kb(session, session_id)
    documents = await attachment_repository.list_documents(session, kb.id) if kb else []
    if kb is None:
        return None
    at_rest = (DocumentState.READY, DocumentState.FAILED)
    unread = dict.fromkeys(row.file_name for row in documents if row.state not in at_rest)
    read = dict.fromkeys(row.file_name for row in documents if row.state == DocumentState.READY)
    return Attached(kb, bool(read), list(unread), list(read)) if read or unread else None


class Attachments:
    """What becomes of the files that people attach to conversations."""

    def __init__(self, kb: KBService, database: Database, files: FileStore, runtime: Runtime) -> None:
        self._kb, self._database, self._files, self._lanes = kb, database, files, runtime.lanes

    async def find(self, session: AsyncSession, session_id: str) -> KnowledgeBase | None:
        """The conversation's knowledge base, if it has one."""
        return await attachment_repository.find_kb(session, session_id)

    async def draft(self, caller: Principal, session_id: str) -> KnowledgeBase:
        """What `ensure` needs, made while no transaction is open. Raises EmbeddingUnavailable."""
        kb = await self._kb.draft(caller, _NAME.format(session_id))
        kb.session_id, kb.zh_name, kb.info = (
            session_id,
            "会话附件",
            "这个会话里附加的文件 / files of this conversation",
        )
        return kb

    async def ensure(self, session: AsyncSession, draft: KnowledgeBase) -> KnowledgeBase:
        """The conversation's knowledge base, this one if there is none."""
        found = await attachment_repository.find_kb(session, draft.session_id or "")
        if found is None:
            session.add(draft)
        return found or draft

    async def add(self, kb: KnowledgeBase, upload: Upload) -> Accepted:
        """As any upload; what had the name before is replaced. Raises Conflict when there are too many, KBNotFound,
        TooManyRequests."""
        return await self._kb.uploads.take(
            kb, upload, self._kb.choose_chunking(), override=True, is_queued=True
        )

    async def list_all(self, session_id: str) -> list[tuple[Document, Job | None]]:
        """The newest version of each file with its last job, by the time of the upload."""
        async with self._database.read() as session:
            kb = await attachment_repository.find_kb(session, session_id)
            if kb is None:
                return []
            rows = await attachment_repository.list_documents(session, kb.id)
            jobs = await attachment_repository.list_last_jobs(session, kb.id)
        newest = {row.name_key: row for row in rows}
        return [(row, jobs.get(row.id)) for row in sorted(newest.values(), key=lambda row: row.created_at)]

    async def delete(self, session_id: str, document_id: str) -> None:
        """Delete a file in all its versions. Raises DocumentNotFound."""
        async with self._database.write() as session:
            document = await self._find(session, session_id, document_id)
            versions = await document_repository.find_documents(session, document.kb_id, document.name_key)
            rows = [document, *(row for row in versions.values() if row.id != document.id)]
            await document_repository.delete_documents(session, [row.id for row in rows])
            await repository.bump_generation(session, document.kb_id)
        await self._lanes.run("io", self._files.remove_documents, rows)

    async def content(self, session_id: str, document_id: str, *, preview: bool) -> Content:
        """The bytes of a file as they came. Raises DocumentNotFound."""
        async with self._database.read() as session:
            document = await self._find(session, session_id, document_id)
        return await self._kb.open(document, preview=preview)

    async def read(self, session_id: str, document_id: str, paging: PageParams, near: int | None) -> ReadText:
        """What was read of a file. Raises DocumentNotFound."""
        async with self._database.read() as session:
            return await read_page(session, await self._find(session, session_id, document_id), paging, near)

    async def _find(self, session: AsyncSession, session_id: str, document_id: str) -> Document:
        kb = await attachment_repository.find_kb(session, session_id)
        document = await document_repository.find_document(session, document_id)
        if kb is None or document is None or document.kb_id != kb.id:
            raise DocumentNotFound(document_id)
        return document

    async def forget(self, kb_ids: list[str]) -> None:
        """The files of conversations whose rows are deleted."""
        for kb_id in kb_ids:
            await self._kb.forget(kb_id)
