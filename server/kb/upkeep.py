"""What an editor does with a knowledge base that is there: describe it, rename it, have its documents read again.

Reading again never takes away what is searched: a ready document gets a next version (`Slot.NEXT`), a change of the embedding
model one under the new model for all of them (rebuild.py). The worker does it, whoever waits or goes away meanwhile.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from embeddings import Fingerprint
from server.auth.principal import Principal
from server.core.errors import AppError, Conflict, DocumentNotFound, KBExists, NotFound
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import rebuild_repository, repository
from server.kb.access import check_queue, own_kb
from server.kb.chunking import ChunkingWish, choose_chunking
from server.kb.custom import Passages
from server.kb.embedders import Embedders
from server.kb.files import FileStore, check_kb_name, name_key
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot
from server.kb.rebuild import Rebuilds
from server.kb.service import check_store, in_work, refuse_while_in_work
from server.kb.splitters import Chunking
from server.kb.versions import Versions

log = logging.getLogger(__name__)
_AT_REST = (DocumentState.READY, DocumentState.FAILED)
# Ids per question to the database.
_BATCH = 500


@dataclass(slots=True)
class Rereading:
    """Documents that are on their way to be read again: names by the ids of the versions, and what was refused."""

    kb: KnowledgeBase
    documents: dict[str, str] = field(default_factory=dict)
    refused: dict[str, AppError] = field(default_factory=dict)
    # The model that it changes over to.
    model: str | None = None

    @property
    def total(self) -> int:
        return len(self.documents) + len(self.refused)


@dataclass(frozen=True, slots=True)
class Progress:
    """One more document is done: `finished` of `total`. `error` says why it could not be read."""

    file_name: str
    finished: int
    total: int
    error: Text | None = None


class Upkeep:
    """Knowledge bases of callers who may change them. Every method raises KBNotFound and Forbidden."""

    def __init__(
        self, database: Database, files: FileStore, embedders: Embedders, runtime: Runtime, settings: Settings
    ) -> None:
        self._database, self._embedders, self._settings = database, embedders, settings
        self._clock = runtime.clock
        self._versions = Versions(files, runtime.lanes, runtime.clock)
        self._rebuilds = Rebuilds(database, files, runtime)

    # ── describing ────────────────────────────────────────────────────────────────────────────────────────────────

    async def rename(self, caller: Principal, name: str, new_name: str) -> None:
        """Nothing on disk is called by the name, and nothing else changes. Raises Invalid, AlreadyExists."""
        check_kb_name(new_name)
        async with self._database.write() as session:
            kb = await own_kb(session, caller, name)
            if not await repository.rename_kb(session, kb, new_name):
                raise KBExists(new_name)

    async def describe(
        self, caller: Principal, name: str, *, zh_name: str | None = None, info: str | None = None
    ) -> None:
        async with self._database.write() as session:
            kb = await own_kb(session, caller, name)
            kb.zh_name = kb.zh_name if zh_name is None else zh_name
            kb.info = kb.info if info is None else info

    async def prefer(self, caller: Principal, name: str, wish: ChunkingWish) -> Chunking:
        """How documents are cut from now on when an upload does not say. Raises Invalid."""
        chunking = choose_chunking(wish, None, self._settings.kb)
        async with self._database.write() as session:
            kb = await own_kb(session, caller, name)
            kb.chunking = wish.to_json()
        return chunking

    # ── reading again ─────────────────────────────────────────────────────────────────────────────────────────────

    async def update_docs(
        self,
        caller: Principal,
        name: str,
        file_names: Sequence[str],
        wish: ChunkingWish,
        *,
        override_custom: bool = False,
        custom: Mapping[str, Passages] | None = None,
    ) -> Rereading:
        """Have files read and cut again, or give them the passages of `custom`.

        Passages that people gave stay as they are, unless others are given or `override_custom` has the file itself read.
        Raises Invalid, TooManyRequests; what cannot be done for a file stands in `refused`.
        """
        given = {name_key(file_name): passages for file_name, passages in (custom or {}).items()}
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            await check_queue(session, self._settings)
        chunking = choose_chunking(wish, kb.chunking, self._settings.kb)
        rereading = Rereading(kb)
        names = {name_key(file_name): file_name for file_name in [*file_names, *(custom or {})]}
        for key, file_name in names.items():
            try:
                document = await self._newest(kb.id, file_name)
                passages = given.get(key)
                if passages is None and document.custom_docs and not override_custom:
                    if document.state == DocumentState.READY:
                        continue  # as they are, they are there
                    passages = await self._given(document)
                again = await self._again(document, chunking, passages)
            except AppError as error:
                rereading.refused[file_name] = error
            else:
                rereading.documents[again.id] = again.file_name
        return rereading

    async def recreate(
        self,
        caller: Principal,
        name: str,
        wish: ChunkingWish,
        *,
        model: str | None = None,
        store: str | None = None,
        allow_empty: bool = True,
    ) -> Rereading:
        """Have every document read again, under another embedding model if `model` says so; None keeps the present one.

        Raises Invalid, NotFound (nothing in it, and not `allow_empty`), ModelNotFound, EmbeddingUnavailable.
        """
        if store is not None:
            check_store(store)
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            documents, _ = await repository.list_documents(session, kb.id)
        if not documents and not allow_empty:
            raise NotFound(Text(f"知识库 {name} 里没有文件", f"there are no files in knowledge base {name}"))
        chunking = choose_chunking(wish, kb.chunking, self._settings.kb)
        embedder = await self._embedders.get(model or kb.embed_model)
        fingerprint = await self._embedders.fingerprint(embedder)
        if embedder.name != kb.embed_model or not fingerprint.matches(Fingerprint.from_json(kb.fingerprint)):
            await self._rebuilds.begin(kb.id, embedder.name, fingerprint, chunking)
            async with self._database.read() as session:
                versions = await rebuild_repository.list_slot(session, kb.id, Slot.REBUILD)
            found = {row.id: row.file_name for row in versions.values()}
            return Rereading(kb, found, model=embedder.name)
        await self._rebuilds.cancel(kb.id)
        return await self._all_again(kb, documents, chunking)

    async def _all_again(
        self, kb: KnowledgeBase, documents: Sequence[Document], chunking: Chunking
    ) -> Rereading:
        rereading = Rereading(kb)
        # A replacement that is being read or could not be is newer than what it stands beside.
        newest = {row.name_key: row for row in sorted(documents, key=lambda row: row.slot == Slot.NEXT)}
        for row in newest.values():
            if row.state == DocumentState.STORED:
                continue  # taken out of search by somebody
            if row.state not in _AT_REST:
                rereading.documents[row.id] = row.file_name  # being read anyway
                continue
            try:
                passages = await self._given(row) if row.custom_docs else None
                again = await self._again(row, chunking, passages)
            except AppError as error:
                rereading.refused[row.file_name] = error
            else:
                rereading.documents[again.id] = again.file_name
        return rereading

    async def _newest(self, kb_id: str, file_name: str) -> Document:
        async with self._database.read() as session:
            versions = await repository.find_documents(session, kb_id, name_key(file_name))
        newest = versions.get(Slot.NEXT) or versions.get(Slot.LIVE)
        if newest is None:
            raise DocumentNotFound(file_name)
        return newest

    async def _given(self, document: Document) -> Passages:
        async with self._database.read() as session:
            return await repository.get_custom_passages(session, document.id)

    async def _again(self, document: Document, chunking: Chunking, custom: Passages | None) -> Document:
        """The version that will be read: the document itself, or its next one when it is searched.

        Raises Conflict (in work), NotFound (its content is gone).
        """
        refuse_while_in_work(document.file_name, [document])
        if document.state != DocumentState.READY:
            return await self._itself(document, chunking, custom)
        version = await self._versions.copy(document, Slot.NEXT, asdict(chunking))
        version.custom_docs = custom is not None
        async with self._database.write() as session:
            is_added = await repository.add_document(session, version)
            if is_added:
                await self._queue(session, version, custom)
        if not is_added:  # an upload took the slot, or the knowledge base was deleted
            await self._versions.drop(document.kb_id, [version])
            raise in_work(document.file_name)
        return version

    async def _itself(self, document: Document, chunking: Chunking, custom: Passages | None) -> Document:
        async with self._database.write() as session:
            row = await repository.find_document(session, document.id)
            if row is None or row.state != document.state:
                raise in_work(document.file_name)
            row.state, row.error_code, row.error_text = DocumentState.WAITING, None, None
            row.chunking, row.custom_docs = asdict(chunking), custom is not None
            await self._queue(session, row, custom)
            return row

    async def _queue(self, session: AsyncSession, document: Document, custom: Passages | None) -> None:
        if custom is not None:
            await repository.set_custom_passages(session, document.id, custom)
        repository.add_job(session, document, self._clock.now())

    # ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def follow(self, rereading: Rereading) -> AsyncGenerator[Progress, None]:
        """Each document as it is done, until all are; a change of the model ends with the change itself.

        Raises Conflict at the end when the change is held up.
        """
        finished, has_failed = 0, False
        for file_name, error in rereading.refused.items():
            finished += 1
            yield Progress(file_name, finished, rereading.total, error.text)
        pending = dict(rereading.documents)
        while True:
            for document_id, error_text in (await self._ended(list(pending))).items():
                finished += 1
                has_failed = has_failed or error_text is not None
                yield Progress(pending.pop(document_id), finished, rereading.total, error_text)
            if not pending:
                break
            await self._pause()
        if rereading.model is not None:
            await self._until_changed(rereading, has_failed=has_failed)

    async def _ended(self, ids: list[str]) -> dict[str, Text | None]:
        """Which of these are ready, failed (why) or deleted, in their order."""
        ended: dict[str, Text | None] = {}
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            async with self._database.read() as session:
                states = await rebuild_repository.list_states(session, batch)
            for document_id in batch:
                state, reason = states.get(document_id, (None, None))
                if state == DocumentState.FAILED:
                    ended[document_id] = Text(reason["zh"], reason["en"]) if reason else Text("", "")
                elif state in (None, DocumentState.READY):
                    ended[document_id] = None
        return ended

    async def _until_changed(self, rereading: Rereading, *, has_failed: bool) -> None:
        while True:
            async with self._database.read() as session:
                rebuild = await rebuild_repository.get_rebuild(session, rereading.kb.id)
            if rebuild is None or rebuild["model"] != rereading.model:
                return
            if has_failed:
                break
            await self._pause()
        kb = rereading.kb
        raise Conflict(
            Text(
                f"有文件无法用 {rereading.model} 处理，知识库 {kb.name} 暂时仍用 {kb.embed_model} 检索；"
                "修复或删除这些文件后会自动切换，也可以再次重建",
                f"some files could not be read for {rereading.model}; knowledge base {kb.name} is searched with {kb.embed_model} "
                "until they are mended or deleted, or it is recreated again",
            ),
            code="rebuild_held_up",
        )

    async def _pause(self) -> None:
        await asyncio.sleep(self._settings.ingest.poll.total_seconds())
