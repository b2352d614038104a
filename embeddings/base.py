"""What an embedding model must do, and how one is recognised."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

# Embedded once per model; two models that agree on both are the same for search.
_PROBES = ("年假有几天？", "The quick brown fox jumps over the lazy dog.")
# Quantised kernels and float rounding move a probe by far less than this, another model by far more.
_SAME_MODEL = 0.99


@dataclass(frozen=True, slots=True)
class EmbedderConfig:
    """What a model needs to be loaded. `kind` chooses the class, the other fields depend on it.

    `path` is a sentence-transformers folder; `model`, `base_url` and `api_key` belong to remote models; prefixes
    override what the model itself puts before questions and passages; `timeout` is in seconds.
    """

    name: str
    kind: str
    path: Path | None = None
    model: str = ""
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    query_prefix: str | None = None
    passage_prefix: str | None = None
    batch_size: int = 32
    timeout: float = 60.0
    device: str = "cpu"
    threads: int = 0


class EmbeddingError(Exception):
    """A model cannot be loaded or did not embed. `zh` and `en` say to people what to do.

    `retry` is true when the same call may succeed later (a server that is busy or away).
    """

    def __init__(self, zh: str, en: str, *, retry: bool = False) -> None:
        super().__init__(en)
        self.zh, self.en, self.retry = zh, en, retry


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What binds a knowledge base to its model: dimension and two probe vectors, not a name that may move."""

    model: str
    dimension: int
    probe: tuple[float, ...]

    def matches(self, other: "Fingerprint") -> bool:
        """True when vectors of both may be compared with each other."""
        if self.dimension != other.dimension or len(self.probe) != len(other.probe):
            return False
        mine, theirs = np.array(self.probe), np.array(other.probe)
        cosines = (mine * theirs).reshape(len(_PROBES), -1).sum(axis=1)
        return bool((cosines > _SAME_MODEL).all())

    def to_json(self) -> dict[str, Any]:
        return {"model": self.model, "dimension": self.dimension, "probe": [round(x, 5) for x in self.probe]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Fingerprint":
        return cls(data["model"], data["dimension"], tuple(data["probe"]))


def let_waiting_threads_sleep() -> None:
    """Call before a library with OpenMP is loaded, which reads its settings from the environment, once.

    Its threads spin while they wait for each other, and a spinning one keeps the core from the one that is waited for.
    Measured on two cores with two other busy processes: 300 ms a question and up to 2.6 s, asleep 16 to 30 ms.
    """
    os.putenv("OMP_WAIT_POLICY", "passive")


class Embedder(Embeddings, ABC):
    """An embedding model behind LangChain's Embeddings interface.

    A subclass implements `_embed`. Everything is synchronous and may take long: call it from a worker thread.
    """

    # Remote models wait for a network and may run side by side, local ones use the processor.
    is_remote = False

    def __init__(self, config: EmbedderConfig) -> None:
        self.config = config
        self.name = config.name
        self._fingerprint: Fingerprint | None = None

    @abstractmethod
    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        """Return one row per text, (n, dimension) float32; need not be normalised. Raises EmbeddingError."""

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Embed passages of documents: (n, dimension) float32 unit vectors. Raises EmbeddingError."""
        if not texts:
            return np.empty((0, self.fingerprint().dimension), np.float32)
        return self._checked(list(texts), is_query=False)

    def embed_question(self, text: str) -> Vectors:
        """Embed one question: (dimension,) float32 unit vector. Raises EmbeddingError."""
        vector: Vectors = self._checked([text], is_query=True)[0]
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """LangChain's form of `embed_passages`."""
        return [] if not texts else self.embed_passages(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        """LangChain's form of `embed_question`."""
        return [float(x) for x in self.embed_question(text)]

    def fingerprint(self) -> Fingerprint:
        """Embed the probes once and remember the result. Raises EmbeddingError."""
        if self._fingerprint is None:
            vectors = self.embed_passages(_PROBES)
            probe = tuple(float(x) for x in vectors.ravel())
            self._fingerprint = Fingerprint(self.name, vectors.shape[1], probe)
        return self._fingerprint

    def _checked(self, texts: list[str], *, is_query: bool) -> Vectors:
        # A NUL ends a C string, and a lone surrogate cannot be encoded: neither carries meaning.
        clean = [text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = np.asarray(self._embed(clean, is_query=is_query), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise EmbeddingError(
                f"向量模型 {self.name} 返回的向量数量不对",
                f"model {self.name} returned the wrong number of vectors",
                retry=True,
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or (norms == 0).any():
            raise EmbeddingError(
                f"向量模型 {self.name} 返回了无效的向量",
                f"model {self.name} returned vectors that are not finite",
                retry=True,
            )
        unit: Vectors = vectors / norms
        return unit
