"""What a model wants called arrives in parts, of several calls mixed; here they become whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.llm import upstream
from server.llm.base import ToolCall
from server.llm.text import proper_whole

# Calls in one answer, and characters of all their arguments.
_MAX_CALLS = 32
_MAX_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class CallPart:
    """A part of call number `index`. Its id and its name come once, its arguments piece by piece."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class CallParts:
    """The calls of one answer so far."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._calls: dict[int, ToolCall] = {}
        self._chars = 0

    def add(self, parts: Sequence[CallPart]) -> None:
        """Raises UpstreamError when there is no end to it."""
        for part in parts:
            known = self._calls.get(part.index, ToolCall("", "", ""))
            self._calls[part.index] = ToolCall(
                known.id or part.id, known.name or part.name, known.arguments + part.arguments
            )
            self._chars += len(part.arguments)
        if len(self._calls) > _MAX_CALLS or self._chars > _MAX_CHARS:
            raise upstream.oversized(self._model)

    def whole(self) -> list[ToolCall]:
        """In order; a call that came without an id is given one. What is no text in them is not: they are sent back."""
        return [
            ToolCall(
                proper_whole(call.id) or f"call_{index}",
                proper_whole(call.name),
                proper_whole(call.arguments),
            )
            for index, call in sorted(self._calls.items())
        ]

    def __bool__(self) -> bool:
        return bool(self._calls)


def parts_of(calls: object) -> list[CallPart]:
    """The `tool_calls` of a chunk of OpenAI's shape. Nothing is taken for granted: the SDKs check nothing."""
    if not isinstance(calls, list):
        return []
    return [_part(position, call) for position, call in enumerate(calls)]


def _part(position: int, call: Any) -> CallPart:
    function, index = getattr(call, "function", None), getattr(call, "index", None)
    return CallPart(
        index if type(index) is int else position,
        _text(getattr(call, "id", None)),
        _text(getattr(function, "name", None)),
        _text(getattr(function, "arguments", None)),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
