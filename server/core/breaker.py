"""A pause for what keeps failing, so that nobody waits for it meanwhile (Nygard, Release It!, 2007: circuit breaker)."""

import time
from collections.abc import Callable


class Breaker:
    """Closed until `failures` in a row; then open for `pause` seconds, twice as long each time that one try fails again."""

    def __init__(
        self, failures: int, pause: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed, self._pause, self._longest, self._clock = failures, pause, longest, clock
        self._failures = 0
        self._open_until = 0.0
        self._is_trying = False

    def admit(self) -> bool:
        """May somebody try? After a pause one may, and the others when that one has succeeded.

        Who was admitted says `succeed`, `fail` or `leave` at the end.
        """
        if self._failures < self._allowed:
            return True
        if self._is_trying or self._clock() < self._open_until:
            return False
        self._is_trying = True
        return True

    def succeed(self) -> None:
        self._failures, self._is_trying = 0, False

    def fail(self) -> None:
        self._failures, self._is_trying = self._failures + 1, False
        beyond = self._failures - self._allowed
        if beyond >= 0:
            self._open_until = self._clock() + min(self._pause * 2.0 ** min(beyond, 32), self._longest)

    def leave(self) -> None:
        """It was given up for a reason of one's own."""
        self._is_trying = False
