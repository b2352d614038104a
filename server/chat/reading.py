"""What one reader of an answer is told: whatever is new since they were told something last."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from server.chat import sources
from server.chat.telling import Telling
from server.core.i18n import Language, Text

_POSITION = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frame:
    """A server-sent event. `id`: what a reader who comes back names, see `Position`."""

    event: str
    data: dict[str, Any]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """How many characters of which version of the text somebody has."""

    chars: int
    version: int

    @classmethod
    def read(cls, text: str) -> "Position":
        """What `str` wrote; anything else is a place in a text that never was, so that the whole is told again."""
        found = _POSITION.fullmatch(text)
        return cls(int(found[1]), int(found[2] or 0)) if found else cls(0, -1)

    def __str__(self) -> str:
        """`120`: the number of characters; `120.2` once the text was begun anew."""
        return f"{self.chars}.{self.version}" if self.version else f"{self.chars}"


# Texts that may be seen after somebody came and yet be from before: one that was looked up here already, and one that the
# process that writes was just storing.
_ON_ITS_WAY = 2


class Reader:
    """Somebody who reads one answer."""

    def __init__(self, language: Language, has: Position | None) -> None:
        """`has`: what they read before their connection broke."""
        self._language = language
        self._has = has
        self._begun = False
        # How long the text was when it was last looked at, and how often it has grown since they came.
        self._length: int | None = None
        self._grown = 0
        self._stage: tuple[str, int | None] | None = None
        self._sources: list[dict[str, Any]] | None = None
        self._usage: dict[str, int] | None = None
        self._tools = 0

    def news(self, told: Telling) -> Iterator[Frame]:
        """Everything that is new; the last frame is the last of all once the answer has ended."""
        if not self._begun:
            self._begun = True
            data = {"message_id": told.message_id, "query": told.query, "session_id": told.session_id}
            yield Frame("started", data)
        if told.state == "writing" and (told.stage, told.count) != self._stage:
            self._stage = told.stage, told.count
            yield Frame("status", {"stage": told.stage, "count": told.count})
        yield from self._found(told)
        yield from self._text(told)
        if told.usage is not None and told.usage != self._usage:
            self._usage = told.usage
            yield Frame("usage", told.usage)
        if told.state != "writing":
            yield self._end(told)

    def _found(self, told: Telling) -> Iterator[Frame]:
        """Sources and tools. Who comes back gets them again; their numbers tell that they are the same."""
        for tool in told.tools[self._tools :]:
            title = Text(**tool["title"]).in_language(self._language)
            yield Frame("tool", tool | {"title": title})
        self._tools = len(told.tools)
        if told.sources is not None and told.sources != self._sources:
            self._sources = told.sources
            yield Frame("sources", {"hits": sources.tell(told.sources, self._language)})

    def _text(self, told: Telling) -> Iterator[Frame]:
        now, has = Position(len(told.text), told.version), self._has
        is_other = has is not None and has.version != now.version
        # What a killed process said last may have been read without having been stored. While it is written, another process
        # may have told more than is stored yet: only a text that is still shorter when all that was on its way must be there
        # never was so long.
        self._grown += self._length is not None and now.chars > self._length
        self._length = now.chars
        has_come = self._grown > _ON_ITS_WAY or told.state != "writing"
        is_shorter = has is not None and has.chars > now.chars and has_come
        if is_other or is_shorter:
            self._has = now
            yield Frame("replace", {"text": str(told.text)}, str(now))
        elif now.chars > (has.chars if has else 0):
            self._has = now
            yield Frame("delta", {"text": told.text.since(has.chars if has else 0)}, str(now))

    def _end(self, told: Telling) -> Frame:
        if told.state == "done":
            data = {"message_id": told.message_id, "outcome": told.outcome, "follow_ups": told.follow_ups}
            nearest = sources.tell_places(told.nearest, self._language)
            return Frame("finished", data | {"checks": told.checks or [], "nearest": nearest})
        if told.state == "failed":
            error = told.error or {"code": "internal_error", "zh": "", "en": "", "request_id": ""}
            message = Text(error["zh"], error["en"]).in_language(self._language)
            shown = {"code": error["code"], "message": message, "request_id": error["request_id"]}
            return Frame("failed", {"error": shown})
        return Frame("cut", {"message_id": told.message_id})
