"""A process of its own that makes a snapshot of a large FAISS index: it trains, fills, measures and writes it, and ends.

    python -m server.kb.training < TASK

It has the lowest priority, and may be killed at any moment: searches go on in the indexes there are, in other processes.
"""

import fcntl
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np

from server.kb.segments import SegmentError, read_segment
from server.kb.snapshots import SnapshotWriter
from server.kb.vectorstores.base import Ids, Vectors
from server.kb.vectorstores.faiss import use_one_core

log = logging.getLogger(__name__)

BUSY = 75  # exit status: somebody else is at it (EX_TEMPFAIL)
# Lists per square root of the vectors, vectors per list to learn from, and rounds of learning.
_LISTS, _PER_LIST, _ROUNDS = 4, 32, 6
# Searches that tell how many lists must be looked at, how many of the ten closest are to be found, and how near the searches' vectors
# are to one of the passages.
_PROBES, _CLOSEST, _CANDIDATES = 200, 10, 30
_NEAR = 0.7
# Searches that tell how fast an index is, and how many times faster lists must be: they lose a hit now and then.
_TIMED, _WORTH = 40, 1.3
_RANGE_SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be in the snapshot: segments as (name, SHA-256, chunk ids), all in one folder."""

    path: str
    folder: str
    dimension: int
    segments: list[tuple[str, str, list[int]]]
    # Are they put into lists? `auto`: when searches are faster so.
    lists: Literal["auto", "always", "never"] = "auto"
    recall: float = 0.99

    def read(self) -> Iterator[tuple[str, Ids, Vectors]]:
        """Each segment that can be read, in order."""
        for name, sha256, ids in self.segments:
            try:
                vectors = read_segment(Path(self.folder) / name, sha256)
            except SegmentError as error:  # replaced since, or damaged, which a search will find out
                log.warning("segment left out", extra={"reason": str(error)})
                continue
            if vectors.shape == (len(ids), self.dimension):
                yield name, np.array(ids, dtype=np.int64), vectors


def make_snapshot(task: Task) -> dict[str, Any]:
    """Returns what the manifest says. Blocks, for minutes if there are lists."""
    use_one_core()
    started = time.monotonic()
    total = sum(len(ids) for _, _, ids in task.segments)
    lists = max(1, int(_LISTS * math.sqrt(total)))
    chosen = np.random.default_rng(0)
    wanted = _RANGE_SAMPLE if task.lists == "never" else max(lists * _PER_LIST, _RANGE_SAMPLE)
    sample = _sample(task, min(total, wanted), total, chosen)
    index = _bytes_for(task.dimension, sample)
    parts = [index]
    if task.lists != "never":
        parts.append(_trained(task.dimension, lists, sample))
    exact = _Exact(_questions(sample, chosen))
    del sample
    segments: dict[str, Ids] = {}
    for names, ids, vectors in _batches(task):
        for part in parts:
            part.add_with_ids(vectors, ids)
        exact.see(ids, vectors)
        segments |= names
    recall = 1.0
    if task.lists != "never":
        with_lists = parts.pop()
        found = _choose_probes(with_lists, exact, task.recall)
        plain, listed = _seconds(index, exact), _seconds(with_lists, exact)
        log.info("measured", extra={"plain": plain, "lists": listed})
        if task.lists == "always" or listed * _WORTH < plain:
            index, recall = with_lists, found
    writer = SnapshotWriter(Path(task.path))
    has_lists = isinstance(index, faiss.IndexIVF)
    try:
        faiss.write_index(index, str(writer.index))
        manifest = writer.commit(
            segments,
            dimension=task.dimension,
            vectors=int(index.ntotal),
            lists=int(index.nlist) if has_lists else 0,
            probes=int(index.nprobe) if has_lists else 0,
            recall=round(recall, 4),
            seconds=round(time.monotonic() - started, 1),
        )
    except BaseException:
        writer.abandon()
        raise
    return {
        "vectors": manifest.vectors,
        "lists": manifest.lists,
        "recall": manifest.recall,
        "seconds": manifest.seconds,
    }


def _seconds(index: Any, exact: "_Exact") -> float:
    """Of the processor, for some searches one by one."""
    questions = exact.questions[:_TIMED]
    index.search(questions[:3], _CANDIDATES)
    started = time.thread_time()
    for question in questions:
        index.search(question[None], _CANDIDATES)
    return time.thread_time() - started


def _bytes_for(dimension: int, sample: Vectors) -> Any:
    small = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    small.train(sample[:_RANGE_SAMPLE])
    return faiss.IndexIDMap(small)


def _sample(task: Task, number: int, total: int, chosen: np.random.Generator) -> Vectors:
    wanted = np.sort(chosen.choice(total, number, replace=False))
    parts, seen = [], 0
    for _, ids, vectors in task.read():
        first, last = np.searchsorted(wanted, (seen, seen + len(ids)))
        parts.append(vectors[wanted[first:last] - seen])
        seen += len(ids)
    return np.concatenate(parts)


def _questions(sample: Vectors, chosen: np.random.Generator) -> Vectors:
    """As far from passages as what people ask is: each between two passages, nearer to one of them (docs/scale.md)."""
    number = min(_PROBES, len(sample))
    one, other = (sample[chosen.choice(len(sample), number, replace=False)] for _ in range(2))
    questions = _NEAR * one + (1 - _NEAR) * other
    return np.asarray(questions / np.linalg.norm(questions, axis=1, keepdims=True), dtype=np.float32)


def _trained(dimension: int, lists: int, sample: Vectors) -> Any:
    quantizer = faiss.IndexFlatIP(dimension)
    eight_bits = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dimension, lists, eight_bits, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.niter, index.cp.seed = _ROUNDS, 0
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _PER_LIST
    index.train(sample)
    return index


def _batches(task: Task) -> Iterator[tuple[dict[str, Ids], Ids, Vectors]]:
    """Segments together, so that FAISS gets some thousands of vectors a call."""
    names: dict[str, Ids] = {}
    parts: list[Vectors] = []
    for name, ids, vectors in task.read():
        names[name] = ids
        parts.append(vectors)
        if sum(map(len, parts)) >= 10_000:
            yield names, np.concatenate(list(names.values())), np.concatenate(parts)
            names, parts = {}, []
    if parts:
        yield names, np.concatenate(list(names.values())), np.concatenate(parts)


class _Exact:
    """The closest vectors of some, by comparing them with all."""

    def __init__(self, questions: Vectors) -> None:
        self.questions, self._k = questions, _CLOSEST
        self._cosines = np.full((len(questions), self._k), -np.inf, np.float32)
        self._ids = np.full((len(questions), self._k), -1, np.int64)

    def see(self, ids: Ids, vectors: Vectors) -> None:
        cosines = np.concatenate([self._cosines, self.questions @ vectors.T], axis=1)
        candidates = np.concatenate(
            [self._ids, np.broadcast_to(ids, (len(self.questions), len(ids)))], axis=1
        )
        best = np.argpartition(-cosines, self._k - 1, axis=1)[:, : self._k]
        self._cosines = np.take_along_axis(cosines, best, axis=1)
        self._ids = np.take_along_axis(candidates, best, axis=1)

    def closest(self) -> list[set[int]]:
        return [set(row[row >= 0].tolist()) for row in self._ids]


def _choose_probes(index: Any, exact: _Exact, wanted: float) -> float:
    """As few lists as find what is to be found. Returns the share of the closest that is found then."""
    closest = exact.closest()
    probes, recall = 1, 0.0
    while True:
        index.nprobe = probes
        _, found = index.search(exact.questions, _CANDIDATES)
        hits = sum(len(want.intersection(row.tolist())) for want, row in zip(closest, found, strict=True))
        recall = hits / max(1, sum(map(len, closest)))
        if recall >= wanted or probes >= index.nlist:
            return recall
        probes = min(index.nlist, max(probes + 1, probes * 5 // 4))


def main() -> int:
    """One task from standard input; what became of it to standard output, in JSON."""
    os.nice(19)
    task = Task(**json.load(sys.stdin))
    Path(task.path).parent.mkdir(parents=True, exist_ok=True)
    with (Path(task.path).parent / ".lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return BUSY
        sys.stdout.write(json.dumps(make_snapshot(task)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
