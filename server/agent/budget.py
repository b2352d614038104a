"""What the tools of one answer may cost: calls, seconds, and characters that the model must read."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.core.settings import AgentSettings

# Characters of one tool's output, and what is too little to be worth a call.
_MAX_OUTPUT = 6000
_LEAST = 200


class Budget:
    """Counts down. Once something is used up, no further tool is offered."""

    def __init__(self, settings: AgentSettings, room: int) -> None:
        """`room`: characters that all tools may bring in."""
        self.calls, self._room = settings.max_calls, room
        self._tool_seconds = settings.tool_timeout.total_seconds()
        # Spent by tools only: a model that thinks for long takes nothing from them.
        self._seconds = settings.max_time.total_seconds()

    @property
    def is_spent(self) -> bool:
        return self.calls <= 0 or self._room < _LEAST or self._seconds <= 0

    def take_call(self) -> bool:
        """False when there is nothing left for one more call."""
        if self.is_spent:
            return False
        self.calls -= 1
        return True

    @asynccontextmanager
    async def spend_time(self) -> AsyncIterator[None]:
        """The time that a call may take, and what it took. Raises TimeoutError."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(min(self._tool_seconds, self._seconds)):
                yield
        finally:
            self._seconds -= time.monotonic() - started

    def has_room(self, text: str) -> bool:
        return len(text) <= self._room

    def fit(self, output: str) -> str:
        """As much of an output as there is room for."""
        limit = max(min(_MAX_OUTPUT, self._room), 0)
        fitting = output if len(output) <= limit else f"{output[:limit]}…"
        self._room -= len(fitting)
        return fitting
