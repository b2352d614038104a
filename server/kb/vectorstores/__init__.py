"""Where vectors are searched. To add a server of vectors: one file with a StoreServer, and one line in SERVERS."""

from collections.abc import Callable

from server.core.settings import VectorStoreSettings
from server.kb.vectorstores.base import StoreServer
from server.kb.vectorstores.milvus import MilvusServer
from server.kb.vectorstores.pg import PgServer

# In the memory of each process: vectorstores/faiss.py.
IN_MEMORY = "faiss"

# Name (`knowledge_base.vector_store`) → constructor from the settings and the database's URL. Nothing is connected by it.
SERVERS: dict[str, Callable[[VectorStoreSettings, str], StoreServer]] = {
    "pg": PgServer,
    "milvus": MilvusServer,
}

VECTOR_STORES = (IN_MEMORY, *SERVERS)
