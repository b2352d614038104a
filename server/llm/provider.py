"""What the adapters share: out of what a provider sends, an answer that is whole, or one error and one line in the log."""

import asyncio
import itertools
import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeGuard, TypeVar

import anyio.to_thread

from server.core.errors import UpstreamBusy, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from server.core.settings import LLMModelSettings
from server.llm import upstream
from server.llm.base import ChatMessage, Delta, ModelRequest, TokenUsage
from server.llm.text import proper
from server.llm.tool_calls import CallPart, CallParts, parts_of

log = logging.getLogger(__name__)
Client = TypeVar("Client")

# For a library whose connections cannot be closed: one per answer.
HEADERS = {"Connection": "close"}
# Failures that may have passed a moment later.
_PASSING = {UpstreamBusy, UpstreamTimeout, UpstreamUnreachable, UpstreamError}
# Seconds: before the second try, doubled for each further one; and from the first try to the last.
_PAUSE = 0.5
_PATIENCE = 10
# Where reasoning models put what they think before they answer.
_THOUGHTS = ("reasoning_content", "reasoning")
_IDENTIFIER = re.compile(r"\w{1,64}", re.A)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk says. `finished`: the provider ends the answer here on purpose. The last `usage` counts.

    `thinking`: no words yet, but the model works on them.
    """

    text: str = ""
    thinking: bool = False
    finished: bool = False
    usage: TokenUsage | None = None
    calls: Sequence[CallPart] = ()


class ProviderModel(ABC, Generic[Client]):
    """A ChatModel behind a library's client."""

    def __init__(self, name: str, settings: LLMModelSettings) -> None:
        self.name, self.context_tokens, self._settings = name, settings.context_tokens, settings
        self.calls_tools = settings.tools
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
        usage, held, calls = None, "", CallParts(self.name)
        with _logged(self.name):
            client = await self._connected()
            async with aclosing(self._tried(client, request)) as pieces:
                async for piece in pieces:
                    finished, usage = finished or piece.finished, piece.usage or usage
                    text, held = proper(held + piece.text)
                    if request.tools:
                        calls.add(piece.calls)
                    said = said or bool(text.strip())
                    if text:
                        yield Delta(text)
            if held:
                said = True
                yield Delta("\ufffd")
            if not said and not calls:
                raise upstream.no_answer(self.name)
            if not finished:
                # The connection ended politely in the middle.
                raise upstream.cut(self.name)
        if usage is not None or calls:
            yield Delta(usage=usage, tool_calls=calls.whole())

    async def _tried(self, client: Client, request: ModelRequest) -> AsyncGenerator[Piece, None]:
        """The pieces of the first call that begins to answer. What may help is tried again, but not for long."""
        begun, started = False, time.monotonic()
        for attempt in itertools.count():
            try:
                async with aclosing(self._patient(self._pieces(client, request))) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
            except UpstreamError as error:
                pause = max(error.retry_after or 0, _PAUSE * 2**attempt)
                if (
                    begun
                    or attempt >= self._settings.retries
                    or type(error) not in _PASSING
                    or time.monotonic() - started + pause > _PATIENCE
                ):
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _patient(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        """End a call that is silent for `idle_timeout`, whatever else it sends to keep the connection busy."""
        loop, settings = asyncio.get_running_loop(), self._settings
        idle = settings.idle_timeout.total_seconds()
        deadline = loop.time() + settings.connect_timeout.total_seconds() + idle
        async with aclosing(pieces):
            while True:
                try:
                    # Around this wait only: the time-out must not reach whoever takes what is yielded.
                    async with asyncio.timeout_at(deadline):
                        piece = await anext(pieces, None)
                except TimeoutError as error:
                    raise upstream.timed_out(self.name) from error
                if piece is None:
                    return
                yield piece
                if piece.text or piece.thinking or piece.calls or piece.finished:
                    deadline = loop.time() + idle

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
        if not key and self._settings.goes_without_key:
            return "none"
        if not key:
            raise upstream.key_missing(self.name)
        if not (key.isascii() and key.isprintable()):
            # The HTTP library would refuse it too, with the key in its words.
            raise upstream.key_refused(self.name)
        return key


def messages_of(request: ModelRequest) -> list[dict[str, Any]]:
    """The messages as all libraries take them."""
    return [_message(message) for message in request.messages]


def _message(message: ChatMessage) -> dict[str, Any]:
    shape: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        shape["content"] = message.content or None
        shape["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        shape["tool_call_id"] = message.tool_call_id
    return shape


def tools_of(request: ModelRequest) -> list[dict[str, Any]]:
    """The tools as all libraries take them."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters),
            },
        }
        for tool in request.tools
    ]


def piece_of(chunk: Any) -> Piece:
    """A chunk of OpenAI's shape. The SDKs check nothing of what comes, so nothing is taken for granted here."""
    choices = getattr(chunk, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    delta, usage = getattr(choice, "delta", None), getattr(chunk, "usage", None)
    text = getattr(delta, "content", None)
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    return Piece(
        text=text if isinstance(text, str) else "",
        thinking=any(getattr(delta, name, None) for name in _THOUGHTS),
        finished=is_proper_end(getattr(choice, "finish_reason", None)),
        usage=TokenUsage(prompt, completion) if _is_count(prompt) and _is_count(completion) else None,
        calls=parts_of(getattr(delta, "tool_calls", None)),
    )


def is_proper_end(reason: object) -> bool:
    """True if a provider says with this that it ended the answer on purpose."""
    # `network_error` is Zhipu's way to say that its model broke down.
    return isinstance(reason, str) and reason not in ("", "network_error")


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


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
