"""LangChain's VectorStore over FAISS, for whoever wants our index in a chain. The server itself searches by vector."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.stores import BaseStore, InMemoryBaseStore
from langchain_core.vectorstores import VectorStore

from server.kb.vectorstores.faiss import FaissIndex


class FaissStore(VectorStore):
    """An index with the texts that its vectors stand for."""

    def __init__(
        self, embedding: Embeddings, dimension: int, texts: BaseStore[str, Document] | None = None
    ) -> None:
        """`texts` is where LangChain's methods keep and find documents; in memory when absent."""
        self._embedding, self.index = embedding, FaissIndex(dimension)
        self._texts: BaseStore[str, Document] = texts or InMemoryBaseStore[Document]()

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    def __len__(self) -> int:
        return len(self.index)

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
        self.index.add_vectors(keys, vectors)
        names = [str(key) for key in keys]
        entries = zip(texts, metadatas or [{}] * len(texts), names, strict=True)
        self._texts.mset([(name, Document(text, metadata=meta, id=name)) for text, meta, name in entries])
        return names

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool | None:
        """Take out vectors and texts by id."""
        if ids:
            self.index.remove_vectors([int(i) for i in ids])
            self._texts.mdelete(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [document for document in self._texts.mget(list(ids)) if document is not None]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(self, query: str, k: int = 4, **_: Any) -> list[tuple[Document, float]]:
        """The `k` closest documents and their scores."""
        vector = np.asarray(self._embedding.embed_query(query), dtype=np.float32)
        found = self.index.search_vector(vector, k)
        documents = self._texts.mget([str(key) for key, _ in found])
        return [(doc, score) for doc, (_, score) in zip(documents, found, strict=True) if doc is not None]

    def similarity_search_by_vector(self, embedding: list[float], k: int = 4, **_: Any) -> list[Document]:
        found = self.index.search_vector(np.asarray(embedding, dtype=np.float32), k)
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
