"""Where vectors are searched. To add a store: one file with a LangChain VectorStore, and one line in VECTOR_STORES."""

from collections.abc import Callable

from langchain_core.embeddings import Embeddings

from server.kb.vectorstores.faiss import FaissStore

# Name (`knowledge_base.vector_store`) → constructor from an embedding model and its dimension.
VECTOR_STORES: dict[str, Callable[[Embeddings, int], FaissStore]] = {"faiss": FaissStore}
