"""A value that another system gives out for a while: kept while it is good, fetched once for all who wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable

# Given up this early, so that what was good when it was taken still is when it arrives.
_MARGIN = 300.0


class Expiring:
    """One value with its end. Whoever comes while it is being fetched waits for that fetch and shares its outcome."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[str, float]]],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` returns the value and for how many seconds it is good."""
        self._fetch, self._monotonic = fetch, monotonic
        self._value: str | None = None
        self._end = 0.0
        self._flight: asyncio.Task[str] | None = None

    async def get(self, *, instead_of: str | None = None) -> str:
        """Return the value; another one than `instead_of`, which was refused. Raises what `fetch` raises."""
        if self._value is not None and self._value != instead_of and self._monotonic() < self._end:
            return self._value
        if self._flight is None:
            self._flight = asyncio.get_running_loop().create_task(self._renew())
            self._flight.add_done_callback(self._landed)
        # A reader who goes away does not take the fetch from the others.
        return await asyncio.shield(self._flight)

    async def close(self) -> None:
        """End a fetch that is still under way."""
        if (flight := self._flight) is not None:
            flight.cancel()
            await asyncio.wait({flight})

    async def _renew(self) -> str:
        value, seconds = await self._fetch()
        self._value, self._end = value, self._monotonic() + seconds - min(_MARGIN, seconds / 10)
        return value

    def _landed(self, flight: "asyncio.Task[str]") -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # seen, also when everybody who waited for it is gone
