"""The only source of wall time, so that tests can move it. Durations use time.monotonic()."""

from datetime import UTC, datetime


class Clock:
    """Wall time in UTC."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FrozenClock(Clock):
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at
