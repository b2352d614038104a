"""Slow and silent connections are closed; long answers and idle readers are not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from server.core import connections, http
from tests.conftest import Callers
from tests.support.api import serving

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database

HEAD = b"GET /slow HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_PATIENCE", 0.4)
    monkeypatch.setattr(http, "_BODY_PATIENCE", 0.4)


@pytest.fixture
async def slow_app() -> AsyncIterator[str]:
    """Answers after longer than a head may take."""
    app = FastAPI()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.8)
        return "at last"

    async with serving(app) as base:
        yield base


async def _connect(base: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where: Any = urlsplit(base)
    return await asyncio.open_connection(where.hostname, where.port)


async def _trickle(base: str, *pieces: bytes, pause: float = 0.1) -> float:
    """Send pieces; return how long it took until the server closed without an answer."""
    reader, writer = await _connect(base)
    started = time.monotonic()

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 30) == b""
    sending.cancel()
    writer.close()
    return time.monotonic() - started


@pytest.mark.parametrize("pieces", [(), (b"GET / HTTP/1.1\r\n",), (HEAD, *[b"X-A: b\r\n"] * 40)])
async def test_a_head_that_does_not_come(slow_app: str, pieces: tuple[bytes, ...]) -> None:
    assert 0.3 < await _trickle(slow_app, *pieces) < 3


async def test_a_second_head_that_does_not_come(slow_app: str) -> None:
    reader, writer = await _connect(slow_app)
    writer.write(HEAD + b"\r\n")
    assert b"at last" in await asyncio.wait_for(reader.readuntil(b'"at last"'), 30)
    writer.write(HEAD)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_a_reader_that_never_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_PATIENCE", 1)
    open_now = 0

    class Counted(connections.ImpatientProtocol):
        def connection_made(self, transport: Any) -> None:
            nonlocal open_now
            open_now += 1
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal open_now
            open_now -= 1
            super().connection_lost(exc)

    monkeypatch.setattr("tests.support.api.ImpatientProtocol", Counted)
    app = FastAPI()

    @app.get("/slow")
    async def much() -> StreamingResponse:
        return StreamingResponse(b"x" * 2**20 for _ in range(20))

    async with serving(app) as base:
        where: Any = urlsplit(base)
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(reader, (where.hostname, where.port))
            await loop.sock_sendall(reader, HEAD + b"\r\n")
            await asyncio.sleep(0.5)
            assert open_now == 1
            for _ in range(100):
                await asyncio.sleep(0.1)
                if not open_now:
                    break
            assert open_now == 0


async def test_a_body_that_does_not_come(callers: Callers) -> None:
    key = await callers.key("acme", "chat")
    reader, writer = await _connect(callers.address)
    credential = key.http.headers["authorization"].encode()
    writer.write(
        b"POST /chat/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
        b"Authorization: " + credential + b'\r\n\r\n{"query"'
    )
    answer = await asyncio.wait_for(reader.read(), 30)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"error"' in answer
    writer.close()
