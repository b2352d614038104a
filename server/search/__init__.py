"""Searching the web. To add an engine: a file with an Engine, one line in ENGINES, its keys in `[search]`."""

from collections.abc import Callable

from server.core.settings import SearchSettings
from server.search.base import Engine
from server.search.bing import Bing
from server.search.duckduckgo import DuckDuckGo
from server.search.metaphor import Metaphor
from server.search.searxng import Searxng

ENGINES: dict[str, Callable[[SearchSettings], Engine]] = {
    "bing": Bing,
    "duckduckgo": DuckDuckGo,
    "metaphor": Metaphor,
    "searxng": Searxng,
}
