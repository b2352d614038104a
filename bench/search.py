"""Search latency at 10,000 and 100,000 chunks, without the embedding of the question, one user."""

import time

import numpy as np

from bench.report import Figure, percentile, show, spread
from bench.stage import fill, stage

_GOALS = {10_000: 12.0, 100_000: 60.0}
_QUESTIONS = 200


async def run() -> None:
    figures = []
    for chunks, goal in _GOALS.items():
        async with stage() as services:
            kb = await fill(services, f"kb{chunks}", chunks)
            embedder = await services.embedders.of(kb)
            rng = np.random.default_rng(1)
            started = time.perf_counter()
            _, first = await services.kb.search_in(kb, "年假有几天", top_k=10, threshold=4.0)
            loaded = time.perf_counter() - started
            times = []
            for number in range(_QUESTIONS):
                vector = rng.normal(size=embedder.fingerprint().dimension).astype(np.float32)
                vector /= np.linalg.norm(vector)
                # A fresh vector each time, so that nothing stays warm; the model itself is left out.
                embedder.embed_question = lambda _, v=vector: v  # type: ignore[method-assign,misc]
                _, trace = await services.kb.search_in(kb, f"问题{number}", top_k=10, threshold=4.0)
                steps = trace.milliseconds
                times.append(steps["load"] + steps["search"] + steps["read"])
        p95 = percentile(times, 95)
        figures.append(
            Figure(f"{chunks:,} chunks, p95", f"{p95:.1f} ms", f"≤ {goal:.0f} ms", p95 <= goal, spread(times))
        )
        raw = f"index filled from segments in {first.milliseconds['load'] / 1000:.2f} s"
        figures.append(Figure(f"{chunks:,} chunks, first question after a start", f"{loaded:.2f} s", raw=raw))
    show("Search: dense, 384 dimensions, top 10, without the embedding of the question", figures)
