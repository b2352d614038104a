"""The engines of this server by name, and HTTP to them: configured addresses only, no redirects, bounded answers."""

import asyncio
import logging
from urllib.parse import urlsplit

import httpx2

from server.core.errors import AppError, SearchEngineNotFound
from server.core.settings import SearchSettings
from server.core.threads import Lanes
from server.search import ENGINES, failures
from server.search.base import Call, Engine, WebPage

log = logging.getLogger(__name__)

# Bytes of an answer.
_MAX_ANSWER = 2 * 1024**2
# Characters of a question that an engine is given: none takes much more.
_MAX_QUERY = 400


class SearchEngines:
    """Searches the web. Nothing is connected before the first question."""

    def __init__(self, settings: SearchSettings, lanes: Lanes) -> None:
        self._settings, self._lanes = settings, lanes
        self._engines = {name: make(settings) for name, make in ENGINES.items()}
        self._http: httpx2.AsyncClient | None = None

    def names(self) -> list[str]:
        return list(self._engines)

    def get(self, name: str) -> Engine:
        """Raises SearchEngineNotFound, SearchEngineNotReady."""
        engine = self._engines.get(name)
        if engine is None:
            raise SearchEngineNotFound(name, self.names())
        if (key := engine.missing()) is not None:
            raise failures.not_ready(name, key)
        return engine

    async def search(self, engine: Engine, query: str, count: int) -> list[WebPage]:
        """Up to `count` pages, best first, none twice. Raises UpstreamError."""
        call = engine.call(" ".join(query.split())[:_MAX_QUERY], count)
        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                status, body = await self._send(call)
            if status != 200:
                raise failures.by_status(engine, status)
            pages = await self._lanes.run("io", engine.read, body)
        except AppError as error:
            raise self._logged(engine, error)  # noqa: B904 (it is the same one)
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise self._logged(engine, failures.timed_out(engine.name)) from error
        except UnicodeEncodeError:  # a key that no header can carry; the words would quote it
            raise self._logged(engine, failures.key_unusable(engine.name)) from None
        except (httpx2.RequestError, httpx2.InvalidURL) as error:
            raise self._logged(engine, failures.unreachable(engine.name)) from error
        except ValueError as error:
            raise self._logged(engine, failures.odd(engine.name)) from error
        unique: dict[str, WebPage] = {}
        for page in pages:
            unique.setdefault(page.url, page)
        return list(unique.values())[:count]

    async def _send(self, call: Call) -> tuple[int, bytes]:
        """Status and body. Raises ValueError when the body has no end."""
        if self._http is None:
            self._http = httpx2.AsyncClient(
                timeout=self._settings.timeout.total_seconds(),
                headers={"Accept-Encoding": "identity"},
                # Elsewhere is not where the operator sends questions and keys to.
                follow_redirects=False,
                limits=httpx2.Limits(max_connections=50, max_keepalive_connections=10),
            )
        body = b""
        async with self._http.stream(
            call.method, call.url, params=call.params, headers=call.headers, data=call.form, json=call.json
        ) as response:
            async for part in response.aiter_raw():
                body += part
                if len(body) > _MAX_ANSWER:
                    raise ValueError("too long")
        return response.status_code, body

    def _logged(self, engine: Engine, error: AppError) -> AppError:
        """One line for each failure, without the question and without what the engine said."""
        host = urlsplit(str(getattr(self._settings, f"{engine.name}_url", ""))).hostname or "-"
        log.warning("search engine failed", extra={"engine": engine.name, "code": error.code, "host": host})
        return error

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None
