"""Watching jobs: one look at the database every half second for all who watch in this process, whichever process does the work."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

from server.core.clock import Clock
from server.db.session import PASSING_FAULTS, Database, tell_fault
from server.kb import job_list_repository
from server.kb.job_list_repository import Found
from server.kb.models import KnowledgeBase

log = logging.getLogger(__name__)

# How far the clocks of several machines may be apart, and a change behind its commit.
_APART = timedelta(seconds=10)
# Seconds between two looks for jobs that were deleted, and after which whoever watches has to ask again: for a caller who may
# not any more, that is the end.
_LOOK, _LIFE = 2.0, 600.0
_PAGE = 500


class Listener:
    """Somebody who watches, and what they are still to be told: of each job the newest."""

    def __init__(self, client_id: str, kb_id: str | None) -> None:
        self.client_id, self._kb_id = client_id, kb_id
        self._told: dict[str, tuple[datetime, str, str]] = {}
        self._news: dict[str, Found | None] = {}
        self._is_there = asyncio.Event()
        self.open: set[str] = set()
        self.is_over = False

    def hear(self, rows: Iterable[Found]) -> None:
        for found in rows:
            job = found.job
            if job.client_id != self.client_id or self._kb_id not in (None, job.kb_id):
                continue
            state = (job.changed_at, job.state, found.document.state)
            if self._told.get(job.id) != state:
                self._told[job.id] = state
                self._news[job.id] = found
                self._is_there.set()
                (self.open.add if job.is_open else self.open.discard)(job.id)

    def miss(self, there: set[str]) -> None:
        for job_id in self.open - there:
            self.open.discard(job_id)
            self._news[job_id] = None
            self._is_there.set()

    def end(self) -> None:
        """They are told nothing more."""
        self.is_over = True
        self._is_there.set()

    async def next(self) -> dict[str, Found | None]:
        """What is new by the jobs' ids; None of one that is deleted."""
        await self._is_there.wait()
        self._is_there.clear()
        news, self._news = self._news, {}
        return news


class JobWatch:
    """Looks while anybody watches."""

    def __init__(self, database: Database, clock: Clock, period: float) -> None:
        self._database, self._clock, self._period = database, clock, period
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None

    async def follow(
        self, client_id: str, kb: KnowledgeBase | None = None
    ) -> AsyncGenerator[tuple[str, Found | None]]:
        """The client's jobs, or those of one knowledge base: all that are open, then each that changes, by its id; None when it
        was deleted. Ends after some minutes, so that whoever watches asks again."""
        listener = Listener(client_id, kb.id if kb else None)
        self._listeners.add(listener)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            with suppress(TimeoutError):
                end = asyncio.get_running_loop().time() + _LIFE
                await self._begin(listener, kb.id if kb else None)
                while not listener.is_over:
                    async with asyncio.timeout_at(end):
                        news = await listener.next()
                    for job_id, found in news.items():
                        yield job_id, found
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    def close(self) -> None:
        """The process ends, and would wait for those who watch."""
        for listener in self._listeners:
            listener.end()

    async def _begin(self, listener: Listener, kb_id: str | None) -> None:
        offset, total = 0, 1
        while offset < total:
            async with self._database.read() as session:
                rows, total = await job_list_repository.list_jobs(
                    session, listener.client_id, kb_id=kb_id, which="open", offset=offset, limit=_PAGE
                )
            listener.hear(rows)
            offset += _PAGE

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        since, looked = self._clock.now(), loop.time()
        while True:
            await asyncio.sleep(self._period)
            now = self._clock.now()
            clients = {listener.client_id for listener in self._listeners}
            try:
                async with self._database.read() as session:
                    rows = await job_list_repository.list_changed(session, clients, since - _APART)
                for listener in self._listeners:
                    listener.hear(rows)
                if loop.time() - looked > _LOOK:
                    looked = loop.time()
                    await self._look_for_deleted()
            except PASSING_FAULTS as error:
                tell_fault("jobs not looked at", error, log)
            else:
                since = now

    async def _look_for_deleted(self) -> None:
        known = set[str]().union(*(listener.open for listener in self._listeners))
        if not known:
            return
        async with self._database.read() as session:
            there = await job_list_repository.list_there(session, known)
        for listener in self._listeners:
            # One that it has heard of in between is not among those that were asked for.
            listener.miss(there | (listener.open - known))
