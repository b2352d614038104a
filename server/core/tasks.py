"""Work that must be finished although the request that caused it is gone."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)


class BackgroundTasks:
    """Holds tasks until they are done; the application waits for them before it ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        # The process ends: whoever waits for something should not.
        self.ending = asyncio.Event()

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background task failed", exc_info=error)

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the moment when the process is to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)

    async def drain(self) -> None:
        """Wait until everything that was started has ended."""
        self.ending.set()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
