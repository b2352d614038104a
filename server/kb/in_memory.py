"""A knowledge base's vectors in this process: FAISS, filled from a snapshot of itself and the segments since, or from segments alone."""

import logging
import time
from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np

from server.kb.damage import read_or_none
from server.kb.document_repository import ReadySegment
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase
from server.kb.rows import SegmentRows
from server.kb.snapshots import check_file, discard, read_manifest, read_segments, snapshot_path
from server.kb.vectorstores.base import Ids, Vectors
from server.kb.vectorstores.faiss import FaissIndex, Sizes

log = logging.getLogger(__name__)

# Vectors that are read before they are put into an index together.
_AT_ONCE = 50_000
# Seconds between two looks for a newer snapshot.
_LOOK = 5.0
Snapshot = tuple[FaissIndex, dict[str, Ids]]


def _document(segment: str) -> str:
    """Whose a segment is: it is named so, see files.py."""
    return segment.partition(".")[0]


class InMemory:
    """The index of one knowledge base under one embedding model. One at a time changes it; all of that blocks."""

    def __init__(self, files: FileStore, kb: KnowledgeBase, sizes: Sizes) -> None:
        self._files, self._kb, self._sizes = files, kb, sizes
        folder = files.segment_path(kb.id, kb.embed_model, "x").parent
        self._rows = SegmentRows(folder, int(kb.fingerprint["dimension"]))
        self.index = FaissIndex(self._rows.dimension, self._rows.fetch, sizes)
        # Name of a segment → the ids of its vectors, and its document.
        self.segments: dict[str, Ids] = {}
        self._documents: dict[str, str] = {}
        # The index file of the snapshot that was last looked at, and when that was.
        self.snapshot = ""
        self.looked = 0.0

    @property
    def documents(self) -> set[str]:
        """Those whose passages are searched."""
        return set(self._documents.values())

    def chunks_of(self, documents: Set[str]) -> Ids:
        """The ids of the passages of some documents."""
        known = self._documents
        ids = [ids for segment, ids in list(self.segments.items()) if known.get(segment) in documents]
        return np.concatenate(ids) if ids else np.empty(0, np.int64)

    def follow(self, ready: dict[str, str], fresh: Sequence[ReadySegment]) -> list[ReadySegment]:
        """Take vectors in and out, in this order: who searches meanwhile finds both versions of a replaced document,
        of which SQL knows one, and never neither. Returns the segments that are lost.

        `ready`: the documents of all segments that are searched; `fresh`: those that are not here yet.
        """
        lost: list[ReadySegment] = []
        coming: dict[str, Ids] = {}
        vectors = []
        self._documents = ready
        gone = {segment for segment in self.segments if segment not in ready}
        for number, segment in enumerate(fresh):
            matrix = read_or_none(self._files, self._kb, self.index.dimension, segment)
            if matrix is None:
                lost.append(segment)
            else:
                coming[segment.name] = np.array(segment.chunk_ids, dtype=np.int64)
                vectors.append(matrix)
            if vectors and (number + 1 == len(fresh) or sum(map(len, vectors)) >= _AT_ONCE):
                documents = set(map(_document, coming))
                replaced = {segment for segment in gone if _document(segment) in documents}
                self._rows.change(coming.items(), replaced)
                self._add(coming, np.concatenate(vectors), replaced)
                self.segments |= coming
                coming, vectors = {}, []
        if gone:
            self._take_out(gone)
        return lost

    def _add(self, coming: dict[str, Ids], vectors: Vectors, replaced: set[str]) -> None:
        """Put segments in. Passages that they have of those they replace are there, with the same vectors."""
        ids = np.concatenate(list(coming.values()))
        if replaced:
            new = ~np.isin(ids, np.concatenate([self.segments[segment] for segment in replaced]))
            ids, vectors = ids[new], vectors[new]
        self.index.add_vectors(ids, vectors)

    def _take_out(self, gone: set[str]) -> None:
        """Take segments out, but for the passages that their successors have too."""
        documents = {_document(segment) for segment in gone}
        kept = [
            ids
            for segment, ids in self.segments.items()
            if segment not in gone and _document(segment) in documents
        ]
        ids = np.concatenate([self.segments.pop(segment) for segment in gone])
        if kept:
            ids = ids[~np.isin(ids, np.concatenate(kept))]
        self.index.remove_vectors(ids)
        self._rows.change((), gone)

    # ── snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────

    def begin(self) -> None:
        """From a snapshot, if there is one."""
        found = self._read(snapshot_path(self._files, self._kb))
        if found is not None:
            self.index, self.segments = found
            self._rows.change(self.segments.items())

    def is_time_to_look(self) -> bool:
        """May there be a snapshot with lists that this index has not?"""
        now = time.monotonic()
        if len(self.index) <= self._sizes.sq8 or now - self.looked < _LOOK:
            return False
        self.looked = now
        return True

    def look(self) -> Snapshot | None:
        """A snapshot that was made since, if it is worth going over to it."""
        path = snapshot_path(self._files, self._kb)
        manifest = read_manifest(path)
        if manifest is None or manifest.index == self.snapshot:
            return None
        if not manifest.lists:  # as it is already
            self.snapshot = manifest.index
            return None
        return self._read(path)

    def exchange(self, found: Snapshot) -> None:
        """Bring a snapshot to what the index in use has, and use it."""
        index, there = found
        if gone := [ids for segment, ids in there.items() if segment not in self.segments]:
            index.remove_vectors(np.concatenate(gone))
        for ids in [ids for segment, ids in self.segments.items() if segment not in there]:
            vectors, known = self._rows.fetch(ids)
            index.add_vectors(ids[known], vectors[known])
        self.index = index

    def _read(self, path: Path) -> Snapshot | None:
        manifest = read_manifest(path)
        if manifest is None or manifest.index == self.snapshot:
            return None
        self.snapshot = manifest.index
        try:
            segments = read_segments(path, manifest)
            check_file(path.parent / manifest.index, manifest.index_sha256)
            ids = np.concatenate([*segments.values(), np.empty(0, np.int64)])
            index = FaissIndex.load(path.parent / manifest.index, ids, self._rows.fetch, self._sizes)
        except (ValueError, OSError) as error:  # the segments are still there
            log.warning("snapshot unusable", extra={"kb": self._kb.id, "reason": str(error)})
            discard(path, manifest)
            return None
        if index.dimension != self.index.dimension:
            return None
        log.info("snapshot loaded", extra={"kb": self._kb.id, "vectors": len(index)})
        return index, segments
