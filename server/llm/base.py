"""What a chat model is, for those who ask it and for those who add one."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from server.llm.quoting import Passage

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that a model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model wants a tool called. `arguments` is the text it wrote, which should be a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """`tool_calls` stand in a message of the assistant, `tool_call_id` in the tool's message that answers one."""

    role: Role
    content: str
    tool_calls: Sequence[ToolCall] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model.

    `messages` is what a language model reads. `question` and `passages` are what it was made of: the quoting answerer
    reads those. `passages` is None when no knowledge base was asked; `unread` documents of it are still on their way.
    `max_tokens` None leaves it to the provider.
    """

    messages: Sequence[ChatMessage]
    question: str
    passages: Sequence[Passage] | None = None
    temperature: float = 0.7
    max_tokens: int | None = None
    unread: int = 0
    # How the quoting answerer spells question and passages to compare them, beyond its own: words that say the same.
    spelling: Callable[[str], str] = str
    tools: Sequence[ToolSpec] = ()
    # For those who speak OpenAI's protocol themselves; a provider that knows no penalties goes without.
    stop: Sequence[str] = ()
    presence_penalty: float = 0
    frequency_penalty: float = 0


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What a provider says a call took, in tokens."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer. `usage` and `tool_calls`, all of them and whole, come at most once and near the end.

    `not_found`: this says that the passages do not answer the question.
    """

    text: str = ""
    usage: TokenUsage | None = None
    tool_calls: Sequence[ToolCall] = ()
    not_found: bool = False


class ChatModel(Protocol):
    """A model that answers. Adapters translate their library's errors into UpstreamError and its children."""

    name: str
    # Room for prompt and answer.
    context_tokens: int
    # Whether it can be given tools.
    calls_tools: bool

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer piece by piece; ends only when the answer is complete. Raises UpstreamError."""
        ...

    async def close(self) -> None:
        """Let go of connections that are kept for the next question."""
        ...
