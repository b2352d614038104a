"""A stand-in for the web's search engines: one real server with a path for each, as strict as they are.

The first word of a question says how it behaves: those of `ODD`, and anything else finds `PAGES`.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

KEY = "search-key-7f3a91c0"
# For who asks an engine that is `slow`.
IMPATIENT = {"SEARCH__TIMEOUT": "700ms"}
LONG = "第一段讲天气。" * 60 + "公司年假规定：员工每年有十天年假。" + "最后一段讲足球。" * 60
PAGES = [
    ("年假规定 [官方]", "https://example.com/leave?a=1&b=(2)", "员工每年有十天年假。"),
    ("足球新闻", "https://news.example.com/sport", "昨晚的比赛二比一结束。"),
    ("天气预报", "https://weather.example.com/", LONG),
    ("食堂菜单", "https://example.com/menu", "周一有面条。"),
]  # fmt: skip
# status and body of each odd answer; a body that is None is the engine's own with no results
ODD: dict[str, tuple[int, bytes | None]] = {
    "nothing": (200, None),
    "html": (200, b"<!doctype html><title>gateway</title>"),
    "list": (200, b"[]"),
    "empty": (200, b""),
    "deep": (200, b"[" * 100_000),
    "down": (500, b"oops"),
    "busy": (429, b"slow down " + KEY.encode()),
    "moved": (302, b""),
    "gone": (404, b"no such page"),
}


class Refused(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Engines:
    """What the stand-ins were asked, and where they are."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        # engine, question and number of pages asked for
        self.asked: list[tuple[str, str, int | None]] = []
        # Every path that was requested, whatever became of it.
        self.paths: list[str] = []
        self.ended = threading.Event()

    def environ(self, *without: str) -> dict[str, str]:
        """The settings for them; `without` names keys to leave empty."""
        given = {"BING_URL": "/bing/v7.0/search", "METAPHOR_URL": "/exa/search", "SEARXNG_URL": "/searx/"}
        given |= {"DUCKDUCKGO_URL": "/duck/html/"}
        settings = {f"SEARCH__{key}": self.base + path for key, path in given.items()}
        settings |= {"SEARCH__BING_KEY": KEY, "SEARCH__METAPHOR_KEY": KEY, "SEARCH__TIMEOUT": "60s"}
        return settings | {f"SEARCH__{key}": "" for key in without}


def _demand(fulfilled: bool, status: int, words: str) -> None:
    if not fulfilled:
        raise Refused(status, words)


def _bing(handler: "_Handler", query: dict[str, str]) -> tuple[str, int | None]:
    _demand(handler.command == "GET", 405, "GET")
    _demand(handler.headers.get("Ocp-Apim-Subscription-Key") == KEY, 401, f"bad key, try {KEY}")
    _demand(set(query) == {"q", "count", "responseFilter"}, 400, f"unknown parameters {query}")
    _demand(1 <= int(query["count"]) <= 50, 400, "count is out of range")
    return query["q"], int(query["count"])


def _metaphor(handler: "_Handler", query: dict[str, str]) -> tuple[str, int | None]:
    _demand(handler.command == "POST" and not query, 405, "POST")
    _demand(handler.headers.get("x-api-key") == KEY, 401, f"bad key, try {KEY}")
    _demand(handler.headers.get("content-type") == "application/json", 400, "JSON only")
    body = json.loads(handler.body)
    _demand(set(body) == {"query", "numResults", "contents"}, 400, f"unknown fields {sorted(body)}")
    _demand(set(body["contents"]) == {"text"}, 400, "contents")
    _demand(set(body["contents"]["text"]) == {"maxCharacters"}, 400, "text")
    return body["query"], body["numResults"]


def _searxng(handler: "_Handler", query: dict[str, str]) -> tuple[str, int | None]:
    _demand(handler.command == "GET", 405, "GET")
    _demand(set(query) == {"q", "format"} and query["format"] == "json", 400, "format")
    _demand(not query["q"].startswith("forbidden"), 403, "Forbidden")
    return query["q"], None


def _duckduckgo(handler: "_Handler", query: dict[str, str]) -> tuple[str, int | None]:
    _demand(handler.command == "POST" and not query, 405, "POST")
    _demand(handler.headers.get("user-agent", "").startswith("Mozilla/5.0"), 403, "no browser")
    _demand(handler.headers.get("content-type") == "application/x-www-form-urlencoded", 400, "form only")
    form = parse_qs(handler.body.decode(), strict_parsing=True)
    _demand(set(form) == {"q"}, 400, f"unknown fields {form}")
    _demand(not form["q"][0].startswith("robot"), 202, "<div class='anomaly-modal'>Are you a person?</div>")
    return form["q"][0], None


def _json(items: list[dict[str, Any]], engine: str) -> Any:
    if engine == "bing":
        found = {"webPages": {"value": items, "totalEstimatedMatches": 9}} if items else {}
        return {"_type": "SearchResponse", "queryContext": {"originalQuery": "q"}, **found}
    return {"results": items}


_NAMES = {"bing": ("name", "url", "snippet"), "metaphor": ("title", "url", "text"), "searxng": ("title", "url", "content")}  # fmt: skip
# What engines say beside proper results: to be left out, not to fail on.
_BROKEN = [{}, 5, None, {"url": "javascript:alert(1)"}, {"url": "ftp://example.com"}, {"url": 5}]


def _results(engine: str, number: int | None, *, odd: bool) -> bytes:
    if engine == "duckduckgo":
        return _html(odd=odd)
    keys = _NAMES[engine]
    items: list[Any] = [dict(zip(keys, page, strict=True)) for page in PAGES[:number]]
    if odd:
        items = [
            *_BROKEN,
            {keys[0]: None, keys[1]: "https://example.com/x", keys[2]: "a\ud83d\0b"},
            *items,
            items[0],
        ]
    return json.dumps(_json(items, engine)).encode()


def _html(*, odd: bool) -> bytes:
    rows = []
    for index, (title, url, text) in enumerate(PAGES):
        href = (
            f"//duckduckgo.com/l/?uddg={quote(url, safe='')}&amp;rut=0"
            if index % 2
            else url.replace("&", "&amp;")
        )
        rows.append(
            f'<div class="result results_links results_links_deep web-result "><div class="result__body">'
            f'<h2 class="result__title"><a rel="nofollow" class="result__a" href="{href}">{title}</a></h2>'
            f'<a class="result__url" href="{href}">example.com</a>'
            f'<a class="result__snippet" href="{href}">{text[:6]}<b>{text[6:]}</b></a></div></div>'
        )
    if odd:
        ad = '<div class="result result--ad web-result"><a class="result__a" href="https://ads.example.com">买</a></div>'
        own = ad.replace("result--ad", "").replace(
            "https://ads.example.com", "https://duckduckgo.com/y.js?ad=1"
        )
        rows = [ad, own, '<div class="web-result"></div>', *rows]
    return f"<html><body><div id='links'>{''.join(rows)}</div></body></html>".encode()


def _nothing(engine: str) -> bytes:
    if engine == "duckduckgo":
        return b'<html><body><div class="no-results">No results.</div></body></html>'
    return json.dumps(_json([], engine)).encode()


_PATHS = {
    "/bing/v7.0/search": ("bing", _bing),
    "/exa/search": ("metaphor", _metaphor),
    "/searx/search": ("searxng", _searxng),
    "/duck/html/": ("duckduckgo", _duckduckgo),
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engines: Engines
    body = b""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self.engines.paths.append(parts.path)
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        query = {
            name: values[0]
            for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
        }
        try:
            _demand(parts.path in _PATHS, 404, "no such path")
            engine, check = _PATHS[parts.path]
            question, number = check(self, query)
        except Refused as refused:
            self._send(refused.status, str(refused).encode())
            return
        self.engines.asked.append((engine, question, number))
        word = question.split()[0]
        if word == "slow":
            self.engines.ended.wait(60)
        status, body = ODD.get(word, (200, _results(engine, number, odd=word == "odd")))
        body = _nothing(engine) if body is None else body
        # A proper answer but for its size.
        self._send(status, body + b" " * 3_000_000 if word == "huge" else body)

    do_GET = do_POST = _serve  # noqa: N815

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", f"{self.engines.base}/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


@contextmanager
def search_engines() -> Iterator[Engines]:
    """Serve the stand-ins on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    engines = Engines(server.server_address[1])
    server.RequestHandlerClass = type("Handler", (_Handler,), {"engines": engines})
    thread = threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True)
    thread.start()
    try:
        yield engines
    finally:
        engines.ended.set()
        server.shutdown()
        server.server_close()
