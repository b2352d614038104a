"""FAISS's forms at 10,000, 100,000 and 1,000,000 chunks: what each finds, how long it takes, and what it costs to make."""

import tempfile
import time
from pathlib import Path

import numpy as np

from bench.report import Figure, percentile, show, spread
from bench.search import chosen_sizes
from bench.vectors import DIMENSION, passages, questions
from server.kb.rows import SegmentRows
from server.kb.segments import write_segment
from server.kb.snapshots import read_manifest, read_segments
from server.kb.training import Task, make_snapshot
from server.kb.vectorstores.faiss import FaissIndex, Sizes

_PER_SEGMENT = 1000
_TOP = 10
# More than any of them has: an index stays what it is.
_ALL = 10**9


class Corpus:
    """Segments on disk."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.segments: list[tuple[str, str, list[int]]] = []
        self.rows = SegmentRows(folder, DIMENSION)
        asked = questions(200, number)
        best = np.full((len(asked), _TOP), -np.inf, np.float32)
        ids_of_best = np.full((len(asked), _TOP), -1, np.int64)
        first = 1
        for vectors in passages(number, at_once=_PER_SEGMENT):
            name = f"{first}.npy"
            ids = np.arange(first, first + len(vectors), dtype=np.int64)
            self.segments.append((name, write_segment(folder / name, vectors), ids.tolist()))
            cosines = np.concatenate([best, asked @ vectors.T], axis=1)
            all_ids = np.concatenate([ids_of_best, np.broadcast_to(ids, (len(asked), len(ids)))], axis=1)
            chosen = np.argpartition(-cosines, _TOP - 1, axis=1)[:, :_TOP]
            best = np.take_along_axis(cosines, chosen, axis=1)
            ids_of_best = np.take_along_axis(all_ids, chosen, axis=1)
            first += len(vectors)
        self.rows.change((name, np.array(ids, dtype=np.int64)) for name, _, ids in self.segments)
        self.asked, self.closest = asked, [set(row.tolist()) for row in ids_of_best]

    def fill(self, sizes: Sizes) -> FaissIndex:
        index = FaissIndex(DIMENSION, self.rows.fetch, sizes)
        for start in range(0, len(self.segments), 50):
            ids = np.array(
                [i for _, _, ids in self.segments[start : start + 50] for i in ids], dtype=np.int64
            )
            vectors, _ = self.rows.fetch(ids)
            index.add_vectors(ids, vectors)
        return index

    def lists(self) -> tuple[FaissIndex, float, float, str]:
        """With the seconds of training, those of loading, and what was measured in training."""
        path = self.folder / "index" / "x.json"
        started = time.perf_counter()
        make_snapshot(Task(str(path), str(self.folder), DIMENSION, self.segments, "always"))
        trained = time.perf_counter() - started
        started = time.perf_counter()
        manifest = read_manifest(path)
        assert manifest is not None
        ids = np.concatenate(list(read_segments(path, manifest).values()))
        index = FaissIndex.load(path.parent / manifest.index, ids, self.rows.fetch, Sizes(0, 0))
        loaded = time.perf_counter() - started
        words = f"{manifest.probes} of {manifest.lists} lists, recall in training {manifest.recall}"
        return index, trained, loaded, words

    def measure(self, name: str, index: FaissIndex, built: str) -> Figure:
        times, work, hits = [], [], 0
        for question, closest in zip(self.asked, self.closest, strict=True):
            started, worked = time.perf_counter(), time.thread_time()
            found = index.search_vector(question, _TOP)
            times.append((time.perf_counter() - started) * 1000)
            work.append((time.thread_time() - worked) * 1000)
            hits += len(closest & {chunk_id for chunk_id, _ in found})
        recall = hits / (_TOP * len(self.asked))
        middle, slow = np.median(times), percentile(times, 95)
        value = f"{middle:.1f} / {slow:.1f} ms"
        # Of the processor: what a busy machine adds to the times is not in it.
        busy = f"{np.median(work):.2f} / {percentile(work, 95):.2f} ms of processor time"
        raw = f"recall@10 {recall:.4f}; {busy}; {index.nbytes / len(index):.0f} bytes a chunk; {built}; {spread(times)}"
        return Figure(f"{self.number:,} chunks, {name}, p50 / p95", value, raw=raw)


async def run() -> None:
    figures = []
    for number in chosen_sizes():
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            corpus = Corpus(Path(name), number)
            for form, limits in (("flat", Sizes(_ALL, _ALL)), ("sq8", Sizes(0, _ALL))):
                started = time.perf_counter()
                index = corpus.fill(limits)
                built = f"filled in {time.perf_counter() - started:.1f} s"
                figures.append(corpus.measure(form, index, built))
                del index
            if number >= 100_000:
                index, trained, loaded, words = corpus.lists()
                built = f"trained in {trained:.0f} s, loaded in {loaded:.1f} s; {words}"
                figures.append(corpus.measure("lists", index, built))
                for share in (8, 16):
                    index._index.nprobe = index._index.nlist // share
                    figures.append(corpus.measure(f"a {share}th of the lists", index, "the same"))
                del index
    show("FAISS forms: 384 dimensions, top 10, one thread, vectors spread as the model's", figures)
