"""A knowledge base changes its embedding model: every document gets a version under the new one, beside the one that is
searched, and when all are ready they change over in one commit. Until then nothing is different for who searches.

What is going on stands in `KnowledgeBase.rebuild`, the versions in the slot `rebuild`. One that cannot be read holds the change
up: it is mended or deleted, or the change is begun anew. Nothing gets lost to search because a model was away.
"""

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from embeddings import Fingerprint
from server.core.errors import NotFound
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import document_repository, job_repository, rebuild_repository, repository, version_repository
from server.kb.files import FileStore
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot, fingerprint_of
from server.kb.splitters import Chunking
from server.kb.versions import Versions

log = logging.getLogger(__name__)

# Between two looks at what is held up.
_PAUSE = timedelta(seconds=5)


class Rebuilds:
    """Begins, goes on with and ends changes of embedding models."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime) -> None:
        self._database, self._clock = database, runtime.clock
        self._versions = Versions(files, runtime.lanes, runtime.clock)
        self._next_look = self._clock.now()

    async def begin(
        self, kb_id: str, model: str, fingerprint: Fingerprint, chunking: Chunking
    ) -> dict[str, Any]:
        """From now on `kb_id` changes over to `model`. What is ready of the same change that was begun before is kept.

        Returns what stands in `KnowledgeBase.rebuild` until it is done.
        """
        plan = {"model": model, "fingerprint": fingerprint_of(fingerprint), "chunking": chunking.to_json()}
        stale: list[Document] = []
        async with self._database.write() as session:
            kb = await rebuild_repository.lock_kb(session, kb_id)
            if kb is None:
                return plan
            if kb.rebuild is None or kb.rebuild != plan:
                stale = await rebuild_repository.delete_slot(session, kb_id, Slot.REBUILD)
                kb.rebuild = plan
            else:
                rows = (await rebuild_repository.list_slot(session, kb_id, Slot.REBUILD)).values()
                await self._try_again(session, [row for row in rows if row.state == DocumentState.FAILED])
        await self._versions.drop(stale)
        await self.go_on(kb_id)
        log.info("embedding model changes", extra={"kb": kb_id, "model": model})
        return plan

    async def cancel(self, kb_id: str) -> None:
        """Stay with the model there is."""
        async with self._database.write() as session:
            kb = await rebuild_repository.lock_kb(session, kb_id)
            if kb is None or kb.rebuild is None:
                return
            stale = await rebuild_repository.delete_slot(session, kb_id, Slot.REBUILD)
            kb.rebuild = None
        await self._versions.drop(stale)

    async def go_on_everywhere(self) -> None:
        """Whatever was left undone, by a worker that was killed or for a document that was deleted since."""
        now = self._clock.now()
        if now < self._next_look:
            return
        self._next_look = now + _PAUSE
        async with self._database.read() as session:
            changing = await rebuild_repository.list_rebuilding(session)
        for kb_id in changing:
            await self.version_ended(kb_id)

    async def version_ended(self, kb_id: str) -> None:
        """One of the versions is ready or failed; perhaps it was the last."""
        async with self._database.read() as session:
            if await rebuild_repository.is_reading(session, kb_id):
                return
        await self.go_on(kb_id)

    async def go_on(self, kb_id: str) -> None:
        """Give documents that came or were replaced since their versions, and end the change when all are ready."""
        async with self._database.write() as session:
            kb = await rebuild_repository.lock_kb(session, kb_id)
            if kb is None or kb.rebuild is None:
                return
            chunking: dict[str, Any] = kb.rebuild["chunking"]
            model = kb.embed_model
            missing, stale, is_complete = await self._compare(session, kb_id)
            await document_repository.delete_documents(session, [row.id for row in stale])
            old, unfit = await self._switch(session, kb) if is_complete else ([], [])
        await self._versions.drop([*stale, *old])
        await self._versions.drop_vectors(kb_id, model, unfit)
        for document in missing:
            await self._add_version(document, chunking)

    async def _compare(
        self, session: AsyncSession, kb_id: str
    ) -> tuple[list[Document], list[Document], bool]:
        """Searched documents without a version, versions of what is not there any more, and whether all is done."""
        live = {
            key: row
            for key, row in (await rebuild_repository.list_slot(session, kb_id, Slot.LIVE)).items()
            if row.state == DocumentState.READY
        }
        versions = await rebuild_repository.list_slot(session, kb_id, Slot.REBUILD)
        stale = [row for key, row in versions.items() if key not in live or live[key].id != row.copy_of]
        fresh = {key: row for key, row in versions.items() if row not in stale}
        missing = [row for key, row in live.items() if key not in fresh]
        is_ready = all(row.state == DocumentState.READY for row in fresh.values())
        return missing, stale, is_ready and not missing

    async def _switch(self, session: AsyncSession, kb: KnowledgeBase) -> tuple[list[Document], list[str]]:
        """The one commit. Returns the versions that were searched until now, which become no earlier versions, as it is not the
        files that have changed; and the segments of those there are, which are of no use any more."""
        assert kb.rebuild is not None
        live = await rebuild_repository.list_slot(session, kb.id, Slot.LIVE)
        old = [row for row in live.values() if row.state == DocumentState.READY]
        await document_repository.delete_documents(session, [row.id for row in old])
        await rebuild_repository.move_slot(session, kb.id, Slot.REBUILD, Slot.LIVE)
        kb.embed_model, kb.fingerprint = kb.rebuild["model"], kb.rebuild["fingerprint"]
        kb.rebuild = None
        kb.generation += 1
        unfit = await version_repository.forget_vectors(session, kb)
        # Perhaps it was the model they failed for.
        await self._try_again(session, await rebuild_repository.list_failed(session, kb.id))
        log.info(
            "embedding model changed", extra={"kb": kb.id, "model": kb.embed_model, "documents": len(old)}
        )
        return old, unfit

    async def _try_again(self, session: AsyncSession, documents: list[Document]) -> None:
        for row in documents:
            row.state, row.error_code, row.error_text = DocumentState.WAITING, None, None
            await job_repository.add_job(session, row, self._clock.now())

    async def _add_version(self, document: Document, chunking: dict[str, Any]) -> None:
        try:
            version = await self._versions.copy(document, Slot.REBUILD, chunking)
        except NotFound as error:
            # It cannot be read again. Searched as long as nothing changes, it would hold the change up in silence.
            log.warning("content is gone", extra={"document": document.id})
            await self._fail(document, error)
            return
        async with self._database.write() as session:
            kb = await rebuild_repository.lock_kb(session, document.kb_id)
            is_wanted = kb is not None and kb.rebuild is not None
            await document_repository.take_over(session, version, document.id)
            if is_wanted and await document_repository.add_document(session, version):
                if document.custom_docs:
                    passages = await document_repository.get_custom_passages(session, document.id)
                    await document_repository.set_custom_passages(session, version.id, passages)
                await job_repository.add_job(session, version, version.created_at)
                return
        await self._versions.drop([version])

    async def _fail(self, document: Document, error: NotFound) -> None:
        async with self._database.write() as session:
            await document_repository.fail_document(session, document.id, error.code, error.text.to_json())
            await document_repository.delete_chunks(session, [document.id])
            await repository.bump_generation(session, document.kb_id)
