"""The vector indexes of one process: caches that follow the truth in SQL by generation number."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from embeddings import Embedder
from server.core.threads import Lanes
from server.db.session import Database
from server.kb import repository
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase
from server.kb.repository import ReadySegment
from server.kb.segments import SegmentError, read_segment
from server.kb.vectorstores import VECTOR_STORES
from server.kb.vectorstores.faiss import FaissStore

log = logging.getLogger(__name__)
Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass
class _Loaded:
    store: FaissStore
    generation: int = -1
    # Document id → the ids of its vectors in the store.
    documents: dict[str, Ids] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def size(self) -> int:
        """Bytes of vectors."""
        return len(self.store) * self.store.dimension * 4


class Indexes:
    """Gives each knowledge base's index as of now: what another process committed is taken in before a search."""

    def __init__(self, database: Database, files: FileStore, lanes: Lanes, memory: int) -> None:
        """`memory` bounds the vectors of all indexes together, in bytes."""
        self._database, self._files, self._lanes, self._memory = database, files, lanes, memory
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()

    async def get(self, kb: KnowledgeBase, embedder: Embedder) -> FaissStore:
        """The index of `kb` at least as new as the row `kb`."""
        loaded = self._loaded.get(kb.id)
        if loaded is None:
            dimension = int(kb.fingerprint["dimension"])
            loaded = self._loaded[kb.id] = _Loaded(VECTOR_STORES[kb.vector_store](embedder, dimension))
        self._loaded.move_to_end(kb.id)
        if loaded.generation < kb.generation:
            async with loaded.lock:
                if loaded.generation < kb.generation:
                    await self._catch_up(kb, loaded)
            self._forget_least_used()
        return loaded.store

    async def _catch_up(self, kb: KnowledgeBase, loaded: _Loaded) -> None:
        async with self._database.read() as session:
            # Read before the documents: what is committed in between is loaded now and looked for once more.
            generation = await repository.get_generation(session, kb.id)
            ready = await repository.list_ready_ids(session, kb.id)
            segments = await repository.load_segments(session, sorted(ready - loaded.documents.keys()))
        gone = [document for document in loaded.documents if document not in ready]
        await self._lanes.run("index", self._apply, kb, loaded, gone, segments)
        loaded.generation = kb.generation if generation is None else generation

    def _apply(
        self, kb: KnowledgeBase, loaded: _Loaded, gone: list[str], segments: list[ReadySegment]
    ) -> None:
        """Take vectors in and out, in this order: who searches meanwhile finds both versions of a replaced document,
        of which SQL knows one, and never neither. Blocks while segments are read."""
        ids: list[Ids] = []
        vectors = []
        for segment in segments:
            matrix = self._read(kb, loaded.store.dimension, segment)
            if matrix is None:
                continue
            loaded.documents[segment.document_id] = np.array(segment.chunk_ids, dtype=np.int64)
            ids.append(loaded.documents[segment.document_id])
            vectors.append(matrix)
        if vectors:
            loaded.store.add_vectors(np.concatenate(ids), np.concatenate(vectors))
        if gone:
            loaded.store.remove_vectors(np.concatenate([loaded.documents.pop(document) for document in gone]))

    def _read(self, kb: KnowledgeBase, dimension: int, segment: ReadySegment) -> Vectors | None:
        """A segment's vectors, or None when the file is damaged: one bad file must not silence the others."""
        path = self._files.segment_path(kb.id, kb.embed_model, segment.name)
        reason = "wrong shape"
        try:
            matrix = read_segment(path, segment.sha256)
        except SegmentError as error:
            matrix, reason = None, str(error)
        if matrix is not None and matrix.shape == (len(segment.chunk_ids), dimension):
            return matrix
        log.error(
            "segment unusable; upload the document again",
            extra={"document": segment.document_id, "reason": reason},
        )
        return None

    def _forget_least_used(self) -> None:
        while len(self._loaded) > 1 and sum(loaded.size for loaded in self._loaded.values()) > self._memory:
            kb_id, _ = self._loaded.popitem(last=False)
            log.info("index left memory", extra={"kb": kb_id})

    def forget(self, kb_id: str) -> None:
        """Drop a deleted knowledge base."""
        self._loaded.pop(kb_id, None)
