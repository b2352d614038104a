"""An embedding model that keeps what it has embedded, one text at a time, in a file between runs."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embeddings import Embedder, EmbedderConfig, load_embedder
from embeddings.base import Vectors

CACHE = Path(__file__).parent / "cache"


class RememberingEmbedder(Embedder):
    """Another embedder, whose vectors are read from the disk where they were made before."""

    def __init__(self, model: Embedder, folder: Path = CACHE) -> None:
        super().__init__(model.config)
        self._model, self._fingerprint = model, model.fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
        # Called from the threads of a lane, one at a time.
        self._file = sqlite3.connect(folder / f"{model.name}.db", check_same_thread=False, timeout=60)
        self._file.execute("PRAGMA journal_mode = wal")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS vector (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
        )

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        keys = [self._key(text, is_query=is_query) for text in texts]
        known = {key: found for key in keys if (found := self._find(key)) is not None}
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if fresh:
            vectors = self._model._checked(list(fresh.values()), is_query=is_query)
            known |= dict(zip(fresh, vectors, strict=True))
            rows = [(key, vector.tobytes()) for key, vector in zip(fresh, vectors, strict=True)]
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?)", rows)
        return np.stack([known[key] for key in keys])

    def knows(self, text: str, *, is_query: bool) -> bool:
        return self._find(self._key(text, is_query=is_query)) is not None

    def _find(self, key: bytes) -> Vectors | None:
        row = self._file.execute("SELECT vector FROM vector WHERE key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], np.float32)

    def _key(self, text: str, *, is_query: bool) -> bytes:
        probe = np.array(self.fingerprint().probe, np.float32).round(3).tobytes()
        return hashlib.sha256(probe + bytes([is_query]) + text.encode("utf-8", "replace")).digest()[:16]


def bundled() -> RememberingEmbedder:
    """The model in the box."""
    return RememberingEmbedder(load_embedder(EmbedderConfig(name="e5-small", kind="bundled")))


def embed_all(embedder: Embedder, texts: Sequence[str], *, is_query: bool) -> Vectors:
    """One row per text."""
    if is_query:
        return np.stack([embedder.embed_question(text) for text in texts])
    return np.vstack([embedder.embed_passages(texts[i : i + 16]) for i in range(0, len(texts), 16)])
