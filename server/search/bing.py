"""Bing's Web Search API, version 7, or whatever speaks it behind `[search] bing_url`."""

from server.core.fetching import Call
from server.core.settings import SearchSettings
from server.search.base import Engine, WebPage, json_object, pages_of


class Bing(Engine):
    name = "bing"

    def __init__(self, settings: SearchSettings) -> None:
        self._url, self._key = settings.bing_url, settings.bing_key

    def missing(self) -> str | None:
        return "bing_key" if self._key is None else None if self._url else "bing_url"

    def call(self, query: str, count: int) -> Call:
        assert self._key is not None
        headers = {"Ocp-Apim-Subscription-Key": self._key.get_secret_value().strip()}
        params: dict[str, str | int] = {"q": query, "count": count, "responseFilter": "Webpages"}
        return Call("GET", self._url, params, headers)

    def read(self, body: bytes) -> list[WebPage]:
        answer = json_object(body)
        if answer.get("_type") != "SearchResponse":
            raise ValueError("no SearchResponse")
        found = answer.get("webPages")
        if found is None:  # nothing was found
            return []
        items = found.get("value") if isinstance(found, dict) else None
        return pages_of(items, title="name", url="url", text="snippet")
