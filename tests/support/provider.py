"""A stand-in for a vendor's API: a real server that speaks OpenAI's protocol, under OpenAI's path and under Zhipu's.

The model's name says how it behaves: `echo` answers, and those in provider_streams.py, `_REFUSALS` and `_EMBEDDINGS` do
what they are called. It sees bytes and connections, so that an answer may be cut in the middle of a character.
"""

import asyncio
import base64
import hashlib
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.provider_rules import Refusal, check_chat, check_embeddings, check_headers
from tests.support.provider_streams import BROKEN, KEY, USAGE, Call, Departure, Gone, echo, silence, stream

__all__ = ["KEY", "Call", "Provider", "provider_server", "vector_of"]

_REFUSALS = {
    "wrong-key": Refusal(401, "invalid_api_key", f"Incorrect API key provided: {KEY}"),
    "no-credit": Refusal(402, "insufficient_balance", "Insufficient balance"),
    "busy": Refusal(429, "rate_limit_exceeded", "Too many requests"),
    "busy-long": Refusal(429, "rate_limit_exceeded", "Too many requests"),
    "moved": Refusal(307, "moved", "Elsewhere"),
    "down": Refusal(500, "internal", "The server had an error"),
    "bad-request": Refusal(400, "context_length_exceeded", "Too many tokens"),
    "not-found": Refusal(404, "model_not_found", "No such model"),
}  # fmt: skip
_HEADERS = {
    "busy": "Retry-After: 7\r\n",
    "busy-long": "Retry-After: 50\r\n",
    "busy-once": "Retry-After: 1\r\n",
    "moved": "Location: /elsewhere/v1/chat/completions\r\n",
}


class Cut(Exception):
    """The connection is reset here."""


class Provider:
    """What the stand-in was asked, and where it is."""

    def __init__(self, key: str = KEY) -> None:
        self.key = key
        self.calls: list[Call] = []
        self.port = 0

    @property
    def openai(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def zhipu(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/paas/v4"

    def asked(self, model: str) -> list[Call]:
        return [call for call in self.calls if call.model == model]

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, Cut):
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    await self._serve(head.decode("latin-1"), reader, writer)
            finally:
                writer.transport.abort()
                await writer.wait_closed()

    async def _serve(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        method, path, _ = request.split(" ")
        text = await reader.readexactly(int(headers.get("content-length", 0)))
        call = Call(path, headers, json.loads(text) if text else None, self.calls)
        self.calls.append(call)
        try:
            check_headers(headers, self.key, has_body=method == "POST")
            await self._route(f"{method} {path}", call, reader, writer)
        except Refusal as refusal:
            await _send(writer, refusal.status, refusal.body(), extra=_HEADERS.get(call.model, ""))

    async def _route(
        self, route: str, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        prefix, _, operation = route.partition("/v1/" if "/v1/" in route else "/v4/")
        zhipu = prefix.endswith("/api/paas")
        if operation == "models":
            await _send_json(writer, {"object": "list", "data": [{"id": "echo", "object": "model"}]})
        elif operation == "chat/completions":
            check_chat(call.body, zhipu=zhipu)
            _refuse(call)
            await _complete(call, reader, writer)
        elif operation == "embeddings":
            check_embeddings(call.body)
            _refuse(call)
            await _send_vectors(writer, call.body)
        else:
            raise Refusal(404, "unknown_url", f"Unknown request URL: {route}")


def _refuse(call: Call) -> None:
    if call.model == "no-tools" and call.body.get("tools"):
        raise Refusal(400, "unsupported", "this model does not support tools")
    if call.model in _REFUSALS:
        raise _REFUSALS[call.model]
    if call.model == "busy-once" and call.count() == 1:
        raise _REFUSALS["busy"]


async def _complete(call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if call.model == "html":
        await _send(
            writer, 200, "<!doctype html><title>网关</title>".encode(), kind="text/html; charset=utf-8"
        )
    elif call.body.get("stream"):
        # Whatever arrives before the answer has ended is the end of the connection.
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await _stream(call, gone, writer)
        except (Gone, ConnectionError):
            call.left.set()
            raise Cut from None
        finally:
            gone.cancel()
    else:
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": echo(call)},
            "finish_reason": "stop",
        }
        await _send_json(writer, {"object": "chat.completion", "choices": [choice], "usage": USAGE})


async def _stream(call: Call, gone: Departure, writer: asyncio.StreamWriter) -> None:
    if call.model == "slow-start":
        await silence(gone)
    if call.model == "late":
        await silence(gone, 0.4)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for frame in stream(call, gone):
        await _send_frame(writer, frame)
    gone.cancel()
    await asyncio.wait({gone})
    writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _send(
    writer: asyncio.StreamWriter, status: int, body: bytes, *, kind: str = "application/json", extra: str = ""
) -> None:
    head = f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _send_json(writer: asyncio.StreamWriter, data: Any) -> None:
    await _send(writer, 200, json.dumps(data).encode())


async def _send_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    """One chunk of HTTP; a character of several bytes arrives in two packets."""
    writer.write(f"{len(frame):x}\r\n".encode())
    middle = next((i + 1 for i, byte in enumerate(frame) if byte > 127), len(frame))
    for part in (frame[:middle], frame[middle:]):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.001)
    if frame == BROKEN:
        raise Cut
    writer.write(b"\r\n")


# ── embeddings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def vector_of(text: str) -> list[float]:
    """The vector of a text, the same at every call."""
    return [byte / 128 - 1 for byte in hashlib.sha256(text.encode()).digest()[:8]]


_EMBEDDINGS: dict[str, Callable[[list[list[float]]], list[Any]]] = {
    "short": lambda vectors: vectors[:-1],
    "nan": lambda vectors: [[float("nan")] * 8, *vectors[1:]],
    "zero": lambda vectors: [[0.0] * 8, *vectors[1:]],
    "ragged": lambda vectors: [vectors[0][:-1], *vectors[1:]],
}


async def _send_vectors(writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
    model = body["model"]
    if model == "html":
        await _send(writer, 200, b"<!doctype html>", kind="text/html")
        return
    vectors = _EMBEDDINGS.get(model, list)([vector_of(text) for text in body["input"]])
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode() for row in vectors]
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(vectors)]
    if model == "shuffled":
        data = data[1::2] + data[::2]
    await _send_json(writer, {"object": "list", "data": data, "model": model, "usage": USAGE})


@contextmanager
def provider_server() -> Iterator[Provider]:
    """Serve the stand-in on a free port, in a thread of its own."""
    provider, started = Provider(), threading.Event()
    loop: asyncio.AbstractEventLoop
    end: asyncio.Event

    async def serve() -> None:
        nonlocal loop, end
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(provider.converse, "127.0.0.1", 0)
        provider.port = server.sockets[0].getsockname()[1]
        started.set()
        await end.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield provider
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
