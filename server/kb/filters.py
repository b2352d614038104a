"""What a passage's document must be like to be searched."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

# What people say of a document, by name: a date is a text like 2024-03-31.
Value = str | int | float | bool

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both of them too: numbers, or dates. None: without an end."""

    low: int | float | str | None = None
    high: int | float | str | None = None

    def has(self, value: object) -> bool:
        ends: list[Any] = [end for end in (self.low, self.high) if end is not None]
        is_alike = all(map(is_date, [*ends, value])) or all(map(_is_number, [*ends, value]))
        found: Any = value
        return (
            is_alike and (self.low is None or found >= self.low) and (self.high is None or found <= self.high)
        )


@dataclass(frozen=True, slots=True)
class Filters:
    """What a passage's document must be like; empty or None asks nothing. Of `files`, `suffixes` and `tags` one is enough.

    `suffixes` with their dot, in lower case; `properties`: the name of each, and what it must be or lie within.
    """

    files: frozenset[str] = frozenset()
    suffixes: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    tags: frozenset[str] = frozenset()
    properties: tuple[tuple[str, Value | Range], ...] = ()

    def __bool__(self) -> bool:
        return self != Filters()

    def match(self, tags: Collection[str] | None, properties: Mapping[str, Any] | None) -> bool:
        """Does what is said of a document fit? Its name and its date are another matter."""
        if self.tags and self.tags.isdisjoint(tags or ()):
            return False
        said = properties or {}
        return all(name in said and _fits(said[name], wanted) for name, wanted in self.properties)

    def to_json(self) -> dict[str, Any]:
        return {
            "files": sorted(self.files),
            "suffixes": sorted(self.suffixes),
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "tags": sorted(self.tags),
            "properties": {
                name: {"min": wanted.low, "max": wanted.high} if isinstance(wanted, Range) else wanted
                for name, wanted in self.properties
            },
        }


def is_date(value: object) -> bool:
    """A text that is a day of the calendar; two of them compare as texts."""
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(value: object, wanted: Value | Range) -> bool:
    if isinstance(wanted, Range):
        return wanted.has(value)
    # For Python, 1 is true.
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
