"""What `kb repair` does about findings: all that loses nothing. It says what it did, and what is left for people.

Most of it is the worker's to do then; a document is out of search until it is done only where it could not be searched as it was.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.audit import CLI, audit
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import (
    document_repository,
    job_repository,
    lexical_repository,
    rebuild_repository,
    repository,
    verify_repository,
)
from server.kb.faults import Finding, Mend
from server.kb.files import FileStore
from server.kb.loaders.errors import content_gone
from server.kb.models import Document, DocumentState, JobKind
from server.kb.sweep import GRACE, sweep

log = logging.getLogger(__name__)

DONE = {
    Mend.REEMBED: Text("已排队，由段落重新计算向量", "queued: its vectors are made of its passages"),
    Mend.REREAD: Text("已排队，重新读取", "queued: it is read again"),
    Mend.FAIL: Text("已标为失败并注明原因", "it says now that it failed, and why"),
    Mend.QUEUE: Text("已重新排队", "queued again"),
    Mend.COUNT: Text("将重新统计词语", "its words are counted again"),
    Mend.REBUILD_WORDS: Text("已重建词语索引", "the index of words is made anew"),
    Mend.REMOVE: Text("已移走", "taken away"),
}
# The gravest first: what is done about it does away with the others of the same document.
_ORDER = (Mend.FAIL, Mend.REREAD, Mend.REEMBED, Mend.FORGET, Mend.QUEUE, Mend.COUNT)


class Mender:
    """Does what can be done."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime) -> None:
        self._database, self._files = database, files
        self._lanes, self._clock = runtime.lanes, runtime.clock
        self._ways: dict[Mend, Callable[[AsyncSession, Document], Awaitable[None]]] = {
            Mend.REEMBED: self._reembed,
            Mend.REREAD: self._reread,
            Mend.FAIL: self._fail,
            Mend.QUEUE: self._queue,
            Mend.FORGET: self._forget,
            Mend.COUNT: self._count,
        }

    async def mend(
        self, findings: Sequence[Finding], *, grace: timedelta = GRACE
    ) -> list[tuple[Finding, bool]]:
        """Each fault, and whether something was done about it."""
        told: list[tuple[Finding, bool]] = []
        by_document: dict[str, list[Finding]] = {}
        for one in findings:
            if one.document_id:
                by_document.setdefault(one.document_id, []).append(one)
            elif one.is_fault:
                told.append((one, await self._mend_other(one)))
        if any(one.code == "left_over" for one in findings):
            await sweep(self._database, self._files, self._lanes, grace)
        for document_id, faults in by_document.items():
            chosen = min((one.mend for one in faults if one.mend in _ORDER), key=_ORDER.index, default=None)
            is_done = chosen is not None and await self._mend_document(document_id, chosen, faults[0])
            told += [(one, is_done and one.mend != Mend.NOTHING) for one in faults if one.is_fault]
        if told:
            async with self._database.write() as session:
                done = sum(is_done for _, is_done in told)
                audit(session, self._clock.now(), CLI, "kb.repair", found=len(told), mended=done)
        return told

    async def _mend_other(self, one: Finding) -> bool:
        if one.mend == Mend.REBUILD_WORDS:
            async with self._database.write() as session:
                await lexical_repository.rebuild_index(session)
            return True
        if one.code == "snapshot_damaged":
            await self._lanes.run("io", Path(one.path).unlink, True)
        return one.mend == Mend.REMOVE

    async def _mend_document(self, document_id: str, mend: Mend, one: Finding) -> bool:
        async with self._database.write() as session:
            # The knowledge base before its documents, as whoever publishes one.
            await rebuild_repository.lock_kb(session, one.kb_id)
            kept = await verify_repository.find_kept(session, document_id)
            if kept is None:
                return False
            if mend != Mend.COUNT and kept.is_queued:
                return True  # a search has noticed as well
            await self._ways[mend](session, kept.document)
            await repository.bump_generation(session, one.kb_id)
        log.info("document mended", extra={"document": document_id, "how": str(mend)})
        return True

    async def _reembed(self, session: AsyncSession, document: Document) -> None:
        document.state = DocumentState.WAITING
        await job_repository.add_job(session, document, self._clock.now(), JobKind.REPAIR)

    async def _reread(self, session: AsyncSession, document: Document) -> None:
        document.state = DocumentState.WAITING
        await job_repository.add_job(session, document, self._clock.now())

    async def _queue(self, session: AsyncSession, document: Document) -> None:
        await self._reread(session, document)

    async def _forget(self, _session: AsyncSession, document: Document) -> None:
        document.segment = document.segment_sha256 = None

    async def _count(self, session: AsyncSession, document: Document) -> None:
        await verify_repository.forget_terms_of(session, document.id)

    async def _fail(self, session: AsyncSession, document: Document) -> None:
        error = content_gone()
        await session.flush()
        await document_repository.fail_document(
            session, document.id, error.code, Text(error.zh, error.en).to_json()
        )
