"""The engine: a process of its own that holds local models, so that torch stays out of every other process and the
weights exist once. `python -m embeddings.engine SOCKET` listens on a Unix socket that only its owner can open.

One request = one message of JSON `{"config": {...}, "texts": [...], "is_query": bool}`; the answer is a message of JSON
`{"rows": n, "dimension": d}` and one of n*d little-endian float32, or one message `{"error": {...}}`. Messages are
framed by multiprocessing.connection; nothing is pickled. Nothing heavy is imported before the first request.
"""

import json
import logging
import os
import sys
import threading
from dataclasses import asdict
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import embeddings
from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors

log = logging.getLogger(__name__)


def config_to_json(config: EmbedderConfig) -> dict[str, Any]:
    return asdict(config) | {"path": str(config.path) if config.path else None}


def config_from_json(data: dict[str, Any]) -> EmbedderConfig:
    return EmbedderConfig(**(data | {"path": Path(data["path"]) if data["path"] else None}))


class Engine:
    """Loads each model once and answers requests, one thread per connection."""

    def __init__(self) -> None:
        self._models: dict[EmbedderConfig, Embedder] = {}
        self._loading = threading.Lock()

    def serve(self, socket: Path) -> None:
        """Listen until the process ends."""
        socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if socket.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{socket.parent} belongs to somebody else")
        socket.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            listener = Listener(str(socket), family="AF_UNIX", backlog=64)
        finally:
            os.umask(old)
        while True:
            connection = listener.accept()
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: Connection) -> None:
        with connection:
            while True:
                try:
                    request = json.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    return
                self._answer(connection, request)

    def _answer(self, connection: Connection, request: dict[str, Any]) -> None:
        try:
            vectors = self._embed(
                config_from_json(request["config"]), request["texts"], is_query=request["is_query"]
            )
        except EmbeddingError as error:
            refusal = {"zh": error.zh, "en": error.en, "retry": error.retry}
            connection.send_bytes(json.dumps({"error": refusal}).encode())
            return
        connection.send_bytes(json.dumps({"rows": len(vectors), "dimension": vectors.shape[1]}).encode())
        connection.send_bytes(vectors.astype("<f4").tobytes())

    def _embed(self, config: EmbedderConfig, texts: list[str], *, is_query: bool) -> Vectors:
        with self._loading:
            if config not in self._models:
                self._models[config] = embeddings.load_embedder(config)
        model = self._models[config]
        return model.embed_question(texts[0])[None] if is_query else model.embed_passages(texts)


def _end_with_parent() -> None:
    """The supervisor may be killed without a word; an orphan would hold gigabytes for nobody."""
    parent = os.getppid()
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Engine().serve(Path(sys.argv[1]))
