"""The other end of engine.py: an Embedder whose model lives in the engine process."""

import json
import threading
from multiprocessing.connection import Client, Connection
from pathlib import Path

import numpy as np

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors
from embeddings.engine import config_to_json
from embeddings.local import check_folder


class EngineEmbedder(Embedder):
    """Sends texts to the engine. One connection per thread, opened again when the engine was restarted."""

    def __init__(self, config: EmbedderConfig, socket: Path) -> None:
        super().__init__(config)
        check_folder(config)
        self._socket = socket
        self._local = threading.local()

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        request = {"config": config_to_json(self.config), "texts": texts, "is_query": is_query}
        message = json.dumps(request).encode()
        try:
            return self._exchange(message)
        except (OSError, EOFError):  # the engine was restarted since the last call
            self._local.connection = None
        try:
            return self._exchange(message)
        except (OSError, EOFError) as error:
            raise EmbeddingError(
                "本地向量引擎没有响应：刚放入模型文件夹时需要重启服务，否则请查看服务日志",
                "the local embedding engine does not answer: restart the server if the model's folder is new, "
                "else look into the server's log",
                retry=True,
            ) from error

    def _exchange(self, message: bytes) -> Vectors:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = Client(str(self._socket), family="AF_UNIX")
        connection.send_bytes(message)
        head = json.loads(connection.recv_bytes())
        if "error" in head:
            raise EmbeddingError(head["error"]["zh"], head["error"]["en"], retry=head["error"]["retry"])
        return np.frombuffer(connection.recv_bytes(), dtype="<f4").reshape(head["rows"], head["dimension"])
