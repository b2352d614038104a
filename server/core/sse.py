"""Streams that stay alive while nothing happens, and that end properly when the reader goes away."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from server.core.tasks import BackgroundTasks

HEARTBEAT = b": alive\n\n"
Stream = AsyncGenerator[bytes, None]


class EventStream(StreamingResponse):
    """A streaming answer of `text/event-stream`.

    Starlette drops its source where it stands when the reader goes away. Here the source is closed, in a task that
    the request's cancellation does not reach, so that its `finally` blocks run now and may wait.
    """

    media_type = "text/event-stream"

    def __init__(self, source: Stream, tasks: BackgroundTasks, *, heartbeat: float | None = None) -> None:
        """`heartbeat`: seconds of silence after which an SSE comment is sent; None for streams that are not SSE."""
        self._source, self._tasks = source, tasks
        content = source if heartbeat is None else _with_heartbeat(source, heartbeat, tasks)
        super().__init__(content, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._tasks.start(_close(self._source, None))


async def _with_heartbeat(source: Stream, seconds: float, tasks: BackgroundTasks) -> Stream:
    """Pass `source` on, with a comment after each `seconds` of silence so that no proxy hangs up.

    The next item is awaited in a task of its own: a time-out around `anext` itself would cancel the source.
    """
    upcoming = asyncio.ensure_future(_next(source))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=seconds)
            if not done:
                yield HEARTBEAT
                continue
            item = upcoming.result()
            if item is None:
                return
            yield item
            upcoming = asyncio.ensure_future(_next(source))
    finally:
        upcoming.cancel()
        tasks.start(_close(source, upcoming))


async def _next(source: Stream) -> bytes | None:
    return await anext(source, None)


async def _close(source: Stream, running: "asyncio.Future[Any] | None") -> None:
    if running is not None:
        await asyncio.wait({running})
    await source.aclose()
