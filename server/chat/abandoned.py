"""Answers whose process was killed: nobody writes them any more, and their rows do not know."""

import asyncio
import logging
from datetime import timedelta

from server.chat import repository
from server.chat.running import RunningAnswers
from server.core.runtime import Runtime
from server.db.session import Database

log = logging.getLogger(__name__)

# How long the process that writes a detached answer may be silent before it is taken for dead.
LEASE = timedelta(seconds=20)


class Abandoned:
    """Marks them as cut. Should one be written after all, by another process, it is stored over this."""

    def __init__(
        self, database: Database, runtime: Runtime, running: RunningAnswers, max_answer_time: timedelta
    ) -> None:
        """`max_answer_time`: what an answer may take that renews no lease, since its reader holds the connection."""
        self._database, self._clock, self._tasks = database, runtime.clock, runtime.tasks
        self._running, self._max_answer_time = running, max_answer_time

    async def watch(self) -> None:
        """Look for them now, when another process may have died, and again and again, until cancelled."""
        while True:
            # A task of its own: what is being committed is not broken off, and what fails is logged there.
            await asyncio.wait({self._tasks.start(self._close_all())})
            await asyncio.sleep(min(LEASE, self._max_answer_time).total_seconds())

    async def _close_all(self) -> None:
        now = self._clock.now()
        async with self._database.read() as session:
            abandoned = await repository.list_abandoned(session, now, now - self._max_answer_time)
        for message_id in abandoned:
            if not self._running.has(message_id):  # its lease was not renewed, as the database was held
                await self.close(message_id)

    async def close(self, message_id: str) -> None:
        """If it has not been heard of for its time."""
        now = self._clock.now()
        async with self._database.write() as session:
            is_cut = await repository.cut_abandoned(session, message_id, now, now - self._max_answer_time)
        if is_cut:
            log.warning("answer was abandoned", extra={"message_id": message_id})
