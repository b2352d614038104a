"""DuckDuckGo's page without scripts. It has no API for web results, so its HTML is read (docs/decisions/10-web-search.md)."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from server.core.fetching import Call
from server.core.settings import SearchSettings
from server.search.base import Engine, WebPage, clean

_CLASS = "contains(concat(' ', normalize-space(@class), ' '), ' {} ')"
_RESULTS = f"//div[{_CLASS.format('web-result')}][not({_CLASS.format('result--ad')})]"
_TITLE = f".//a[{_CLASS.format('result__a')}]"
_TEXT = f".//*[{_CLASS.format('result__snippet')}]"
_NOTHING = f"//*[{_CLASS.format('no-results')}]"


class DuckDuckGo(Engine):
    name = "duckduckgo"

    def __init__(self, settings: SearchSettings) -> None:
        self._url = settings.duckduckgo_url

    def missing(self) -> str | None:
        return None if self._url else "duckduckgo_url"

    def call(self, query: str, count: int) -> Call:  # noqa: ARG002 (it sends a page of them)
        return Call(
            "POST", self._url, headers={"User-Agent": "Mozilla/5.0 (compatible; chat2llm)"}, form={"q": query}
        )

    def read(self, body: bytes) -> list[WebPage]:
        from lxml import etree, html

        try:
            page = html.document_fromstring(body, parser=html.HTMLParser(encoding="utf-8"))
        except etree.LxmlError as error:
            raise ValueError("no HTML") from error
        results = page.xpath(_RESULTS)
        if not results and not page.xpath(_NOTHING):
            raise ValueError("neither results nor the words that there are none")
        return [found for result in results if (found := _page(result)) is not None]


def _page(result: Any) -> WebPage | None:
    links, texts = result.xpath(_TITLE), result.xpath(_TEXT)
    if not links:
        return None
    text = texts[0].text_content() if texts else ""
    return clean(links[0].text_content(), _target(links[0].get("href", "")), text)


def _target(href: str) -> str:
    """Where a link leads: some go through DuckDuckGo's own `/l/?uddg=ADDRESS`."""
    try:
        parts = urlsplit(href)
    except ValueError:
        return ""
    if parts.path == "/l/" and (parts.hostname or "duckduckgo.com").endswith("duckduckgo.com"):
        return parse_qs(parts.query).get("uddg", [""])[0]
    # Its own pages are advertisements and the like.
    return "" if (parts.hostname or "").endswith("duckduckgo.com") else href
