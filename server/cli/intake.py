"""Knowledge bases and files on their way in, and the reading of what was queued."""

import asyncio
from datetime import datetime

from tqdm import tqdm

from server.auth.principal import Principal, Scope
from server.auth.users import DEMO_CLIENT
from server.cli.report import Report
from server.cli.task import Task
from server.core.errors import AppError, EmbeddingUnavailable, ModelNotFound
from server.kb import job_repository
from server.kb.folders import FoundFile
from server.kb.models import KnowledgeBase
from server.kb.uploads import Upload
from server.services import Services
from server.worker import open_worker


def operator(client_id: str) -> Principal:
    """Whoever runs the command, as the client whose knowledge base it is."""
    return Principal(client_id, "init_db", "", frozenset(Scope))


class Intake:
    """Makes knowledge bases, takes files in and reads them."""

    def __init__(self, services: Services, report: Report, task: Task) -> None:
        self._services, self._report, self._task = services, report, task

    async def make_kb(
        self,
        name: str,
        *,
        zh_name: str = "",
        info: str = "",
        model: str | None = None,
        created_at: datetime | None = None,
    ) -> KnowledgeBase:
        """For the client of the task, and as it was with chat2llm for readers of all, unless it is to be private.

        `created_at`: when it was made elsewhere. With `--embed-model` or else with `model`; with the server's own where that is not there. Raises AppError.
        """
        caller = operator(self._task.client or DEMO_CLIENT)
        wanted = self._task.embed_model or model
        try:
            kb = await self._services.kb.create(
                caller, name, zh_name=zh_name or name, info=info, model=wanted
            )
        except (ModelNotFound, EmbeddingUnavailable):
            if self._task.embed_model is not None:  # asked for, so that nothing else will do
                raise
            kb = await self._services.kb.create(caller, name, zh_name=zh_name or name, info=info)
            self._report.note(
                f"knowledge base {name}: no model {wanted} here, its vectors are {kb.embed_model}'s"
            )
        async with self._services.database.write() as session:
            row = await session.get_one(KnowledgeBase, kb.id)
            row.shared, row.created_at = not self._task.private, created_at or row.created_at
        self._report.count("knowledge bases", "taken")
        return kb

    async def take_file(self, kb: KnowledgeBase, file: FoundFile, *, override: bool = False) -> None:
        """Copy a file in; the worker reads it. What is none is told."""
        what = f"{kb.name}/{file.name}"
        if file.fault:
            self._report.refuse("documents", what, file.fault)
            return
        try:
            with file.path.open("rb") as stream:
                upload = Upload(file.name, file.path.stat().st_size, stream)
                await self._services.kb.uploads.take(
                    kb, upload, self._services.kb.choose_chunking(kb=kb), override=override
                )
        except AppError as error:
            self._report.refuse("documents", what, error.text.en)
        except OSError as error:
            self._report.refuse("documents", what, error.strerror or str(error))
        else:
            self._report.count("documents", "taken")

    async def read(self) -> None:
        """Read all that waits, with a bar to look at. A server that is running reads along."""
        database, settings = self._services.database, self._services.settings.ingest
        since = self._services.runtime.clock.now()
        async with database.read() as session:
            total = await job_repository.count_open_jobs(session)
        with tqdm(total=total, desc="reading documents", unit="file", disable=None) as bar:
            async with open_worker(self._services) as worker:
                left = total
                while left:
                    if not await worker.step():
                        await asyncio.sleep(
                            settings.poll.total_seconds()
                        )  # another one is at it, or a pause is on
                    async with database.read() as session:
                        left = await job_repository.count_open_jobs(session)
                    bar.update(total - left - bar.n)
        async with database.read() as session:
            for document, kb in await job_repository.list_failed_since(session, since):
                reason = (document.error_text or {}).get("en", document.error_code or "")
                self._report.refuse("documents", f"{kb.name}/{document.file_name} could not be read", reason)
