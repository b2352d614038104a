"""The worker: takes waiting documents from the database and makes them searchable, some at the same time.

Everything it knows is in the database, so it may be killed at any moment: a job whose lease runs out is taken by
another worker, and the last permitted failure is told to people in `document.error_text`.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from contextlib import suppress
from datetime import timedelta

from server.core.clock import Clock
from server.core.durable import NO_SPACE
from server.core.errors import AppError, Busy, Deadlock, Overtaken, StorageFull
from server.core.i18n import Text
from server.core.settings import IngestSettings
from server.db.session import PASSING_FAULTS, Database, tell_fault
from server.kb import document_repository, job_repository, rebuild_repository, repository
from server.kb.ingest import Ingest, LeaseLost, Work
from server.kb.loaders.base import LoadError
from server.kb.models import JobState, KnowledgeBase, Slot
from server.kb.rebuild import Rebuilds
from server.kb.store_keeper import StoreKeeper
from server.kb.word_indexing import WordIndexing

log = logging.getLogger(__name__)

# Seconds between two writings of how far a job is.
_TELL = 1.0
# Pause before the next try of a job that failed for a passing reason, times the number of tries.
_BACKOFF = timedelta(seconds=5)
# The same while the disk is full, which uses up no try: when there is room again, everything goes on by itself.
_FULL_PAUSE = timedelta(seconds=30)
_TELL_AGAIN = timedelta(minutes=10)
# Times to look for a job, while others who look are in the way.
_CLAIMS = 5


class Worker:
    """Runs `concurrency` jobs side by side until it is stopped."""

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        settings: IngestSettings,
        clock: Clock,
        rebuilds: Rebuilds | None = None,
        words: WordIndexing | None = None,
        keeper: StoreKeeper | None = None,
    ) -> None:
        self._database, self._ingest, self._settings, self._clock = database, ingest, settings, clock
        self._rebuilds, self._words, self._keeper = rebuilds, words, keeper
        self._told_full = clock.now() - _TELL_AGAIN
        # Containers may have the same name, and all of them their process 1.
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._settings.concurrency):
                group.create_task(self._lane())

    async def run_until_idle(self) -> None:
        """Work until nothing waits; for commands and tests."""
        while await self.step():
            pass

    async def _lane(self) -> None:
        while True:
            try:
                worked = await self.step()
            except (*PASSING_FAULTS, OSError):
                # The database is away or locked: nothing is lost, the job is still there.
                log.exception("worker cannot reach the database")
                worked = False
            if not worked:
                await asyncio.sleep(self._settings.poll.total_seconds())

    async def step(self) -> bool:
        """Take one job and bring it to an end, or index a document by words; False when there is nothing to do."""
        if not await self._ingest.has_room():
            self._tell_full()
            return False
        await self._give_up_abandoned()
        work = await self._claim()
        if work is None:
            if self._rebuilds:
                await self._rebuilds.go_on_everywhere()
            return self._words is not None and await self._words.step()
        started = self._clock.now()
        try:
            await self._while_held(work)
        except LeaseLost:
            log.info("job was taken away", extra={"document": work.document.id})
        except Exception as error:  # noqa: BLE001 (whatever a document does, the next one gets its turn)
            await self._fail(work, error)
        else:
            seconds = round((self._clock.now() - started).total_seconds(), 2)
            log.info(
                "document ready", extra={"document": work.document.id, "kb": work.kb.name, "seconds": seconds}
            )
        if self._keeper:
            await self._keeper.keep_up_with(work.kb.id)
        if self._rebuilds and work.document.slot == Slot.REBUILD:
            await self._rebuilds.version_ended(work.kb.id)
        return True

    def _tell_full(self) -> None:
        if (now := self._clock.now()) >= self._told_full + _TELL_AGAIN:
            self._told_full = now
            log.warning("the disk is full: documents wait until there is room")

    async def _claim(self) -> Work | None:
        for _ in range(_CLAIMS - 1):
            # Two that look at once may stand in each other's way (MariaDB): one has taken a job, and the other looks again.
            with suppress(Deadlock):
                return await self._try_to_claim()
        return await self._try_to_claim()

    async def _try_to_claim(self) -> Work | None:
        now = self._clock.now()
        async with self._database.write() as session:
            job = await job_repository.claim_job(
                session, self.owner, now, now + self._settings.lease, self._settings.attempts
            )
            if job is None:
                return None
            document = await document_repository.find_document(session, job.document_id)
            kb = await session.get(KnowledgeBase, job.kb_id)
            assert document is not None
            assert kb is not None  # both are foreign keys
            if document.slot == Slot.REBUILD and kb.rebuild is not None:
                kb = kb.rebuilt()
            return Work(job.id, self.owner, job.attempts, document, kb, job.kind)

    async def _while_held(self, work: Work) -> None:
        """Do it, as long as it is ours: whoever cancels it or deletes its document takes it away. Raises LeaseLost, and what
        ingestion raises."""
        reading = asyncio.ensure_future(
            self._ingest.run(work, lambda done, total: self._report(work, done, total), work.doing.read_page)
        )
        told = time.monotonic()
        try:
            while not (await asyncio.wait({reading}, timeout=self._settings.poll.total_seconds()))[0]:
                age = time.monotonic() - told
                is_due = age > self._settings.lease.total_seconds() / 3
                if is_due or (work.doing.is_news and age > _TELL):
                    told = time.monotonic()
                    is_held = await self._renew(work)
                else:
                    is_held = await self._is_held(work)
                # A segment that is being written is not left half: publishing looks for itself.
                if not is_held and not work.doing.is_ending:
                    raise LeaseLost
            reading.result()
        finally:
            if not reading.done():
                reading.cancel()
                await asyncio.wait({reading})

    async def _report(self, work: Work, done: int, total: int) -> None:
        work.doing.embed(done, total)
        now = self._clock.now()
        async with self._database.write() as session:
            if not await job_repository.renew_lease(
                session, work.job_id, self.owner, now + self._settings.lease, work.doing.to_row(now)
            ):
                raise LeaseLost

    async def _renew(self, work: Work) -> bool:
        """A sign of life while a long step gives none."""
        now = self._clock.now()
        told = work.doing.to_row(now) if work.doing.is_news else None
        try:
            async with self._database.write() as session:
                return await job_repository.renew_lease(
                    session, work.job_id, self.owner, now + self._settings.lease, told
                )
        except PASSING_FAULTS as error:
            tell_fault("lease not renewed", error, log, document=work.document.id)
            return True

    async def _is_held(self, work: Work) -> bool:
        try:
            async with self._database.read() as session:
                return await job_repository.holds_job(session, work.job_id, self.owner)
        except PASSING_FAULTS as error:
            tell_fault("lease not looked at", error, log, document=work.document.id)
            return True

    async def _fail(self, work: Work, error: Exception) -> None:
        code, text, passing = _classify(error)
        is_full = code == "disk_full"
        last = work.attempt >= self._settings.attempts and not is_full
        if passing and not last:
            log.warning(
                "document will be tried again",
                exc_info=None if is_full else error,
                extra={"document": work.document.id, "code": code},
            )
            now = self._clock.now()
            not_before = now + (_FULL_PAUSE if is_full else _BACKOFF * work.attempt)
            async with self._database.write() as session:
                # Before the document and its job, as whoever deletes them.
                await rebuild_repository.lock_kb(session, work.kb.id)
                if await job_repository.retry_job(
                    session, work.job_id, self.owner, not_before, now, for_nothing=is_full
                ):
                    await document_repository.wait_again(session, work.document.id)
            return
        unexpected = code == "internal_error"
        log.warning(
            "document failed",
            exc_info=error if unexpected else None,
            extra={"document": work.document.id, "code": code},
        )
        async with self._database.write() as session:
            # First, as it locks the knowledge base: passages that were found by words go.
            await repository.bump_generation(session, work.kb.id)
            if await job_repository.finish_job(
                session, work.job_id, self.owner, JobState.FAILED, self._clock.now()
            ):
                found = error.findings if isinstance(error, LoadError) else None
                findings = found.to_json() if found else work.document.findings
                await document_repository.fail_document(
                    session, work.document.id, code, text.to_json(), findings
                )

    async def _give_up_abandoned(self) -> None:
        """A document that took its worker down in every try is marked failed, not tried for ever."""
        now = self._clock.now()
        async with self._database.read() as session:
            abandoned = await job_repository.list_abandoned_jobs(session, now, self._settings.attempts)
        for job in abandoned:
            async with self._database.write() as session:
                await repository.bump_generation(session, job.kb_id)
                if await job_repository.give_up_job(session, job.id, now):
                    await document_repository.fail_document(
                        session, job.document_id, "worker_died", _WORKER_DIED.to_json()
                    )


_WORKER_DIED = Text(
    "处理该文件时后台进程多次中断，请检查文件或联系管理员",
    "the worker died on this file every time; check the file or ask your operator",
)
_DISK_FULL = Text(
    "磁盘空间不足，腾出空间后自动继续", "the disk is full; it goes on by itself when there is room"
)
_INTERNAL = Text(
    "处理该文件时发生内部错误，请联系管理员查看日志", "an internal error; your operator finds it in the log"
)


def _classify(error: Exception) -> tuple[str, Text, bool]:
    """Code and words for people, and whether another try may help."""
    if isinstance(error, LoadError):
        return error.code, Text(error.zh, error.en), False
    if isinstance(error, Busy):
        return error.code, error.text, error.retry_after is not None
    if isinstance(error, Overtaken | StorageFull):
        return error.code, error.text, True
    if isinstance(error, AppError):
        return error.code, error.text, False
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return "disk_full", _DISK_FULL, True
    return "internal_error", _INTERNAL, True
