"""What happens while an answer is made. `ChatService.answer` yields these; encoders turn them into bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from server.core.errors import AppError
from server.core.i18n import Text
from server.kb.hits import Hit
from server.search.base import WebPage

Source = Hit | WebPage


@dataclass(frozen=True, slots=True)
class Started:
    message_id: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The passages the answer is made of, number 1 first; `docs` are the same as citations for people, in Markdown.

    `unread`: files of the conversation that are still being read, so that nothing here is of them.
    """

    hits: Sequence[Source]
    docs: list[str]
    unread: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """An agent has called a tool. `arguments`: as the model wrote them; `output`: what it was told."""

    name: str
    title: Text
    arguments: str
    output: str
    failed: bool


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """What an agent concludes: the last part of its text, without what it said on the way."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Said:
    """The answer is whole; what follows tells whether it is stored, and may take a while."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`outcome` and `checks`: see `checking.judge`; None where nothing was looked up."""

    message_id: str
    outcome: str | None = None
    checks: Sequence[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer ends here, incomplete."""

    error: AppError


@dataclass(frozen=True, slots=True)
class Cut:
    """The answer was stopped; what was said is kept."""

    message_id: str


Event = Started | Sources | TextDelta | ToolUse | FinalAnswer | Usage | Said | Finished | Failed | Cut
