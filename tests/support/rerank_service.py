"""A stand-in for rerank services: a real server, as strict about requests as they are, that lies when it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "rerank-key-51be02"
MODEL = "rerank-1"
# Seconds that the mode `slow` takes: longer than anybody waits.
SLOW = 8


class RerankService:
    """How it behaves, and what it was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1/rerank"
        self.mode = "honest"
        # Documents with this word are best.
        self.favourite = ""
        self.asked: list[dict[str, Any]] = []

    def environ(self, **more: str) -> dict[str, str]:
        given = {"URL": self.url, "MODEL": MODEL, "API_KEY": KEY}
        named = {f"RERANK__JINA__{name}": value for name, value in given.items()}
        return named | {"RERANK__DEFAULT": "jina", "RERANK__TIMEOUT": "10s"} | more

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        results = [
            {"index": number, "relevance_score": (0.9 if self.favourite in text else 0.1) - number / 1000}
            for number, text in enumerate(body["documents"])
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        whole = {"id": "r1", "model": MODEL, "results": results, "usage": {"total_tokens": 9}}
        odd: dict[str, Any] = {
            "missing": {"results": results[1:]},
            "twice": {"results": [results[0], *results[:-1]]},
            "surplus": {"results": [*results, results[0]]},
            "beyond": {"results": [*results[1:], results[0] | {"index": len(results)}]},
            "negative": {"results": [*results[1:], results[0] | {"index": -1}]},
            "boolean": {
                "results": [r | {"index": bool(r["index"])} if r["index"] < 2 else r for r in results]
            },
            "nan": {"results": [results[0] | {"relevance_score": float("nan")}, *results[1:]]},
            "vast": {"results": [results[0] | {"relevance_score": 10**400}, *results[1:]]},
            "words": {"results": [results[0] | {"relevance_score": "0.9"}, *results[1:]]},
            "unnamed": {"results": [{"score": 1}, *results[1:]]},
            "nothing": {"results": None},
            "list": results,
        }
        statuses = {"down": 500, "busy": 429, "moved": 302}
        if self.mode in statuses:
            return statuses[self.mode], KEY.encode()
        if self.mode in ("html", "deep"):
            return 200, b"<html>" if self.mode == "html" else b"[" * 100_000
        return 200, json.dumps(odd.get(self.mode, whole)).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: RerankService

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/rerank":
            return self._send(404, b"no such path")
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._send(401, f"bad key, try {KEY}".encode())
        body = json.loads(raw)
        texts = body.get("documents")
        if (
            set(body) != {"model", "query", "documents", "top_n"}
            or body["model"] != MODEL
            or not body["query"]
            or not texts
            or not all(isinstance(text, str) and text for text in texts)
            or body["top_n"] != len(texts)
        ):
            return self._send(400, b"bad request")
        self.service.asked.append(body)
        if self.service.mode == "slow":
            time.sleep(SLOW)
        return self._send(*self.service.answer(body))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", self.service.url)
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
def rerank_service() -> Iterator[RerankService]:
    """Serve it on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    service = RerankService(server.server_address[1])
    server.RequestHandlerClass = type("Handler", (_Handler,), {"service": service})
    threading.Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
