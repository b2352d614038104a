"""What a tool is, for those who add one, and what an agent reports while it works."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from server.core.i18n import Text
from server.kb.hits import Hit
from server.llm.base import ChatMessage, ChatModel
from server.search.base import WebPage


class Arguments(BaseModel):
    """What a model gives a tool. Its JSON schema, with the descriptions, is what the model sees."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)


A = TypeVar("A", bound=Arguments)


class ToolFailed(Exception):
    """A tool has nothing to give; the words go to the model and to the reader."""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a tool brought: of a knowledge base, which is named then, or of the web."""

    source: Hit | WebPage
    kb_name: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool says: text, and passages, which are numbered for the model and cited."""

    text: str
    found: Sequence[Found] = ()


@dataclass(frozen=True, slots=True)
class Tool(Generic[A]):
    """Something a model may call. `call` raises ToolFailed or AppError; its words, and no others, are told."""

    name: str
    title: Text
    description: str
    arguments: type[A]
    call: Callable[[A], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Task:
    """A question for an agent. `room`: characters that tools may bring in all."""

    model: ChatModel
    messages: Sequence[ChatMessage]
    question: str
    tools: Sequence[Tool[Any]]
    room: int
    temperature: float = 0.7
    max_tokens: int | None = None


# ── what it reports ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the model, as they come; also those before it calls a tool."""

    text: str


@dataclass(frozen=True, slots=True)
class Used:
    """A tool was called. `found`: what of it is new, in the order of its numbers."""

    name: str
    title: Text
    arguments: str
    output: str
    failed: bool
    found: Sequence[Found]


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of one call of the model."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Concluded:
    """The answer."""

    text: str


Report = Said | Used | Counted | Concluded
