"""FAISS, in memory, in the form that the number of vectors asks for. Nobody notices which:

    flat   the vectors themselves, compared one by one
    sq8    a byte per number instead of four: a quarter of the memory and less than half of the time
    ivf    the same in lists of vectors that are close to each other, of which some are looked at

What `sq8` and `ivf` find is a choice of candidates; their scores come from the vectors as they are stored (rows.py). The lists of
`ivf` are trained in another process (training.py), which also measures how many of them must be looked at.

The index is a cache: it is filled from the segments that are the truth, or from a snapshot of itself and the segments since.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from server.kb.vectorstores.base import Found, Ids, VectorIndex, Vectors, thinned
from server.kb.vectorstores.reading import ReadWriteLock

Kind = Literal["flat", "sq8", "ivf"]
# Vectors of chunks as they are stored, and which of them there are (the others' rows are zero).
Fetch = Callable[[Ids], tuple[Vectors, NDArray[np.bool_]]]

# Its type stubs know less than it does.
_PARAMETERS: Any = faiss

# Candidates per hit, and at least: with twice as many no hit was lost (docs/scale.md).
_CANDIDATES, _MIN_CANDIDATES = 3, 30
# Vectors from which the range of each number is learned.
_RANGE_SAMPLE = 20_000
# So few are compared with their stored vectors at once.
_FEW = 300
_BYTES_PER_ID = 8
# Ids of which not even one in so many is asked for are looked for in a set instead of among bits.
_SPARSE = 32


@dataclass(frozen=True, slots=True)
class Sizes:
    """Up to how many vectors an index is flat, and up to how many it has no lists."""

    flat: int = 50_000
    sq8: int = 1_000_000

    def kind(self, vectors: int) -> Kind:
        return "flat" if vectors <= self.flat else "sq8" if vectors <= self.sq8 else "ivf"


SIZES = Sizes()


def use_one_core() -> None:
    """With more FAISS spins on cores that the models need: 20 ms of processor time a search instead of 3, at 100,000 vectors. OpenMP
    keeps the number for each thread by itself, so that every one that calls FAISS says it."""
    faiss.omp_set_num_threads(1)


class FaissIndex(VectorIndex):
    """A knowledge base's vectors in memory. Safe to search from several threads while one changes it."""

    lane = "search"

    def __init__(self, dimension: int, fetch: Fetch | None = None, sizes: Sizes = SIZES) -> None:
        """`fetch` gives the stored vectors of chunks that are in the index; without it, it stays flat."""
        super().__init__(dimension)
        self._fetch, self._sizes = fetch, sizes
        self.kind: Kind = "flat"
        self._index: Any = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
        # What came since the lists were trained. They know nothing of a new subject, and would look for it in the wrong ones.
        self._fresh: Any = None
        # FAISS allows searches side by side, and nothing beside a change.
        self._lock = ReadWriteLock()
        self._largest_id = -1

    def __len__(self) -> int:
        return sum(int(part.ntotal) for part in self._parts())

    def _parts(self) -> list[Any]:
        return [self._index] if self._fresh is None else [self._index, self._fresh]

    @property
    def nbytes(self) -> int:
        per_vector = self.dimension * (4 if self.kind == "flat" else 1) + _BYTES_PER_ID
        return len(self) * per_vector

    # ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def add_vectors(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        """Put (n, dimension) unit vectors in; an id that is there already is replaced. Raises ValueError on a mismatch."""
        keys, vectors = self._checked(ids, vectors)
        if not len(keys):
            return
        use_one_core()
        # Only one thread changes an index: what is slow is done while others search.
        smaller = self._compressed(len(self) + len(keys), vectors)
        fresh = self._bytes_for(vectors) if self.kind == "ivf" and self._fresh is None else self._fresh
        with self._lock.writing():
            if smaller is not None:
                self._index, self.kind = smaller, "sq8"
            self._fresh = fresh
            if keys.min() <= self._largest_id:  # ids grow: most calls need not look
                for part in self._parts():
                    part.remove_ids(faiss.IDSelectorBatch(keys))  # FAISS would keep both
            (self._index if self._fresh is None else self._fresh).add_with_ids(vectors, keys)
            self._largest_id = max(self._largest_id, int(keys.max()))
        # One that is compressed is sampled from files.
        self.changed(None if self.kind == "flat" else len(self))

    def remove_vectors(self, ids: Sequence[int] | Ids) -> int:
        """Take vectors out; return how many were there."""
        with self._lock.writing():
            chosen = faiss.IDSelectorBatch(np.asarray(ids, dtype=np.int64))
            removed = sum(int(part.remove_ids(chosen)) for part in self._parts())
        self.changed(None if self.kind == "flat" else len(self))
        return removed

    def _compressed(self, number: int, coming: Vectors) -> Any:
        """What takes the place of a flat index that becomes too large, without what is to come; None while it does not."""
        if self.kind != "flat" or self._fetch is None or self._sizes.kind(number) == "flat":
            return None
        rows, total = self._flat_rows(), len(self)
        smaller = self._bytes_for(coming, rows)
        if total:
            smaller.add_with_ids(rows, faiss.vector_to_array(self._index.id_map))
        return smaller

    def _bytes_for(self, coming: Vectors, there: Vectors | None = None) -> Any:
        """An empty index of a byte per number, for what is there and what is to come."""
        there = self.sample(_RANGE_SAMPLE // 4) if there is None else there
        small = faiss.IndexScalarQuantizer(
            self.dimension, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        small.train(np.concatenate([thinned(there, _RANGE_SAMPLE), thinned(coming, _RANGE_SAMPLE)]))
        return faiss.IndexIDMap(small)

    # ── snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def load(cls, path: Path, ids: Ids, fetch: Fetch, sizes: Sizes = SIZES) -> "FaissIndex":
        """An index as training.py wrote it, with the vectors of `ids`. Raises ValueError when it is not one."""
        try:
            read = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path.name}: {error}") from error
        has_lists = isinstance(read, faiss.IndexIVF)
        if not (has_lists or isinstance(read, faiss.IndexIDMap)) or read.ntotal != len(ids):
            raise ValueError(f"{path.name}: not the index that was written")
        index = cls(read.d, fetch, sizes)
        index._index, index.kind = read, "ivf" if has_lists else "sq8"
        index._largest_id = int(ids.max(initial=-1))
        return index

    # ── search ────────────────────────────────────────────────────────────────────────────────────────────────────

    def search_vector(self, vector: Vectors, k: int, among: Ids | None = None) -> Found:
        total = len(self)
        k = min(k, total if among is None else len(among))
        if k < 1:
            return []
        use_one_core()
        query = np.ascontiguousarray(vector, dtype=np.float32)
        if among is not None:
            among = np.ascontiguousarray(among, dtype=np.int64)
            if self.kind != "flat" and len(among) <= _FEW:
                return self._exact(query, among, None)[:k]
        with self._lock.reading():
            wanted = k if self.kind == "flat" else max(_CANDIDATES * k, _MIN_CANDIDATES)
            searched = [
                part.search(query[None], min(wanted, total), params=self._parameters(part, among))
                for part in self._parts()
                if part.ntotal
            ]
            is_exact = self.kind == "flat"
        if not searched:  # emptied a moment ago
            return []
        cosines, ids = (np.concatenate([result[n][0] for result in searched]) for n in (0, 1))
        found = ids >= 0
        if is_exact:
            return _scored(ids[found], cosines[found])
        return self._exact(query, ids[found], cosines[found])[:k]

    def _parameters(self, part: Any, among: Ids | None) -> Any:
        if among is None:
            return None
        selector, kinds = _selector(among), _PARAMETERS
        if not isinstance(part, faiss.IndexIVF):
            return kinds.SearchParameters(sel=selector)
        # Those that are asked for may be in any list; only they are compared.
        return kinds.SearchParametersIVF(sel=selector, nprobe=part.nlist)

    def _exact(self, query: Vectors, ids: Ids, cosines: Vectors | None) -> Found:
        """Candidates with their exact scores, closest first. One whose vector cannot be read keeps its estimate, if it has one."""
        assert self._fetch is not None
        vectors, known = self._fetch(ids)
        exact = vectors @ query
        if cosines is None:
            ids, exact = ids[known], exact[known]
        else:
            exact = np.where(known, exact, cosines)
        order = np.lexsort((ids, -exact))
        return _scored(ids[order], exact[order])

    def sample(self, number: int, among: Ids | None = None) -> Vectors:
        with self._lock.reading():
            if self.kind == "flat":
                ids = faiss.vector_to_array(self._index.id_map)
                order = np.argsort(ids)
                if among is not None:
                    order = order[np.isin(ids[order], among)]
                return np.array(self._flat_rows()[thinned(order, number)])
            ids = self._some_ids(number) if among is None else thinned(among, number)
        assert self._fetch is not None
        vectors, known = self._fetch(ids)
        return vectors[known]

    def _flat_rows(self) -> Vectors:
        """What a flat index has, where it has it: good until the next change."""
        flat: Any = faiss.downcast_index(self._index.index)
        total = len(self) * self.dimension
        rows = faiss.rev_swig_ptr(flat.get_xb(), total) if total else np.empty(0, np.float32)
        return np.asarray(rows).reshape(-1, self.dimension)

    def _some_ids(self, number: int) -> Ids:
        if self.kind == "sq8":
            return np.asarray(thinned(np.sort(faiss.vector_to_array(self._index.id_map)), number))
        lists = self._index.invlists
        each = max(1, number // self._index.nlist + 1)
        sizes = [(n, min(each, lists.list_size(n))) for n in range(self._index.nlist)]
        parts = [faiss.rev_swig_ptr(lists.get_ids(n), size).copy() for n, size in sizes if size]
        return np.asarray(thinned(np.concatenate(parts or [np.empty(0, np.int64)]), number))


def _selector(among: Ids) -> Any:
    """What tells the fastest whether an id is one of these."""
    last = int(among.max())
    if last > _SPARSE * len(among):
        return faiss.IDSelectorBatch(among)
    bits = np.zeros(last + 1, np.bool_)
    bits[among] = True
    return _PARAMETERS.IDSelectorBitmap(np.packbits(bits, bitorder="little"))


def _scored(ids: Ids, cosines: Vectors) -> Found:
    # Rounding can push a cosine past 1; a distance is never negative.
    return [(int(i), max(0.0, 2.0 - 2.0 * float(c))) for i, c in zip(ids, cosines, strict=True)]
