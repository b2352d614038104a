"""Streams: heartbeats in silence, and an orderly end when the reader goes away."""

import asyncio
from collections.abc import AsyncGenerator

from server.core.sse import HEARTBEAT, EventStream
from server.core.tasks import BackgroundTasks


class Reader:
    """An ASGI server's side of one answer: collects what is sent, and goes away after `patience` pieces."""

    def __init__(self, patience: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self._patience, self._gone = patience, asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, object]) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            self.pieces.append(message["body"])  # type: ignore[arg-type]
            if self._patience is not None and len(self.pieces) >= self._patience:
                self._gone.set()


async def _serve(stream: EventStream, reader: Reader) -> None:
    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    await stream(scope, reader.receive, reader.send)  # type: ignore[arg-type]


async def test_silence_is_filled_and_nothing_is_lost() -> None:
    async def slow() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await asyncio.sleep(0.2)
        yield b"two"

    reader, tasks = Reader(), BackgroundTasks()
    await _serve(EventStream(slow(), tasks, heartbeat=0.05), reader)
    await tasks.drain()
    assert [piece for piece in reader.pieces if piece != HEARTBEAT] == [b"one", b"two"]
    assert reader.pieces.count(HEARTBEAT) >= 2


async def test_without_heartbeat_nothing_is_added() -> None:
    async def slow() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await asyncio.sleep(0.1)
        yield b"two"

    reader, tasks = Reader(), BackgroundTasks()
    await _serve(EventStream(slow(), tasks), reader)
    assert reader.pieces == [b"one", b"two"]
    await tasks.drain()


async def test_a_reader_who_leaves_closes_the_source_and_its_finally_may_wait() -> None:
    for heartbeat in (None, 0.05):
        ended: list[str] = []

        async def endless(ended: list[str] = ended) -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"x"
                    await asyncio.sleep(0.01)
            finally:
                await asyncio.sleep(0)
                ended.append("closed")

        reader, tasks = Reader(patience=3), BackgroundTasks()
        await _serve(EventStream(endless(), tasks, heartbeat=heartbeat), reader)
        await tasks.drain()
        assert ended == ["closed"]


async def test_a_reader_who_leaves_during_silence_closes_the_source() -> None:
    ended: list[str] = []

    async def stuck() -> AsyncGenerator[bytes, None]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            ended.append("closed")

    reader, tasks = Reader(patience=2), BackgroundTasks()
    await _serve(EventStream(stuck(), tasks, heartbeat=0.05), reader)
    await tasks.drain()
    assert ended == ["closed"]
