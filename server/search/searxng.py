"""SearXNG, a search engine of one's own. Its settings.yml must list `json` under search.formats."""

from server.core.fetching import Call
from server.core.settings import SearchSettings
from server.search.base import Engine, WebPage, json_object, pages_of


class Searxng(Engine):
    name = "searxng"
    forbidden = (
        "SearXNG 没有开放 JSON 接口，请管理员在它的 settings.yml 的 search.formats 里加上 json",
        "SearXNG does not answer in JSON; your operator must add json to search.formats in its settings.yml",
    )

    def __init__(self, settings: SearchSettings) -> None:
        self._url = settings.searxng_url

    def missing(self) -> str | None:
        return None if self._url else "searxng_url"

    def call(self, query: str, count: int) -> Call:  # noqa: ARG002 (it sends a page of them)
        return Call("GET", f"{self._url.rstrip('/')}/search", {"q": query, "format": "json"})

    def read(self, body: bytes) -> list[WebPage]:
        return pages_of(json_object(body).get("results"), title="title", url="url", text="content")
