"""The answers of the stand-in for a vendor: what each model streams, as frames of server-sent events."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-stand-in-5f3a9c1b7e"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
# How long a silent model stays silent at most; it ends earlier when its reader goes away.
_SILENCE = 10.0


@dataclass
class Call:
    """One request, and whether its reader went away before the answer was complete."""

    path: str
    headers: dict[str, str]
    body: Any
    # All requests so far, this one included.
    calls: list["Call"] = field(repr=False)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def model(self) -> str:
        return self.body["model"] if self.body else ""

    @property
    def messages(self) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in self.body["messages"]]

    def count(self) -> int:
        """How often this model was asked."""
        return sum(call.model == self.model for call in self.calls)


class Gone(Exception):
    """The reader went away."""


Departure = asyncio.Future[bytes]
Frames = AsyncIterator[bytes]


async def silence(gone: Departure, seconds: float = _SILENCE) -> None:
    if (await asyncio.wait({gone}, timeout=seconds))[0]:
        raise Gone


def echo(call: Call) -> str:
    return f"你问的是：{call.messages[-1][1][:40]}"


def _chunk(text: str | None = None, reason: str | None = None, **fields: Any) -> bytes:
    delta = {} if text is None else {"role": "assistant", "content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    body = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return f"data: {json.dumps(body | fields, ensure_ascii=False)}\n\n".encode()


_DONE = b"data: [DONE]\n\n"
# The connection breaks after these bytes, in the middle of what they announce.
BROKEN = 'data: {"choices": [{"index": 0, "delta": {"content": "半'.encode()
_ERROR = b'data: {"error": {"message": "overloaded %s", "type": "server_error", "code": "overloaded"}}\n\n'


def _text(call: Call) -> list[bytes]:
    text = echo(call)
    return [_chunk(""), *(_chunk(text[i : i + 6]) for i in range(0, len(text), 6))]


def _end(call: Call, usage: dict[str, int] | None = USAGE) -> list[bytes]:
    """OpenAI counts in a chunk of its own and when asked, Zhipu always and in the last chunk with choices."""
    if usage and "/paas/" in call.path:
        return [_chunk("", "stop", usage=usage), _DONE]
    if usage and (call.body.get("stream_options") or {}).get("include_usage"):
        return [_chunk(None, "stop"), _chunk(choices=[], usage=usage), _DONE]
    return [_chunk(None, "stop"), _DONE]


def answer(call: Call) -> list[bytes]:
    return [*_text(call), *_end(call)]


def _begun(call: Call) -> list[bytes]:
    return _text(call)[:2]


def _crlf(call: Call) -> list[bytes]:
    frames = [frame.replace(b"data: ", b"data:").replace(b"\n", b"\r\n") for frame in answer(call)]
    return [b": OPENROUTER PROCESSING\r\n\r\n", *frames]


def _odd(call: Call) -> list[bytes]:
    """What lenient vendors send: chunks without choices, without a delta, with usage of another shape."""
    odd = ("{}", '{"choices": null}', '{"choices": [{"index": 0}]}', '{"choices": [], "usage": {}}')
    return [*(f"data: {body}\n\n".encode() for body in odd), *_text(call), _chunk(None, "stop"), _DONE]


FRAMES: dict[str, Callable[[Call], list[bytes]]] = {
    "no-usage": lambda call: [*_text(call), *_end(call, None)],
    "usage-zero": lambda call: [*_text(call), *_end(call, dict.fromkeys(USAGE, 0))],
    "usage-with-choices": lambda call: [*_text(call), _chunk("。", "stop", usage=USAGE), _DONE],
    "crlf": _crlf,
    "odd-chunks": _odd,
    "empty": lambda _: [_chunk(choices=[]), _DONE],
    "filtered": lambda _: [_chunk("", "content_filter"), _DONE],
    "cut": lambda call: [*_begun(call), BROKEN],
    "polite-cut": _begun,
    "stall": _begun,
    "malformed": lambda call: [*_begun(call), b'data: {"choices": [\n\n', _DONE],
    "model-broke": lambda call: [*_begun(call), _chunk("", "network_error"), _DONE],
    "error-in-stream": lambda call: [*_begun(call), _ERROR % KEY.encode()],
}


async def stream(call: Call, gone: Departure) -> Frames:
    """The frames of the model that was asked, at its pace."""
    if call.model in ("endless", "late"):
        for _ in range(500):
            yield _chunk("字")
            await silence(gone, 0.02)
    if call.model == "gather-15":
        yield _chunk("等")
        while call.count() < 15:
            await silence(gone, 0.02)
    for frame in FRAMES.get(call.model, answer)(call):
        yield frame
    if call.model == "stall":
        await silence(gone)
