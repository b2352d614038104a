"""The only door from async code to code that blocks.

Each kind of blocking work has a lane with a limit, so that a burst of one kind cannot starve the others.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")
Lane = Literal["model", "rerank", "search", "index", "stores", "io", "crypto", "keys", "templates"]

LIMITS: dict[Lane, int] = {
    "model": 1,  # a local embedding model uses all cores by itself
    "rerank": 2,  # waiting for the engine process, which has one thread that computes
    "search": 4,
    "index": 1,  # one writer of an index
    "stores": 16,  # servers of vectors: threads that wait
    "io": 8,
    "templates": 4,  # programs of the operator's: one that never ends takes none of what files need
    "crypto": 1,  # RSA: one core at most, and what runs there may use plain caches
    "keys": 1,  # drawing an RSA key takes a second, which no login should wait for
}


class Lanes:
    """The limiters of one event loop. Built once in the lifespan and handed to whoever must block."""

    def __init__(self) -> None:
        self._limiters = {lane: anyio.CapacityLimiter(limit) for lane, limit in LIMITS.items()}

    async def run(self, lane: Lane, function: Callable[..., T], *args: object) -> T:
        """Run `function(*args)` in a worker thread of `lane`; waits while the lane is full."""
        # A thread cannot be stopped: on cancellation the lane is held until the function has returned.
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiters[lane])

    def waiting(self, lane: Lane) -> int:
        """How many calls wait for the lane now."""
        return self._limiters[lane].statistics().tasks_waiting
