"""Servers of vectors (pgvector, Milvus) as they are configured."""

from server.core.errors import Invalid, StoreUnavailable, short
from server.core.i18n import Text
from server.core.settings import Settings, VectorStoreSettings
from server.kb.vectorstores import SERVERS, VECTOR_STORES
from server.kb.vectorstores.base import StoreServer


def check_store(store: str, settings: Settings) -> None:
    """Raises Invalid for a vector store that does not exist or is not configured."""
    if store not in VECTOR_STORES:
        known = ", ".join(VECTOR_STORES)
        shown = short(store)
        raise Invalid(
            Text(f"不支持的向量库 {shown}；可用：{known}", f"unknown vector store {shown}; use {known}")
        )
    if words := _missing_setting(store, settings.vector_store, settings.database_url):
        raise Invalid(words)


def _missing_setting(store: str, settings: VectorStoreSettings, database_url: str) -> Text | None:
    missing = ""
    if store == "milvus" and not settings.milvus_uri:
        missing = "milvus_uri"
    if store == "pg" and not (settings.pg_url or database_url.startswith("postgres")):
        missing = "pg_url"
    if not missing:
        return None
    return Text(
        f"向量库 {store} 尚未配置：请在配置文件的 [vector_store] 里填写 {missing}",
        f"the vector store {store} is not configured: set {missing} in [vector_store]",
    )


class Servers:
    """The servers of one process, each made when it is first needed."""

    def __init__(self, settings: VectorStoreSettings, database_url: str) -> None:
        self._settings, self._database_url = settings, database_url
        self._open: dict[str, StoreServer] = {}

    def get(self, store: str) -> StoreServer:
        """Raises StoreUnavailable when it is not configured, or not any more."""
        if store not in self._open:
            if words := _missing_setting(store, self._settings, self._database_url):
                raise StoreUnavailable(words)
            self._open[store] = SERVERS[store](self._settings, self._database_url)
        return self._open[store]

    def close(self) -> None:
        for server in self._open.values():
            server.close()
