"""What a client's editors see of the worker's jobs, and what they do with them. Someone else's job does not exist."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import Conflict, NotFound
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import (
    document_repository,
    job_list_repository,
    job_repository,
    rebuild_repository,
    repository,
    version_repository,
)
from server.kb.access import check_queue, lock_own_kb, own_kb
from server.kb.files import FileStore
from server.kb.job_list_repository import Found, Which
from server.kb.job_watch import JobWatch
from server.kb.models import Document, DocumentState, JobState, KnowledgeBase, Slot

CANCELLED = "cancelled"
_CANCELLED = Text(
    "处理已被取消；需要时可以重新处理，或删除该文件",
    "it was cancelled; have it read again when you want it, or delete the file",
)
# Documents that are queued again in one commit.
_MOST = 500


@dataclass(frozen=True, slots=True)
class Retried:
    """How many documents are queued again, and how many more there are."""

    retried: int
    left: int


class Jobs:
    """Every method raises NotFound or KBNotFound for what is not the caller's."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, settings: Settings) -> None:
        self._database, self._files, self._settings = database, files, settings
        self._lanes, self.clock = runtime.lanes, runtime.clock
        self.max_attempts = settings.ingest.attempts
        self.watch = JobWatch(database, runtime.clock, settings.ingest.poll.total_seconds())

    async def list_all(
        self, caller: Principal, name: str | None, which: Which | None, *, offset: int, limit: int
    ) -> tuple[list[Found], int]:
        """Jobs of one knowledge base, or of all that are the caller's own, newest first."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name) if name is not None else None
            return await job_list_repository.list_jobs(
                session,
                caller.client_id,
                kb_id=kb.id if kb else None,
                which=which,
                offset=offset,
                limit=limit,
            )

    async def find_kb(self, caller: Principal, name: str) -> KnowledgeBase:
        """One of which the caller may watch the jobs."""
        async with self._database.read() as session:
            return await own_kb(session, caller, name)

    async def get(self, caller: Principal, job_id: str) -> Found:
        async with self._database.read() as session:
            return await _own(session, caller, job_id)

    async def cancel(self, caller: Principal, job_id: str) -> Found:
        """End it, whether it waits or is worked on: the worker's next look finds it gone. Its document is `failed: cancelled`; one that
        was to replace another goes, as if it had never come. Raises Conflict when it has come to another end."""
        kb_id, gone = (await self.get(caller, job_id)).kb.id, list[Document]()
        async with self._database.write() as session:
            # First, as it locks the knowledge base: a worker that publishes comes before or after, not between.
            await repository.bump_generation(session, kb_id)
            is_ours = await job_repository.cancel_job(session, job_id, self.clock.now())
            found = await _own(session, caller, job_id)
            if is_ours:
                document = found.document
                if document.slot == Slot.NEXT:
                    session.expunge(found.job)  # its row goes with the document's place
                    gone = await version_repository.give_way(session, document, self.clock.now())
                    session.expunge(document)
                    # As who cancelled it is told of it.
                    document.slot, document.state = None, DocumentState.FAILED
                    document.error_code, document.error_text = CANCELLED, _CANCELLED.to_json()
                else:
                    await document_repository.fail_document(
                        session, document.id, CANCELLED, _CANCELLED.to_json()
                    )
                    await session.refresh(document)
        await self._lanes.run("io", self._files.remove_documents, gone)
        if not is_ours and found.document.error_code != CANCELLED:
            raise _ended(found)
        return found

    async def retry(self, caller: Principal, job_id: str) -> Found:
        """Have a document that could not be read tried again, from the bytes there are. One that is on its way already stays so.

        Raises Conflict when there is nothing to try again, TooManyRequests.
        """
        kb_id = (await self.get(caller, job_id)).kb.id
        async with self._database.write() as session:
            await rebuild_repository.lock_kb(session, kb_id)
            found = await _own(session, caller, job_id)
            if found.job.is_open:
                return found
            await check_queue(session, caller.client_id, self._settings)
            if not await document_repository.revive_document(session, found.document.id):
                raise Conflict(
                    Text(
                        "该文件没有失败，无需重试", "this file has not failed: there is nothing to try again"
                    ),
                    code="nothing_to_retry",
                )
            await job_repository.begin_again(session, found.job, self.clock.now())
            await session.flush()
            await session.refresh(found.document)
            return found

    async def retry_failed(self, caller: Principal, name: str) -> Retried:
        """The same for what could not be read in a knowledge base, some hundred at once. Raises TooManyRequests."""
        now = self.clock.now()
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            await check_queue(session, kb.client_id, self._settings)
            failed = await job_list_repository.list_failed(session, kb.id)
            retried = 0
            for document, job in failed[:_MOST]:
                if not await document_repository.revive_document(session, document.id):
                    continue
                retried += 1
                if job is not None and not job.is_open:
                    await job_repository.begin_again(session, job, now)
                else:
                    await job_repository.add_job(session, document, now)
        return Retried(retried, max(0, len(failed) - _MOST))


async def _own(session: AsyncSession, caller: Principal, job_id: str) -> Found:
    found = await job_list_repository.find_job(session, job_id)
    if found is None or found.kb.client_id != caller.client_id:
        raise NotFound(Text("未找到该任务", "job not found"))
    return found


def _ended(found: Found) -> Conflict:
    if found.job.state == JobState.DONE and found.document.state != DocumentState.FAILED:
        words = Text("该文件已处理完成，不能再取消", "this file is done: it cannot be cancelled any more")
    else:
        words = Text("该任务已经失败，无需取消", "this job has failed: there is nothing to cancel")
    return Conflict(words, code="job_ended")
