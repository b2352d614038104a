"""What an editor does with a knowledge base that is there: describe it, rename it, have its documents read again.

Reading again never takes away what is searched: a ready document gets a next version (`Slot.NEXT`), a change of the embedding
model one under the new model for all of them (rebuild.py). The worker does it, whoever waits or goes away meanwhile.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from embeddings import Fingerprint
from server.auth.principal import Principal
from server.core.errors import AppError, DocumentNotFound, KBExists, NotFound
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import document_repository, job_repository, rebuild_repository, repository
from server.kb.access import check_queue, lock_own_kb, own_kb
from server.kb.chunking import ChunkingWish, choose_chunking
from server.kb.custom import Passages
from server.kb.embedders import Embedders
from server.kb.files import FileStore, check_kb_name, name_key
from server.kb.follow import Follower, Rereading
from server.kb.models import Document, DocumentState, Slot
from server.kb.rebuild import Rebuilds
from server.kb.splitters import Chunking
from server.kb.store_servers import check_store
from server.kb.uploads import in_work, refuse_while_in_work
from server.kb.versions import Versions

log = logging.getLogger(__name__)
_AT_REST = (DocumentState.READY, DocumentState.FAILED, DocumentState.STORED)


class Upkeep:
    """Knowledge bases of callers who may change them. Every method raises KBNotFound and Forbidden."""

    def __init__(
        self, database: Database, files: FileStore, embedders: Embedders, runtime: Runtime, settings: Settings
    ) -> None:
        self._database, self._embedders, self._settings = database, embedders, settings
        self._clock = runtime.clock
        self._versions = Versions(files, runtime.lanes, runtime.clock)
        self._rebuilds = Rebuilds(database, files, runtime)
        self.follower = Follower(database, settings.ingest.poll.total_seconds())

    # ── describing ────────────────────────────────────────────────────────────────────────────────────────────────

    async def rename(self, caller: Principal, name: str, new_name: str) -> None:
        """Nothing on disk is called by the name, and nothing else changes. Raises Invalid, AlreadyExists."""
        check_kb_name(new_name)
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            if not await repository.rename_kb(session, kb, new_name):
                raise KBExists(new_name)

    async def describe(
        self, caller: Principal, name: str, *, zh_name: str | None = None, info: str | None = None
    ) -> None:
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            kb.zh_name = kb.zh_name if zh_name is None else zh_name
            kb.info = kb.info if info is None else info

    async def prefer(self, caller: Principal, name: str, wish: ChunkingWish) -> Chunking:
        """How documents are cut from now on when an upload does not say. Raises Invalid."""
        chunking = choose_chunking(wish, None, self._settings.kb)
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            kb.chunking = wish.to_json()
        return chunking

    async def label(
        self, caller: Principal, name: str, file_name: str, labels: Mapping[str, Any]
    ) -> Document:
        """Say something else of a file: some of models.LABELS. Returns the version that is shown. Raises DocumentNotFound."""
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            versions = await document_repository.find_documents(session, kb.id, name_key(file_name))
            shown = versions.get(Slot.LIVE) or versions.get(Slot.NEXT)
            if shown is None:
                raise DocumentNotFound(file_name)
            await document_repository.label(session, kb.id, versions.values(), labels)
        return shown

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
            await check_queue(session, kb.client_id, self._settings)
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
            check_store(store, self._settings)
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            documents, _ = await document_repository.list_documents(session, kb, caller)
        if not documents and not allow_empty:
            raise NotFound(Text(f"知识库 {name} 里没有文件", f"there are no files in knowledge base {name}"))
        chunking = choose_chunking(wish, kb.chunking, self._settings.kb)
        embedder = await self._embedders.get(model or kb.embed_model)
        fingerprint = await self._embedders.fingerprint(embedder)
        is_the_same = fingerprint.matches(Fingerprint.from_json(kb.fingerprint)) and kb.is_plain
        if embedder.name != kb.embed_model or not is_the_same:
            plan = await self._rebuilds.begin(kb.id, embedder.name, fingerprint, chunking)
            async with self._database.read() as session:
                versions = await rebuild_repository.list_slot(session, kb.id, Slot.REBUILD)
            rereading = Rereading(kb, {row.id: row.file_name for row in versions.values()}, plan=plan)
            # What was only kept has no version yet: it is read, and follows the others.
            kept = [row for row in documents if row.state == DocumentState.STORED]
            return await self._all_again(rereading, kept, chunking)
        await self._rebuilds.cancel(kb.id)
        return await self._all_again(Rereading(kb, chunking=chunking.to_json()), documents, chunking)

    async def _all_again(
        self, rereading: Rereading, documents: Sequence[Document], chunking: Chunking
    ) -> Rereading:
        # A replacement that is being read or could not be is newer than what it stands beside.
        newest = {row.name_key: row for row in sorted(documents, key=lambda row: row.slot == Slot.NEXT)}
        for row in newest.values():
            try:
                if row.state in _AT_REST:
                    passages = await self._given(row) if row.custom_docs else None
                    again = await self._again(row, chunking, passages)
                else:
                    again = await self._on_its_way(row, chunking)
            except AppError as error:
                rereading.refused[row.file_name] = error
            else:
                rereading.documents[again.id] = again.file_name
        return rereading

    async def _newest(self, kb_id: str, file_name: str) -> Document:
        async with self._database.read() as session:
            versions = await document_repository.find_documents(session, kb_id, name_key(file_name))
        newest = versions.get(Slot.NEXT) or versions.get(Slot.LIVE)
        if newest is None:
            raise DocumentNotFound(file_name)
        return newest

    async def _given(self, document: Document) -> Passages:
        async with self._database.read() as session:
            return await document_repository.get_custom_passages(session, document.id)

    async def _again(self, document: Document, chunking: Chunking, custom: Passages | None) -> Document:
        """The version that will be read: the document itself, or its next one when it is searched.

        Raises Conflict (in work), NotFound (its content is gone).
        """
        refuse_while_in_work(document.file_name, [document])
        if document.state != DocumentState.READY:
            return await self._itself(document, chunking, custom)
        version = await self._versions.copy(document, Slot.NEXT, chunking.to_json())
        version.custom_docs = custom is not None
        async with self._database.write() as session:
            await rebuild_repository.lock_kb(session, document.kb_id)
            await document_repository.take_over(session, version, document.id)
            is_added = await document_repository.add_document(session, version)
            if is_added:
                await self._queue(session, version, custom)
        if not is_added:  # an upload took the slot, or the knowledge base was deleted
            await self._versions.drop([version])
            raise in_work(document.file_name)
        return version

    async def _on_its_way(self, document: Document, chunking: Chunking) -> Document:
        """One that is being read anyway, cut as it is asked for now. Raises Conflict when a worker cuts it otherwise already."""
        if document.chunking == chunking.to_json():
            return document
        async with self._database.write() as session:
            await repository.bump_generation(session, document.kb_id)
            if not await document_repository.rechunk_waiting(session, document.id, chunking.to_json()):
                raise in_work(document.file_name)
        return document

    async def _itself(self, document: Document, chunking: Chunking, custom: Passages | None) -> Document:
        async with self._database.write() as session:
            row = await document_repository.find_document(session, document.id)
            if row is None or row.state != document.state:
                raise in_work(document.file_name)
            row.state, row.error_code, row.error_text = DocumentState.WAITING, None, None
            row.chunking, row.custom_docs = chunking.to_json(), custom is not None
            await self._queue(session, row, custom)
            return row

    async def _queue(self, session: AsyncSession, document: Document, custom: Passages | None) -> None:
        if custom is not None:
            await document_repository.set_custom_passages(session, document.id, custom)
        await job_repository.add_job(session, document, self._clock.now())
