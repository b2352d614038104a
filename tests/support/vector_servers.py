"""Real servers of vectors for the tests: a PostgreSQL with pgvector, and Milvus Lite in a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.core.settings import VectorStoreSettings
from tests.support.databases import database_server

SERVERS = ("pg", "milvus")


@contextmanager
def vector_server(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """Start one and give what to set in `[vector_store]`; skips where it cannot be had."""
    if kind == "pg":
        with database_server("postgresql") as url:
            yield {"pg_url": url}
        return
    pytest.importorskip("pymilvus", reason="needs the package pymilvus")
    pytest.importorskip("milvus_lite", reason="needs the package milvus-lite")
    yield {"milvus_uri": str(folder / "milvus.db")}


def settings_of(given: dict[str, str], **more: object) -> VectorStoreSettings:
    return VectorStoreSettings.model_validate(given | more)
