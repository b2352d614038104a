"""Metaphor, which is called Exa now: pages with their text, by `POST /search`."""

from server.core.fetching import Call
from server.core.settings import SearchSettings
from server.search.base import TEXT, Engine, WebPage, json_object, pages_of


class Metaphor(Engine):
    name = "metaphor"

    def __init__(self, settings: SearchSettings) -> None:
        self._url, self._key = settings.metaphor_url, settings.metaphor_key

    def missing(self) -> str | None:
        return "metaphor_key" if self._key is None else None if self._url else "metaphor_url"

    def call(self, query: str, count: int) -> Call:
        assert self._key is not None
        body = {"query": query, "numResults": count, "contents": {"text": {"maxCharacters": TEXT}}}
        return Call("POST", self._url, headers={"x-api-key": self._key.get_secret_value().strip()}, json=body)

    def read(self, body: bytes) -> list[WebPage]:
        return pages_of(json_object(body).get("results"), title="title", url="url", text="text")
