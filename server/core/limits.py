"""How often something may happen: counted in this process alone, in bounded memory."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import TTLCache

_KEYS = 10_000


@dataclass(slots=True)
class _Window:
    count: int
    end: float


class RateLimit:
    """At most `limit` events per key within `seconds` of the first of them."""

    def __init__(self, limit: int, seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._seconds, self._timer = limit, seconds, timer
        self._windows: TTLCache[str, _Window] = TTLCache(_KEYS, seconds, timer)

    def add(self, key: str) -> None:
        """An event happened."""
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(1, self._timer() + self._seconds)
        else:
            window.count += 1  # in place: to put it again would begin a new window

    def count(self, key: str) -> int:
        """Events of this key in its present window."""
        window = self._windows.get(key)
        return 0 if window is None else window.count

    def wait(self, key: str) -> int | None:
        """Whole seconds until the next event is allowed, None when it is allowed now."""
        window = self._windows.get(key)
        if window is None or window.count < self._limit:
            return None
        return max(1, math.ceil(window.end - self._timer()))
