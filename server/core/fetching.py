"""HTTP to services that the operator named: no redirects, a time-out for the whole call, answers of bounded size."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2

from server.core.tls import tls_context

# Bytes of an answer.
_MAX_ANSWER = 2 * 1024**2


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Its address comes from the settings, never from a caller."""

    method: str
    url: str
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: Any = None


class FetchError(Exception):
    """No answer came: `timed_out`, or else nobody is there."""

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("timed out" if timed_out else "unreachable")
        self.timed_out = timed_out


class Fetcher:
    """Sends calls. Nothing is connected before the first one."""

    def __init__(self, timeout: timedelta) -> None:
        self._seconds = timeout.total_seconds()
        self._http: httpx2.AsyncClient | None = None

    async def fetch(self, call: Call) -> tuple[int, bytes]:
        """Status and body. Raises FetchError; ValueError when the body has no end or a header cannot be sent."""
        if self._http is None:
            self._http = httpx2.AsyncClient(
                verify=tls_context(),
                timeout=self._seconds,
                headers={"Accept-Encoding": "identity"},
                # Elsewhere is not where the operator sends questions and keys to.
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=50, max_keepalive_connections=10),
            )
        try:
            async with asyncio.timeout(self._seconds):
                return await self._send(self._http, call)
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise FetchError(timed_out=True) from error
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise FetchError(timed_out=False) from error

    async def _send(self, http: httpx2.AsyncClient, call: Call) -> tuple[int, bytes]:
        body = b""
        async with http.stream(
            call.method, call.url, params=call.params, headers=call.headers, data=call.form, json=call.json
        ) as response:
            async for part in response.aiter_raw():
                body += part
                if len(body) > _MAX_ANSWER:
                    raise ValueError("too long")
        return response.status_code, body

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None
