"""How far a job is and how long its stage will still take, by its own pace."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


@dataclass(slots=True)
class Pace:
    """So much of so much, since when."""

    done: int = 0
    total: int = 0
    # When it was first heard of, and how much was done then: what was there already says nothing of the pace.
    _begun: tuple[float, int] | None = None

    def reach(self, done: int, total: int, at: float) -> None:
        self.done, self.total = done, total
        if self._begun is None:
            self._begun = (at, done)

    def left(self, at: float) -> float | None:
        """Seconds; None until there is a pace."""
        if self._begun is None or self.done <= self._begun[1] or at <= self._begun[0]:
            return None
        since, before = self._begun
        return (self.total - self.done) * (at - since) / (self.done - before)


@dataclass(slots=True)
class Doing:
    """What a worker tells of a job. Nothing is written here; `is_news` says whether there is something to write."""

    now: Callable[[], float] = time.monotonic
    pages: Pace = field(default_factory=Pace)
    passages: Pace = field(default_factory=Pace)
    chars: int = 0
    chunks: int = 0
    is_news: bool = False
    # Its vectors are being written: what is left takes no time.
    is_ending: bool = False

    def read_page(self, done: int, total: int) -> None:
        """The parser's `pages(done, total)`."""
        self.pages.reach(done, total, self.now())
        self.is_news = True

    def read_all(self, chars: int, chunks: int) -> None:
        self.chars, self.chunks = chars, chunks
        self.pages.done = self.pages.total
        self.is_news = True

    def embed(self, done: int, total: int) -> None:
        self.passages.reach(done, total, self.now())

    def to_row(self, now: datetime) -> dict[str, Any]:
        """The columns of `Job`, and nothing is news any more."""
        self.is_news = False
        pace = self.passages if self.chunks else self.pages
        left = pace.left(self.now())
        return {
            "done": self.passages.done,
            "total": self.passages.total,
            "pages_done": self.pages.done,
            "pages_total": self.pages.total,
            "chars": self.chars,
            "chunks": self.chunks,
            "expected_at": None if left is None else now + timedelta(seconds=left),
            "changed_at": now,
        }
