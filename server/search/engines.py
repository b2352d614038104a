"""The engines of this server by name, and one way to ask them all."""

import logging
from urllib.parse import urlsplit

from server.core.errors import AppError, SearchEngineNotFound
from server.core.fetching import Fetcher, FetchError
from server.core.settings import SearchSettings
from server.core.threads import Lanes
from server.search import ENGINES, failures
from server.search.base import Engine, WebPage

log = logging.getLogger(__name__)

# Characters of a question that an engine is given: none takes much more.
_MAX_QUERY = 400


class SearchEngines:
    """Searches the web. Nothing is connected before the first question."""

    def __init__(self, settings: SearchSettings, lanes: Lanes) -> None:
        self._settings, self._lanes = settings, lanes
        self._engines = {name: make(settings) for name, make in ENGINES.items()}
        self._fetcher = Fetcher(settings.timeout)

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
        try:
            call = engine.call(" ".join(query.split())[:_MAX_QUERY], count)
            status, body = await self._fetcher.fetch(call)
            if status != 200:
                raise failures.by_status(engine, status)
            pages = await self._lanes.run("io", engine.read, body)
        except AppError as error:
            raise self._logged(engine, error)  # noqa: B904 (it is the same one)
        except FetchError as error:
            failed = failures.timed_out if error.timed_out else failures.unreachable
            raise self._logged(engine, failed(engine.name)) from error
        except UnicodeEncodeError:  # a key that no header can carry; the words would quote it
            raise self._logged(engine, failures.key_unusable(engine.name)) from None
        except ValueError as error:
            raise self._logged(engine, failures.odd(engine.name)) from error
        unique: dict[str, WebPage] = {}
        for page in pages:
            unique.setdefault(page.url, page)
        return list(unique.values())[:count]

    def _logged(self, engine: Engine, error: AppError) -> AppError:
        """One line for each failure, without the question and without what the engine said."""
        host = urlsplit(str(getattr(self._settings, f"{engine.name}_url", ""))).hostname or "-"
        log.warning("search engine failed", extra={"engine": engine.name, "code": error.code, "host": host})
        return error

    async def close(self) -> None:
        await self._fetcher.close()
