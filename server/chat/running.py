"""The answers that this process is writing, and for whom: an answer ends when its caller is disabled.

At once where that is done in this process (`server.admin.deps.Desk`), within seconds where it is done in another one or
on the command line. It also ends when it is stopped.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from server.auth.principal import Principal
from server.auth.repository import list_standing
from server.core.errors import CallerDisabled
from server.db.session import PASSING_FAULTS, Database, tell_fault

log = logging.getLogger(__name__)
T = TypeVar("T")

# Seconds between two looks: what the Authenticator remembers a caller for.
_PERIOD = 5.0


class Stopped(Exception):
    """Whoever asked wants no more of this answer, or the process ends."""


class Run:
    """One answer being written."""

    def __init__(self, caller: Principal, message_id: str) -> None:
        self.caller, self.message_id = (caller.client_id, caller.user_id), message_id
        self._is_cut = False
        self._reason: type[Exception] = CallerDisabled
        self._wait: asyncio.Timeout | None = None

    async def take(self, items: AsyncIterator[T], deadline: float) -> T | None:
        """The next item, None after the last; `deadline` is a time of the loop.

        Raises CallerDisabled, Stopped, TimeoutError.
        """
        if self._is_cut:
            raise self._reason
        try:
            # Around this wait only: the time-out must not reach whoever is given the item.
            async with asyncio.timeout_at(deadline) as self._wait:
                return await anext(items, None)
        except TimeoutError:
            if self._is_cut:
                raise self._reason from None
            raise
        finally:
            self._wait = None

    def cut(self, reason: type[Exception] = CallerDisabled) -> None:
        """Let no further item through, and wait for none: the deadline is now."""
        self._is_cut, self._reason = True, reason
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())


class RunningAnswers:
    """All of them, looked after together: one query however many there are, and none when there are none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: set[Run] = set()

    @contextmanager
    def of(self, caller: Principal, message_id: str = "") -> Iterator[Run]:
        """An answer for this caller, while it is being written."""
        run = Run(caller, message_id)
        self._runs.add(run)
        try:
            yield run
        finally:
            self._runs.discard(run)

    def has(self, message_id: str) -> bool:
        """Is this answer one of this process?"""
        return any(run.message_id == message_id for run in self._runs)

    def stop(self, message_id: str) -> None:
        """End this answer, if it is one of this process."""
        for run in self._runs:
            if run.message_id == message_id:
                run.cut(Stopped)

    async def check(self) -> None:
        """Cut the answers of whoever is disabled or gone; while the database is away, nobody's."""
        if not self._runs:
            return
        seen = list(self._runs)
        try:
            async with self._database.read() as session:
                standing = await list_standing(session, {run.caller for run in seen})
        except PASSING_FAULTS as error:
            tell_fault("callers of running answers not checked", error, log)
            return
        for run in seen:
            if run.caller not in standing:
                log.info(
                    "answer cut, its caller is disabled",
                    extra={"client": run.caller[0], "user": run.caller[1]},
                )
                run.cut()

    async def watch(self) -> None:
        """Check again and again, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            await self.check()
