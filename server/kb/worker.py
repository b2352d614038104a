"""The worker: takes waiting documents from the database and makes them searchable, some at the same time.

Everything it knows is in the database, so it may be killed at any moment: a job whose lease runs out is taken by
another worker, and the last permitted failure is told to people in `document.error_text`.
"""

import asyncio
import errno
import logging
import os
import socket
from datetime import timedelta

from server.core.clock import Clock
from server.core.errors import AppError, Busy, Overtaken
from server.core.i18n import Text
from server.core.settings import IngestSettings
from server.db.session import PASSING_FAULTS, Database
from server.kb import repository
from server.kb.ingest import Ingest, LeaseLost, Work
from server.kb.loaders.base import LoadError
from server.kb.models import DocumentState, JobState, KnowledgeBase, Slot
from server.kb.rebuild import Rebuilds

log = logging.getLogger(__name__)

# Pause before the next try of a job that failed for a passing reason, times the number of tries.
_BACKOFF = timedelta(seconds=5)


class Worker:
    """Runs `concurrency` jobs side by side until it is stopped."""

    def __init__(
        self,
        database: Database,
        ingest: Ingest,
        settings: IngestSettings,
        clock: Clock,
        rebuilds: Rebuilds | None = None,
    ) -> None:
        self._database, self._ingest, self._settings, self._clock = database, ingest, settings, clock
        self._rebuilds = rebuilds
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}"

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
        """Take one job and bring it to an end; False when none waits."""
        await self._give_up_abandoned()
        work = await self._claim()
        if work is None:
            if self._rebuilds:
                await self._rebuilds.go_on_everywhere()
            return False
        started = self._clock.now()
        heartbeat = asyncio.create_task(self._keep_lease(work))
        try:
            await self._ingest.run(work, lambda done, total: self._report(work, done, total))
        except LeaseLost:
            log.info("job was taken away", extra={"document": work.document.id})
        except Exception as error:  # noqa: BLE001 (whatever a document does, the next one gets its turn)
            await self._fail(work, error)
        else:
            seconds = round((self._clock.now() - started).total_seconds(), 2)
            log.info(
                "document ready", extra={"document": work.document.id, "kb": work.kb.name, "seconds": seconds}
            )
        finally:
            heartbeat.cancel()
        if self._rebuilds and work.document.slot == Slot.REBUILD:
            await self._rebuilds.version_ended(work.kb.id)
        return True

    async def _claim(self) -> Work | None:
        now = self._clock.now()
        async with self._database.write() as session:
            job = await repository.claim_job(
                session, self.owner, now, now + self._settings.lease, self._settings.attempts
            )
            if job is None:
                return None
            document = await repository.find_document(session, job.document_id)
            kb = await session.get(KnowledgeBase, job.kb_id)
            assert document is not None
            assert kb is not None  # both are foreign keys
            if document.slot == Slot.REBUILD and kb.rebuild is not None:
                kb = kb.rebuilt()
            return Work(job.id, self.owner, job.attempts, document, kb)

    async def _report(self, work: Work, done: int, total: int) -> None:
        until = self._clock.now() + self._settings.lease
        async with self._database.write() as session:
            if not await repository.renew_lease(session, work.job_id, self.owner, until, (done, total)):
                raise LeaseLost

    async def _keep_lease(self, work: Work) -> None:
        """Signs of life while a long step gives none."""
        while True:
            await asyncio.sleep(self._settings.lease.total_seconds() / 3)
            until = self._clock.now() + self._settings.lease
            try:
                async with self._database.write() as session:
                    await repository.renew_lease(session, work.job_id, self.owner, until)
            except PASSING_FAULTS:
                log.warning("lease not renewed", extra={"document": work.document.id}, exc_info=True)

    async def _fail(self, work: Work, error: Exception) -> None:
        code, text, passing = _classify(error)
        last = work.attempt >= self._settings.attempts
        if passing and not last:
            log.warning(
                "document will be tried again",
                exc_info=error,
                extra={"document": work.document.id, "code": code},
            )
            not_before = self._clock.now() + _BACKOFF * work.attempt
            async with self._database.write() as session:
                if await repository.retry_job(session, work.job_id, self.owner, not_before):
                    await repository.set_state(session, work.document.id, DocumentState.WAITING)
            return
        unexpected = code == "internal_error"
        log.warning(
            "document failed",
            exc_info=error if unexpected else None,
            extra={"document": work.document.id, "code": code},
        )
        async with self._database.write() as session:
            if await repository.finish_job(
                session, work.job_id, self.owner, JobState.FAILED, self._clock.now()
            ):
                await repository.fail_document(session, work.document.id, code, text.to_json())

    async def _give_up_abandoned(self) -> None:
        """A document that took its worker down in every try is marked failed, not tried for ever."""
        now = self._clock.now()
        async with self._database.read() as session:
            if not await repository.list_abandoned_jobs(session, now, self._settings.attempts):
                return
        async with self._database.write() as session:
            for job in await repository.list_abandoned_jobs(session, now, self._settings.attempts):
                job.state, job.lease_owner, job.lease_until, job.finished_at = (
                    JobState.FAILED,
                    None,
                    None,
                    now,
                )
                await repository.fail_document(
                    session, job.document_id, "worker_died", _WORKER_DIED.to_json()
                )


_WORKER_DIED = Text(
    "处理该文件时后台进程多次中断，请检查文件或联系管理员",
    "the worker died on this file every time; check the file or ask your operator",
)
_DISK_FULL = Text("磁盘空间不足，腾出空间后请重新上传", "the disk is full; make room and upload again")
_INTERNAL = Text(
    "处理该文件时发生内部错误，请联系管理员查看日志", "an internal error; your operator finds it in the log"
)


def _classify(error: Exception) -> tuple[str, Text, bool]:
    """Code and words for people, and whether another try may help."""
    if isinstance(error, LoadError):
        return error.code, Text(error.zh, error.en), False
    if isinstance(error, Busy):
        return error.code, error.text, error.retry_after is not None
    if isinstance(error, Overtaken):
        return error.code, error.text, True
    if isinstance(error, AppError):
        return error.code, error.text, False
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk_full", _DISK_FULL, True
    return "internal_error", _INTERNAL, True
