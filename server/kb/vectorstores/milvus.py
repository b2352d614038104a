"""Milvus: a collection per slot, standalone or a cluster, and Milvus Lite (a file) for tests. It builds its indexes itself.

What it finds is a choice of candidates, whatever its index compresses; scores and order come from their vectors.
"""

import json
import logging
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import numpy as np

from server.core.errors import StoreUnavailable
from server.core.i18n import Text
from server.core.settings import VectorStoreSettings
from server.kb.vectorstores.base import (
    Found,
    Ids,
    Part,
    SharedIndex,
    SlotMissing,
    StoreServer,
    Vectors,
    thinned,
)

# A call carries at most 64 MB.
_BYTES_PER_CALL = 16 * 1024**2
# Candidates per hit, and at least; and how many Milvus gives at most.
_CANDIDATES, _MIN_CANDIDATES, _MAX_FOUND = 3, 50, 16_384
# After a change every search waits until it sees it; later a few milliseconds are saved by not waiting.
_FRESH_SECONDS = 30.0
_PAGE = 5000
_NO_COLLECTION = {4, 100}


class MilvusServer(StoreServer):
    """One Milvus and one client to it, which all threads share."""

    def __init__(self, settings: VectorStoreSettings, _: str) -> None:
        self._settings = settings
        self.timeout = settings.timeout.total_seconds()
        # Milvus Lite, a file: for tests and trials. It cannot calculate in filters.
        self.is_lite = "://" not in settings.milvus_uri
        self._connecting = threading.Lock()
        self._client: Any = None

    def open(self, slot: str, dimension: int) -> "MilvusIndex":
        return MilvusIndex(self, slot, dimension)

    def check(self) -> None:
        with self.calling() as client:
            client.list_collections(timeout=self.timeout)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @contextmanager
    def calling(self) -> Iterator[Any]:
        """The client. Raises StoreUnavailable, SlotMissing for what goes wrong with it."""
        milvus = _package()
        try:
            yield self._connected(milvus)
        except milvus.MilvusException as error:
            if error.code in _NO_COLLECTION:
                raise SlotMissing(str(error)) from error
            raise _away(error) from error
        except OSError as error:
            raise _away(error) from error

    def _connected(self, milvus: Any) -> Any:
        with self._connecting:
            if self._client is None:
                token = self._settings.milvus_token
                database = self._settings.milvus_database
                self._client = milvus.MilvusClient(
                    self._settings.milvus_uri,
                    token=token.get_secret_value() if token else "",
                    timeout=self.timeout,
                    **({} if database == "default" else {"db_name": database}),
                )
            return self._client


class MilvusIndex(SharedIndex):
    """One collection: chunk id, segment, vector."""

    def __init__(self, server: MilvusServer, slot: str, dimension: int) -> None:
        super().__init__(dimension)
        self._server, self._slot = server, slot
        self._changed_at = time.monotonic()
        self._is_loaded = False

    def changed(self, vectors: int | None = None) -> None:
        super().changed(vectors)
        self._changed_at = time.monotonic()

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self) -> None:
        milvus = _package()
        with self._server.calling() as client:
            if client.has_collection(self._slot, timeout=self._server.timeout):
                return
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", milvus.DataType.INT64, is_primary=True)
            schema.add_field("segment", milvus.DataType.VARCHAR, max_length=128)
            schema.add_field("vector", milvus.DataType.FLOAT_VECTOR, dim=self.dimension)
            index = client.prepare_index_params()
            index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
            client.create_collection(
                self._slot,
                schema=schema,
                index_params=index,
                consistency_level="Bounded",
                timeout=self._server.timeout,
            )

    def put(self, parts: Sequence[Part]) -> None:
        rows = []
        for part in parts:
            ids, vectors = self._checked(part.ids, part.vectors)
            rows += [
                {"id": int(chunk_id), "segment": part.segment, "vector": vector}
                for chunk_id, vector in zip(ids, vectors, strict=True)
            ]
        step = max(1, _BYTES_PER_CALL // (4 * self.dimension))
        # What there is of a segment has the same ids: they are replaced.
        with self._open() as client:
            for start in range(0, len(rows), step):
                client.upsert(self._slot, rows[start : start + step])
        self.changed()

    def drop(self, segments: Collection[str]) -> None:
        names = sorted(segments)
        with self._open() as client:
            for start in range(0, len(names), _PAGE):
                client.delete(self._slot, filter=f"segment in {json.dumps(names[start : start + _PAGE])}")
        self.changed()

    def census(self) -> dict[str, int]:
        found: dict[str, int] = {}
        with self._open() as client:
            pages = client.query_iterator(
                self._slot,
                filter="id >= 0",
                output_fields=["segment"],
                batch_size=_PAGE,
                consistency_level="Strong",
            )
            try:
                while page := pages.next():
                    for row in page:
                        found[row["segment"]] = found.get(row["segment"], 0) + 1
            finally:
                pages.close()
        return found

    def count(self) -> int:
        with self._open() as client:
            rows = client.query(self._slot, filter="", output_fields=["count(*)"], consistency_level="Strong")
        self._count = int(rows[0]["count(*)"])
        return self._count

    def tune(self) -> None:
        """Milvus does it by itself."""

    def remove(self) -> None:
        with self._server.calling() as client:
            if client.has_collection(self._slot, timeout=self._server.timeout):
                client.drop_collection(self._slot, timeout=self._server.timeout)
        self._is_loaded = False
        self.changed()

    @contextmanager
    def _open(self) -> Iterator[Any]:
        with self._server.calling() as client:
            if not self._is_loaded:
                client.load_collection(self._slot, timeout=self._server.timeout)
                self._is_loaded = True
            try:
                yield client
            except BaseException:
                self._is_loaded = False
                raise

    # ── search ────────────────────────────────────────────────────────────────────────────────────────────────────

    def search_vector(self, vector: Vectors, k: int, among: Ids | None = None) -> Found:
        if k < 1 or (among is not None and not len(among)):
            return []
        query = np.ascontiguousarray(vector, dtype=np.float32)
        wanted = min(_MAX_FOUND, max(k, _CANDIDATES * k, _MIN_CANDIDATES))
        with self._open() as client:
            (found,) = client.search(
                self._slot,
                data=[query],
                limit=wanted,
                filter="" if among is None else f"id in {json.dumps(among.tolist())}",
                output_fields=["vector"],
                search_params={"metric_type": "IP"},
                consistency_level=self._consistency(),
                timeout=self._server.timeout,
            )
        if not found:
            return []
        ids = np.array([hit["id"] for hit in found], dtype=np.int64)
        cosines = np.array([hit["entity"]["vector"] for hit in found], dtype=np.float32) @ query
        order = np.lexsort((ids, -cosines))[:k]
        return [(int(ids[n]), max(0.0, 2.0 - 2.0 * float(cosines[n]))) for n in order]

    def _consistency(self) -> str:
        return "Strong" if time.monotonic() - self._changed_at < _FRESH_SECONDS else "Bounded"

    def sample(self, number: int, among: Ids | None = None) -> Vectors:
        step = max(1, (self._count or self.count()) // max(1, number))
        chosen = "id >= 0" if self._server.is_lite or step == 1 else f"id % {step} == 0"
        if among is not None:
            chosen = f"id in {json.dumps(thinned(among, number).tolist())}"
        with self._open() as client:
            rows = client.query(
                self._slot,
                filter=chosen,
                output_fields=["id", "vector"],
                limit=number,
                consistency_level=self._consistency(),
            )
        rows.sort(key=itemgetter("id"))
        return np.array([row["vector"] for row in rows], dtype=np.float32).reshape(-1, self.dimension)


def _package() -> Any:
    """pymilvus, which is imported by whoever uses it. Raises StoreUnavailable."""
    try:
        import pymilvus
    except ImportError as error:
        raise StoreUnavailable(
            Text(
                "使用 Milvus 需要安装 pymilvus：pip install 'pymilvus>=3,<4'（即 pip install -e '.[milvus]'）",
                "Milvus needs the package pymilvus: pip install 'pymilvus>=3,<4' (the extra `milvus`)",
            )
        ) from error
    # It logs each failure with a traceback; ours say it in a line.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus


def _away(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        Text(
            "Milvus 不可用，请稍后再试；管理员请检查 [vector_store] milvus_uri",
            f"Milvus cannot be used ({type(error).__name__}, code {getattr(error, 'code', '-')}); see [vector_store] milvus_uri",
        ),
        retry_after=5,
    )
