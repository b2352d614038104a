"""What a chat model is, for those who ask it and for those who add one."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from server.llm.quoting import Passage

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Role
    content: str


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


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """What a provider says a call took, in tokens."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer. `usage` comes at most once, near the end."""

    text: str = ""
    usage: TokenUsage | None = None


class ChatModel(Protocol):
    """A model that answers. Adapters translate their library's errors into UpstreamError and its children."""

    name: str
    # Room for prompt and answer.
    context_tokens: int

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """Yield the answer piece by piece; ends only when the answer is complete. Raises UpstreamError."""
        ...

    async def close(self) -> None:
        """Let go of connections that are kept for the next question."""
        ...
