"""Streams that stay alive while nothing happens, and that end properly when the reader goes away."""

import asyncio
from collections.abc import AsyncGenerator

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
        self._upcoming: asyncio.Future[bytes | None] | None = None
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(self._pump(heartbeat), headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._tasks.start(self._close())

    async def _pump(self, seconds: float | None) -> Stream:
        """Pass the source on, with a comment after each `seconds` of silence so that no proxy hangs up.

        Each item is awaited in a task of its own: neither a time-out nor the request's cancellation may reach into
        the source.
        """
        while True:
            self._upcoming = asyncio.ensure_future(anext(self._source, None))
            while not (await asyncio.wait({self._upcoming}, timeout=seconds))[0]:
                yield HEARTBEAT
            item = self._upcoming.result()
            if item is None:
                return
            yield item

    async def _close(self) -> None:
        if self._upcoming is not None:
            self._upcoming.cancel()
            await asyncio.wait({self._upcoming})
        await self._source.aclose()
