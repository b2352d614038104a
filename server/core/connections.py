"""Connections whose other end is slow on purpose or gone: they are closed, not kept."""

import socket
from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Seconds for a request's line and headers, from the first byte or from the connection's start.
HEAD_PATIENCE = 15
# Seconds in which the other end takes nothing of what was sent: then the system ends the connection, which uvicorn keeps
# for as long as there is something left to send.
WRITE_PATIENCE = 60
# The extension of a request's scope that has the other end's address, also where a proxy's header says another one.
PEER = "chat2llm.peer"


class ImpatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a deadline for the head of each request.

    uvicorn itself limits only how long a connection may idle between two requests (Slowloris, 2009).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        where = transport.get_extra_info("socket")
        if where is not None and where.family in (socket.AF_INET, socket.AF_INET6):
            where.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(WRITE_PATIENCE * 1000))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()
        if self.client is not None:
            self.scope["extensions"] = {PEER: {"address": self.client[0]}}

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_PATIENCE, self._close)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        # A pipelined request's head may be late while the answer to the one before is still being sent.
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
