"""The other end of engine.py: models that live in the engine process."""

import json
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import numpy as np

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors
from embeddings.engine import MAX_MESSAGE, check_private, config_to_json, reranker_to_json
from embeddings.local import check_folder
from embeddings.reranking import CrossEncoderConfig, RerankError, check_scores

# Seconds. Reading a large model from a slow disk takes minutes; after this the engine is stuck, not slow.
_PATIENCE = 600.0


class EngineAway(Exception):
    """Nobody answers."""


class EngineLink:
    """The way to the engine. One connection per thread, opened again when the engine was restarted."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._local = threading.local()

    def ask(self, message: bytes, patience: float) -> tuple[dict[str, Any], bytes]:
        """Head and body of the answer. Raises EngineAway."""
        deadline = time.monotonic() + patience
        try:
            return self._exchange(message, patience)
        except (OSError, EOFError):  # the engine was restarted since the last call
            try:
                return self._exchange(message, deadline - time.monotonic())
            except (OSError, EOFError) as error:
                raise EngineAway from error

    def _exchange(self, message: bytes, patience: float) -> tuple[dict[str, Any], bytes]:
        # Kept only after a whole answer: the rest of a broken one would pass for the answer to the next request.
        connection: Connection | None = self._local.__dict__.pop("connection", None)
        if connection is None:
            check_private(self._socket.parent)
            connection = Client(str(self._socket), family="AF_UNIX")
        connection.send_bytes(message)
        if not connection.poll(max(0.0, patience)):
            raise EngineAway
        head = json.loads(connection.recv_bytes())
        body = b"" if "error" in head else connection.recv_bytes()
        self._local.connection = connection
        return head, body


class EngineEmbedder(Embedder):
    """Sends texts to the engine."""

    def __init__(self, config: EmbedderConfig, socket: Path, *, patience: float = _PATIENCE) -> None:
        super().__init__(config)
        check_folder(config)
        self._link, self._patience = EngineLink(socket), patience

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        # A message per batch, so that questions of other processes get in between.
        size = self.config.batch_size
        parts = [texts[i : i + size] for i in range(0, len(texts), size)]
        return np.concatenate([self._ask(part, is_query=is_query) for part in parts])

    def _ask(self, texts: list[str], *, is_query: bool) -> Vectors:
        request = {"config": config_to_json(self.config), "texts": texts, "is_query": is_query}
        message = json.dumps(request, ensure_ascii=False).encode()
        if len(message) > MAX_MESSAGE:
            raise EmbeddingError(
                f"送入向量模型 {self.name} 的文本过长：请减小 chunk_size 或 batch_size",
                f"the texts for embedding model {self.name} are too long: lower chunk_size or batch_size",
            )
        try:
            head, body = self._link.ask(message, self._patience)
        except EngineAway as error:
            raise _no_answer() from error
        if "error" in head:
            raise EmbeddingError(**head["error"])
        return np.frombuffer(body, dtype="<f4").reshape(head["rows"], head["dimension"])


class EngineCrossEncoder:
    """Has the engine score passages, and waits no longer than it is told."""

    def __init__(self, config: CrossEncoderConfig, socket: Path) -> None:
        self._config, self._link = config, EngineLink(socket)

    def score(self, question: str, passages: Sequence[str], seconds: float) -> list[float]:
        """A number per passage. Blocks for `seconds` at most. Raises RerankError."""
        request: dict[str, Any] = {"question": question, "texts": list(passages), "seconds": seconds}
        request["reranker"] = reranker_to_json(self._config)
        message = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")
        try:
            head, body = self._link.ask(message, seconds)
        except EngineAway as error:
            raise RerankError("the engine does not answer") from error
        if "error" in head:
            raise RerankError(head["error"]["en"])
        return check_scores(np.frombuffer(body, dtype="<f4").tolist(), len(passages))


def _no_answer() -> EmbeddingError:
    return EmbeddingError(
        "本地向量引擎没有响应：刚放入模型文件夹时需要重启服务，否则请查看服务日志",
        "the local embedding engine does not answer: restart the server if the model's folder is new, "
        "else look into the server's log",
        retry=True,
    )
