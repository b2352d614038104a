"""The engine: a process of its own that holds local models, so that torch stays out of every other process and the
weights exist once. `python -m embeddings.engine SOCKET` listens on a Unix socket that only its owner can open.

One request = one message of JSON `{"config": {...}, "texts": [...], "is_query": bool}`, or for a cross-encoder
`{"reranker": {...}, "question": "...", "texts": [...], "seconds": s}`, which is given up after so many; the answer is a message
of JSON `{"rows": n, "dimension": d}` and one of n*d little-endian float32, or one message `{"error": {...}}`. Messages are
framed by multiprocessing.connection; nothing is pickled. Nothing heavy is imported before the first request.
"""

import itertools
import json
import logging
import os
import queue
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from embeddings import load_embedder
from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors
from embeddings.reranking import CrossEncoderConfig, CrossEncoderModel, RerankError

log = logging.getLogger(__name__)

# Bytes; a batch of passages has some thousands. Who sends more is not one of ours.
MAX_MESSAGE = 64 * 1024**2
# What is computed first: a person waits for a question's vector, and for the order of its passages.
_QUESTION, _RERANKING, _PASSAGES = range(3)

Config = TypeVar("Config", EmbedderConfig, CrossEncoderConfig)
Model = TypeVar("Model", Embedder, CrossEncoderModel)


def config_to_json(config: EmbedderConfig) -> dict[str, Any]:
    return asdict(config) | {"path": str(config.path) if config.path else None}


def config_from_json(data: dict[str, Any]) -> EmbedderConfig:
    return EmbedderConfig(**(data | {"path": Path(data["path"]) if data["path"] else None}))


def reranker_to_json(config: CrossEncoderConfig) -> dict[str, Any]:
    return asdict(config) | {"path": str(config.path)}


def reranker_from_json(data: dict[str, Any]) -> CrossEncoderConfig:
    return CrossEncoderConfig(**(data | {"path": Path(data["path"])}))


def load_cross_encoder(config: CrossEncoderConfig) -> CrossEncoderModel:
    """Blocks while weights are read. Raises RerankError."""
    from embeddings.cross_encoder import LocalCrossEncoder

    return LocalCrossEncoder(config)


def check_private(folder: Path) -> None:
    """Raises PermissionError when somebody else could stand behind a socket in `folder`."""
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder that only its owner, this user, can enter")


class Engine:
    """Loads each model once. A thread per connection reads and writes, one thread computes."""

    def __init__(
        self,
        load: Callable[[EmbedderConfig], Embedder] = load_embedder,
        load_reranker: Callable[[CrossEncoderConfig], CrossEncoderModel] = load_cross_encoder,
    ) -> None:
        self._load, self._load_reranker = load, load_reranker
        self._models: dict[EmbedderConfig, Embedder] = {}
        self._rerankers: dict[CrossEncoderConfig, CrossEncoderModel] = {}
        self._loading = threading.Lock()
        # (what goes first, number, what to compute, where to put it)
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], Vectors], Future[Vectors]]]
        self._queue = queue.PriorityQueue()
        self._numbers = itertools.count()

    def serve(self, socket: Path) -> None:
        """Listen until the process ends. Raises OSError when the socket cannot be opened or would not be private."""
        socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(socket.parent)
        socket.unlink(missing_ok=True)
        old = os.umask(0o177)
        try:
            listener = Listener(str(socket), family="AF_UNIX", backlog=64)
        finally:
            os.umask(old)
        threading.Thread(target=self._compute, daemon=True).start()
        while True:
            connection = listener.accept()
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: Connection) -> None:
        with connection:
            while True:
                try:
                    message = connection.recv_bytes(MAX_MESSAGE)
                    for part in self._answer(message):
                        connection.send_bytes(part)
                except (EOFError, OSError):  # the other end is gone, or does not speak our language
                    return

    def _answer(self, message: bytes) -> list[bytes]:
        try:
            request = json.loads(message)
            if "reranker" in request:
                vectors = self._score(
                    reranker_from_json(request["reranker"]),
                    request["question"],
                    request["texts"],
                    time.monotonic() + request["seconds"],
                )
            else:
                config = config_from_json(request["config"])
                vectors = self._embed(config, request["texts"], is_query=request["is_query"])
        except EmbeddingError as error:
            log.warning("%s", error, exc_info=error.__cause__)
            refusal = {"zh": error.zh, "en": error.en, "retry": error.retry}
            return [json.dumps({"error": refusal}).encode()]
        except RerankError as error:
            log.warning("%s", error, exc_info=error.__cause__)
            return [json.dumps({"error": {"zh": "", "en": str(error), "retry": True}}).encode()]
        except Exception as error:
            log.exception("the embedding engine could not answer")
            kind = type(error).__name__
            refusal = {
                "zh": f"本地向量引擎出错：{kind}",
                "en": f"the local embedding engine failed: {kind}",
                "retry": True,
            }
            return [json.dumps({"error": refusal}).encode()]
        head = {"rows": len(vectors), "dimension": vectors.shape[1]}
        return [json.dumps(head).encode(), vectors.astype("<f4").tobytes()]

    def _embed(self, config: EmbedderConfig, texts: list[str], *, is_query: bool) -> Vectors:
        model = self._model(self._models, self._load, config)
        task = partial(_embed, model, texts, is_query=is_query)
        return self._queued(_QUESTION if is_query else _PASSAGES, task)

    def _score(
        self, config: CrossEncoderConfig, question: str, passages: list[str], deadline: float
    ) -> Vectors:
        """Batch by batch, so that questions get in between, and nobody computes what nobody waits for any more."""
        model = self._model(self._rerankers, self._load_reranker, config)
        scores = np.empty((len(passages), 1), np.float32)
        # Passages of about one length, so that a batch is not as slow as its longest one.
        order = sorted(range(len(passages)), key=lambda number: len(passages[number]))
        for start in range(0, len(order), config.batch_size):
            batch = order[start : start + config.batch_size]
            task = partial(_score, model, question, [passages[number] for number in batch], deadline)
            scores[batch] = self._queued(_RERANKING, task)
        return scores

    def _queued(self, rank: int, task: Callable[[], Vectors]) -> Vectors:
        answer: Future[Vectors] = Future()
        self._queue.put((rank, next(self._numbers), task, answer))
        return answer.result()

    def _model(self, models: dict[Config, Model], load: Callable[[Config], Model], config: Config) -> Model:
        if config not in models:  # else nobody waits while another model is loaded
            with self._loading:
                if config not in models:
                    models[config] = load(config)
        return models[config]

    def _compute(self) -> None:
        # One thread, since torch starts helpers and keeps buffers for each thread that computes.
        while True:
            _, _, task, answer = self._queue.get()
            try:
                answer.set_result(task())
            except Exception as error:  # noqa: BLE001 (raised again where the answer is awaited)
                answer.set_exception(error)


def _embed(model: Embedder, texts: list[str], *, is_query: bool) -> Vectors:
    return model.embed_question(texts[0])[None] if is_query else model.embed_passages(texts)


def _score(model: CrossEncoderModel, question: str, passages: list[str], deadline: float) -> Vectors:
    if time.monotonic() > deadline:
        raise RerankError("too late")
    return np.array(model.score(question, passages), np.float32)[:, None]


def _end_with_parent() -> None:
    """The supervisor may be killed without a word; an orphan would hold gigabytes for nobody."""
    parent = os.getppid()
    while os.getppid() == parent:
        threading.Event().wait(1)
    os._exit(0)


def main(socket: Path) -> None:
    """Serve until killed. Nothing has to be saved, so Ctrl-C ends the process as SIGTERM does."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    logging.basicConfig(format="%(asctime)s %(levelname)s embedding engine: %(message)s")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        Engine().serve(socket)
    except OSError as error:
        sys.exit(f"embedding engine: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
