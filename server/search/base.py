"""What a web search engine is, for those who ask it and for those who add one."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from server.core.fetching import Call
from server.core.i18n import Language

# Characters of a page's title, address and text that are kept.
_TITLE, _URL, TEXT = 200, 2000, 4000


@dataclass(frozen=True, slots=True)
class WebPage:
    """What an engine found: clean text, and an address that begins with http:// or https://."""

    title: str
    url: str
    text: str
    # No engine tells how far a page is from the question; all are as near.
    score: float = 1.0

    @property
    def reading(self) -> str:
        """What a model reads of it."""
        return self.text

    @property
    def context(self) -> str:
        """What the text is about."""
        return self.title

    def place(self, _: Language) -> str:
        """Where it stands, for people."""
        return f"{self.title} {self.url}"


class Engine(ABC):
    """Says what to send and reads what comes back; sending is the transport's task."""

    name: ClassVar[str]
    # What HTTP 403 means there, when it is not that the key was refused: in Chinese and in English.
    forbidden: ClassVar[tuple[str, str] | None] = None

    @abstractmethod
    def missing(self) -> str | None:
        """The key of `[search]` without which this engine cannot work, when it is not set."""

    @abstractmethod
    def call(self, query: str, count: int) -> Call:
        """The request for about `count` pages."""

    @abstractmethod
    def read(self, body: bytes) -> list[WebPage]:
        """The pages of an answer, best first. Raises ValueError when it is no answer of this engine's.

        May take milliseconds of computing.
        """


def json_object(body: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def pages_of(items: object, *, title: str, url: str, text: str) -> list[WebPage]:
    """A list of objects under the names that an engine uses. What has no usable address is left out."""
    if not isinstance(items, list):
        raise ValueError("no list of results")
    return list(_pages(items, title, url, text))


def _pages(items: list[Any], title: str, url: str, text: str) -> Iterator[WebPage]:
    for item in items:
        if isinstance(item, dict) and (page := clean(item.get(title), item.get(url), item.get(text))):
            yield page


def clean(title: object, url: object, text: object) -> WebPage | None:
    """A page of what an engine says, or None when a reader could not open it."""
    address = url.strip() if isinstance(url, str) else ""
    if not _is_web_address(address):
        return None
    return WebPage(_words(title)[:_TITLE] or address, address, _words(text)[:TEXT])


def _words(text: object) -> str:
    """One line of text that can be stored and sent: no NUL, no half of a surrogate pair."""
    if not isinstance(text, str):
        return ""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore").replace("\0", "")
    return " ".join(whole.split())


def _is_web_address(text: str) -> bool:
    if len(text) > _URL or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
