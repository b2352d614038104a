"""Which row of which segment a chunk's vector is, for whoever needs vectors that no index keeps whole.

They are read from the segments where they lie: a few rows of a few files, which the system keeps in memory as long as it can.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.kb.vectorstores.base import Ids, Vectors


@dataclass(frozen=True, slots=True)
class _Run:
    """Chunks whose ids follow each other, as their rows do."""

    start: int
    length: int
    segment: str
    row: int


class SegmentRows:
    """The rows of one knowledge base. Safe to read from several threads while one changes it."""

    def __init__(self, folder: Path, dimension: int) -> None:
        self._folder, self.dimension = folder, dimension
        # Exchanged together, by one assignment: who reads meanwhile has both as they were.
        self._runs: tuple[list[_Run], Ids] = [], np.empty(0, np.int64)

    def change(self, added: Iterable[tuple[str, Ids]], removed: Collection[str] = ()) -> None:
        """`added`: segments, each with the ids of its chunks in its order."""
        runs = [run for run in self._runs[0] if run.segment not in removed] if removed else [*self._runs[0]]
        for segment, ids in added:
            breaks = [0, *(np.flatnonzero(np.diff(ids) != 1) + 1).tolist(), len(ids)]
            runs += [
                _Run(int(ids[first]), end - first, segment, first)
                for first, end in pairwise(breaks)
                if end > first
            ]
        runs.sort(key=lambda run: run.start)
        self._runs = runs, np.array([run.start for run in runs], dtype=np.int64)

    def fetch(self, ids: Ids) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of chunks, and which of them there are; the others' rows are zero. Blocks while files are read."""
        runs, starts = self._runs
        vectors = np.zeros((len(ids), self.dimension), np.float32)
        known = np.zeros(len(ids), np.bool_)
        if not runs:
            return vectors, known
        wanted = []
        for place, (chunk_id, number) in enumerate(
            zip(ids.tolist(), np.searchsorted(starts, ids, "right").tolist(), strict=True)
        ):
            run = runs[number - 1]
            if number and chunk_id < run.start + run.length:
                wanted.append((run.segment, run.row + chunk_id - run.start, place))
        wanted.sort()
        for segment, group in groupby(wanted, key=lambda one: one[0]):
            ordered = list(group)
            self._read(
                segment, [row for _, row, _ in ordered], [place for *_, place in ordered], vectors, known
            )
        return vectors, known

    def _read(
        self, segment: str, rows: list[int], places: list[int], vectors: Vectors, known: NDArray[np.bool_]
    ) -> None:
        size = 4 * self.dimension
        try:
            file = os.open(self._folder / segment, os.O_RDONLY)
        except OSError:  # replaced or deleted a moment ago
            return
        try:
            # A `.npy` of version 1: its header's length stands in bytes 8 and 9.
            begin = 10 + int.from_bytes(os.pread(file, 10, 0)[8:10], "little")
            n = 0
            while n < len(rows):
                end = n + 1
                while end < len(rows) and rows[end] == rows[n] + end - n:
                    end += 1
                data = os.pread(file, size * (end - n), begin + size * rows[n])
                if len(data) == size * (end - n):
                    vectors[places[n:end]] = np.frombuffer(data, "<f4").reshape(-1, self.dimension)
                    known[places[n:end]] = True
                n = end
        finally:
            os.close(file)
