"""What the adapters share: out of what a provider sends, an answer that is whole, or one error and one line in the log."""

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio.to_thread

from server.core.errors import UpstreamError
from server.core.settings import LLMModelSettings
from server.llm import upstream
from server.llm.base import Delta, ModelRequest, TokenUsage

log = logging.getLogger(__name__)
Client = TypeVar("Client")

# For libraries whose client cannot be closed: a connection per answer.
HEADERS = {"Connection": "close"}
# `network_error` is Zhipu's way to say that its model broke down.
NO_PROPER_END = {None, "", "network_error"}
_IDENTIFIER = re.compile(r"\w{1,64}", re.A)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk says. `finished`: the provider ends the answer here on purpose. The last `usage` counts."""

    text: str = ""
    finished: bool = False
    usage: TokenUsage | None = None


class ProviderModel(ABC, Generic[Client]):
    """A ChatModel behind a library's client."""

    def __init__(self, name: str, settings: LLMModelSettings) -> None:
        self.name, self.context_tokens, self._settings = name, settings.context_tokens, settings
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    @abstractmethod
    def _connect(self) -> Client:
        """Import the library and build its client; may take a second. Raises UpstreamError."""

    @abstractmethod
    def _pieces(self, client: Client, request: ModelRequest) -> AsyncGenerator[Piece, None]:
        """Ask, and yield what comes. The library's errors come out as UpstreamError."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        said = finished = False
        usage = None
        with _logged(self.name):
            client = await self._connected()
            async with aclosing(self._pieces(client, request)) as pieces:
                async for piece in pieces:
                    said, finished = said or bool(piece.text.strip()), finished or piece.finished
                    usage = piece.usage or usage
                    if piece.text:
                        yield Delta(piece.text)
            if not said:
                raise upstream.no_answer(self.name)
            if not finished:
                # The connection ended politely in the middle.
                raise upstream.cut(self.name)
        if usage is not None:
            yield Delta(usage=usage)

    async def _connected(self) -> Client:
        """The one client of this model, built at the first question."""
        async with self._connecting:
            if self._client is None:
                self._client = await anyio.to_thread.run_sync(self._connect)
            return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._disconnect(self._client)
            self._client = None

    async def _disconnect(self, client: Client) -> None:
        """Close the library's client; nothing to do for one that keeps no connection."""

    def _key(self) -> str:
        """The key, without the blanks that pasting adds. Raises UpstreamError when it is missing or cannot be one."""
        key = self._settings.api_key.get_secret_value().strip() if self._settings.api_key else ""
        if not key:
            raise upstream.key_missing(self.name)
        if not (key.isascii() and key.isprintable()):
            # The HTTP library would refuse it too, with the key in its words.
            raise upstream.key_refused(self.name)
        return key


def messages_of(request: ModelRequest) -> list[dict[str, str]]:
    """The messages as all libraries take them."""
    return [{"role": message.role, "content": message.content} for message in request.messages]


def piece_of(chunk: Any) -> Piece:
    """A chunk of OpenAI's shape. The SDKs check nothing of what comes, so nothing is taken for granted here."""
    choice = next(iter(getattr(chunk, "choices", None) or ()), None)
    text = getattr(getattr(choice, "delta", None), "content", None)
    usage = getattr(chunk, "usage", None)
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return Piece(
        text=text if isinstance(text, str) else "",
        finished=getattr(choice, "finish_reason", None) not in NO_PROPER_END,
        usage=TokenUsage(prompt, completion)
        if isinstance(prompt, int) and isinstance(completion, int)
        else None,
    )


@contextmanager
def _logged(model: str) -> Iterator[None]:
    """One line for each failure. The provider's own words are not in it: they may quote the key or the question."""
    try:
        yield
    except UpstreamError as error:
        cause = error.__cause__
        fields = {
            "code": error.code,
            "status": getattr(cause, "status_code", None),
            "reason": getattr(cause, "code", None) or getattr(cause, "type", None),
        }
        shown = {key: value for key, value in fields.items() if _IDENTIFIER.fullmatch(str(value or ""))}
        if cause is not None:
            shown["cause"] = type(cause).__name__
        log.warning("provider failed", extra={"model": model, **shown})
        raise
