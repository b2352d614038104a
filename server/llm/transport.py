"""HTTP to a provider, for the SDKs that take an httpx2 client: no redirects, and events of bounded size.

The SDKs collect an event of any size before they parse it, so a provider that never ends one would fill the memory.
"""

from collections.abc import AsyncIterator

import httpx2

from server.core.tls import tls_context
from server.llm import upstream

# Bytes of one server-sent event, or of the body of a refusal.
MAX_EVENT = 1024**2
_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")


def new_client(model: str, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """A client for the provider of this model. Reading raises UpstreamError when an event is too large."""

    async def bound(response: httpx2.Response) -> None:
        # What counts is what the SDK sees; a body that is compressed although we asked for none stays as it is.
        response.headers.pop("content-encoding", None)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _BoundedEvents(response.stream, model)

    return httpx2.AsyncClient(
        verify=tls_context(),
        timeout=timeout,
        headers={"Accept-Encoding": "identity"},
        # Elsewhere is not where the operator sends questions to.
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=100),
        event_hooks={"response": [bound]},
    )


class _BoundedEvents(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, model: str) -> None:
        self._stream, self._model = stream, model

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, tail = 0, b""
        async for part in self._stream:
            seen = tail + part
            end = max(seen.rfind(mark) for mark in _ENDS)
            size = len(seen) - end if end >= 0 else size + len(part)
            if size > MAX_EVENT:
                raise upstream.oversized(self._model)
            yield part
            # An end may come in two parts.
            tail = seen[-2:]

    async def aclose(self) -> None:
        await self._stream.aclose()
