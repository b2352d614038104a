"""What every vector store can do: the vectors of one knowledge base under one embedding model, by chunk id.

A score is a squared L2 distance of unit vectors, 2 - 2·cosine: 0 the same, 2 unrelated, smaller is closer. Every store gives
the exact one of the vectors as they were embedded, whatever it is that it searches with.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from server.core.threads import Lane

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Found = list[tuple[int, float]]

# Vectors that tell how far a question is from passages in general.
_SAMPLE = 1000


def thinned(rows: Any, number: int) -> Any:
    """About `number` of them, from the first on."""
    return rows[:: max(1, len(rows) // number)][:number]


@dataclass(frozen=True, slots=True)
class Part:
    """The vectors of one segment."""

    segment: str
    ids: Sequence[int] | Ids
    vectors: Vectors


class SlotMissing(Exception):
    """The server does not have this knowledge base's vectors, or not any more: they are written again, or are elsewhere."""


class VectorIndex(ABC):
    """Where one knowledge base is searched. Safe to use from several threads."""

    # Where searches wait for it: those in memory for a core, those on a server for its answer.
    lane: ClassVar[Lane]

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        # Some vectors from all over the index, and what they were chosen from; None after a change. And how many there were then.
        self._sample: tuple[Ids | None, Vectors] | None = None
        self._sampled = 0

    @property
    def nbytes(self) -> int:
        """Memory in this process."""
        return 0

    @abstractmethod
    def __len__(self) -> int:
        """How many vectors there are; of those on a server, as far as we know."""

    @abstractmethod
    def search_vector(self, vector: Vectors, k: int, among: Ids | None = None) -> Found:
        """Up to `k` (id, score), closest first, for a (dimension,) unit vector; `among`: of these ids only."""

    @abstractmethod
    def sample(self, number: int, among: Ids | None = None) -> Vectors:
        """About `number` of the vectors, from all over the index; fewer when there are fewer.

        `among`: of these ids (in order), and always the same ones of them; as of an index that has no others.
        """

    def spread(self, vector: Vectors, among: Ids | None = None) -> tuple[float, float]:
        """Mean and standard deviation of all scores for a vector, estimated from some of them; zeros when empty."""
        known = self._sample
        if known is None or known[0] is not among:
            known = self._sample = (among, self.sample(_SAMPLE, among))
            self._sampled = len(self)
        sample = known[1]
        if not len(sample):
            return 0.0, 0.0
        scores = 2.0 - 2.0 * (sample @ np.asarray(vector, dtype=np.float32))
        return float(scores.mean()), float(scores.std())

    def changed(self, vectors: int | None = None) -> None:
        """Somebody put vectors in or took some out. `vectors`: how many there are now, if that is known: what a sample said
        holds until there is a tenth more or less."""
        if vectors is None or abs(vectors - self._sampled) * 10 > self._sampled:
            self._sample = None

    def _checked(self, ids: Sequence[int] | Ids, vectors: Vectors) -> tuple[Ids, Vectors]:
        """Both as stores take them. Raises ValueError on a mismatch."""
        keys = np.ascontiguousarray(ids, dtype=np.int64)
        if vectors.shape != (len(keys), self.dimension):
            raise ValueError(f"expected {(len(keys), self.dimension)} vectors, got {vectors.shape}")
        return keys, np.ascontiguousarray(vectors, dtype=np.float32)


class SharedIndex(VectorIndex):
    """One on a server, which all processes search and one at a time writes, segment by segment (see slots.py).

    Every method may be repeated, or break off in the middle and be repeated. Raises StoreUnavailable; all but `create`
    raise SlotMissing.
    """

    lane = "stores"

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def changed(self, vectors: int | None = None) -> None:
        if vectors is not None:
            self._count = vectors
        super().changed(vectors)

    @abstractmethod
    def create(self) -> None:
        """Make room for the vectors, if there is none."""

    @abstractmethod
    def put(self, parts: Sequence[Part]) -> None:
        """Write segments, in place of what there is of them. All of them are there when it returns, for every process.

        A passage that stands in another segment, which an edit replaces, moves over to this one.
        """

    @abstractmethod
    def drop(self, segments: Collection[str]) -> None:
        """Take segments out; those that are not there are no fault."""

    @abstractmethod
    def census(self) -> dict[str, int]:
        """Vectors of each segment. Slow: it looks at all of them."""

    @abstractmethod
    def count(self) -> int:
        """Vectors altogether, as of now, which `len` knows then."""

    @abstractmethod
    def tune(self) -> None:
        """Build or renew what makes searches fast, once there are enough vectors. Searches go on meanwhile."""

    @abstractmethod
    def remove(self) -> None:
        """Delete everything; nothing there is no fault."""


class StoreServer(ABC):
    """A server of vectors: what is configured, and the connections to it. Everything blocks."""

    @abstractmethod
    def open(self, slot: str, dimension: int) -> SharedIndex:
        """The slot of that name; nothing is connected before it is used. `slot`: letters, digits and `_`."""

    @abstractmethod
    def check(self) -> None:
        """Is it there, and can it do what we need? Raises StoreUnavailable, which says what is missing."""

    @abstractmethod
    def close(self) -> None: ...
