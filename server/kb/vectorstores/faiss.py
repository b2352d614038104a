"""FAISS behind LangChain's VectorStore interface.

Vectors live in one flat index of unit vectors (inner product = cosine), keyed by chunk id. The server searches by
vector and reads the chunks from SQL; LangChain's methods bring a text store along. The index is a cache: it is filled from the segments that are the truth and never
saved, so there is nothing to load that could be stale, torn or hostile.

A score is a squared L2 distance of unit vectors, 2 - 2·cosine: 0 the same, 2 unrelated, smaller is closer.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import faiss
import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.stores import BaseStore, InMemoryBaseStore
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

# With more than one thread FAISS spins on cores that the models need: measured 96 ms against 11–18 ms a search.
faiss.omp_set_num_threads(1)


class FaissStore(VectorStore):
    """A knowledge base's vectors in memory. Safe to search from several threads while one changes it."""

    def __init__(
        self, embedding: Embeddings, dimension: int, texts: BaseStore[str, Document] | None = None
    ) -> None:
        """`texts` is where LangChain's methods keep and find documents; in memory when absent."""
        self._embedding, self.dimension = embedding, dimension
        self._texts: BaseStore[str, Document] = texts or InMemoryBaseStore[Document]()
        self._index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
        # FAISS allows searches side by side, and nothing beside a change.
        self._lock = threading.Lock()

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    def __len__(self) -> int:
        return int(self._index.ntotal)

    # ── vectors ───────────────────────────────────────────────────────────────────────────────────────────────────

    def add_vectors(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        """Put (n, dimension) unit vectors in; an id that is there already is replaced. Raises ValueError on a mismatch."""
        keys = np.asarray(ids, dtype=np.int64)
        if vectors.shape != (len(keys), self.dimension):
            raise ValueError(f"expected {(len(keys), self.dimension)} vectors, got {vectors.shape}")
        with self._lock:
            if self._index.ntotal:
                self._index.remove_ids(faiss.IDSelectorBatch(keys))  # FAISS would keep both
            self._index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), keys)

    def remove_vectors(self, ids: Sequence[int] | Ids) -> int:
        """Take vectors out; return how many were there."""
        with self._lock:
            return int(self._index.remove_ids(faiss.IDSelectorBatch(np.asarray(ids, dtype=np.int64))))

    def search_vector(self, vector: Vectors, k: int) -> list[tuple[int, float]]:
        """Return up to `k` (id, score), closest first, for a (dimension,) unit vector."""
        if k < 1 or not len(self):
            return []
        with self._lock:
            cosines, ids = self._index.search(
                np.ascontiguousarray(vector, dtype=np.float32)[None], min(k, len(self))
            )
        # Rounding can push a cosine past 1; a distance is never negative.
        return [
            (int(i), max(0.0, 2.0 - 2.0 * float(c)))
            for i, c in zip(ids[0], cosines[0], strict=True)
            if i >= 0
        ]

    # ── LangChain's VectorStore ───────────────────────────────────────────────────────────────────────────────────

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **_: Any,
    ) -> list[str]:
        """Embed texts and keep them. Ids are integers written as text; without any, the next free ones are taken."""
        texts = list(texts)
        keys = [int(i) for i in ids] if ids else list(range(len(self) + 1, len(self) + len(texts) + 1))
        if not texts:
            return []
        vectors = np.asarray(self._embedding.embed_documents(texts), dtype=np.float32)
        self.add_vectors(keys, vectors)
        names = [str(key) for key in keys]
        entries = zip(texts, metadatas or [{}] * len(texts), names, strict=True)
        self._texts.mset([(name, Document(text, metadata=meta, id=name)) for text, meta, name in entries])
        return names

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool | None:
        """Take out vectors and texts by id."""
        if ids:
            self.remove_vectors([int(i) for i in ids])
            self._texts.mdelete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [document for document in self._texts.mget(list(ids)) if document is not None]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **_: Any) -> list[tuple[Document, float]]:
        """The `k` closest documents and their scores."""
        vector = np.asarray(self._embedding.embed_query(query), dtype=np.float32)
        found = self.search_vector(vector, k)
        documents = self._texts.mget([str(key) for key, _ in found])
        return [(doc, score) for doc, (_, score) in zip(documents, found, strict=True) if doc is not None]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **_: Any) -> list[Document]:
        found = self.search_vector(np.asarray(embedding, dtype=np.float32), k)
        return self.get_by_ids([str(key) for key, _ in found])

    def _select_relevance_score_fn(self) -> Any:
        return lambda distance: 1.0 - distance / 2.0  # cosine

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "FaissStore":
        """LangChain's constructor."""
        store = cls(embedding, len(embedding.embed_query("?")), kwargs.get("texts_store"))
        store.add_texts(texts, metadatas, ids=ids)
        return store
