"""The vector indexes of one process: caches that follow the truth in SQL by generation number."""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embeddings import Embedder
from server.core.errors import KBNotFound
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import repository
from server.kb.files import FileStore
from server.kb.models import JobKind, KnowledgeBase
from server.kb.repository import ReadySegment
from server.kb.segments import SegmentError, read_segment
from server.kb.vectorstores import VECTOR_STORES
from server.kb.vectorstores.faiss import FaissStore

log = logging.getLogger(__name__)
Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]

# A segment that is lost twice in this time is no accident, and reading the document once more would not help.
_REPAIR_INTERVAL = timedelta(hours=1)
_LOST_AGAIN = Text(
    "该文件的向量反复损坏，请联系管理员检查磁盘，然后重新上传",
    "this file's vectors were damaged again and again: have your operator check the disk, then upload it again",
)


class ModelChanged(Exception):
    """The knowledge base has another embedding model than the row that was given says: read the row again."""


@dataclass
class _Loaded:
    store: FaissStore
    # KnowledgeBase.binding: what its vectors come from.
    binding: tuple[str, dict[str, Any]]
    generation: int = -1
    # Name of a segment → the ids of its vectors in the store.
    segments: dict[str, Ids] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def size(self) -> int:
        """Bytes of vectors."""
        return len(self.store) * self.store.dimension * 4


class Indexes:
    """Gives each knowledge base's index as of now: what another process committed is taken in before a search."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, memory: int) -> None:
        """`memory` bounds the vectors of all indexes together, in bytes."""
        self._database, self._files, self._memory = database, files, memory
        self._lanes, self._clock = runtime.lanes, runtime.clock
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()

    async def get(self, kb: KnowledgeBase, embedder: Embedder) -> FaissStore:
        """The index of `kb` at least as new as the row `kb`. Raises ModelChanged, KBNotFound."""
        loaded = self._loaded.get(kb.id)
        if loaded is None or (loaded.binding != kb.binding and loaded.generation < kb.generation):
            dimension = int(kb.fingerprint["dimension"])
            store = VECTOR_STORES[kb.vector_store](embedder, dimension)
            loaded = self._loaded[kb.id] = _Loaded(store, kb.binding)
        self._loaded.move_to_end(kb.id)
        if loaded.generation < kb.generation:
            async with loaded.lock:
                if loaded.generation < kb.generation:
                    await self._catch_up(kb, loaded)
            self._forget_least_used()
        if loaded.binding != kb.binding:
            raise ModelChanged
        return loaded.store

    async def _catch_up(self, kb: KnowledgeBase, loaded: _Loaded) -> None:
        async with self._database.read() as session:
            # Read before the documents: what is committed in between is loaded now and looked for once more.
            generation = await repository.get_generation(session, kb.id)
            ready = await repository.list_ready_segments(session, kb.id)
            fresh = [document for segment, document in ready.items() if segment not in loaded.segments]
            segments = await repository.load_segments(session, fresh)
            # Read after them: vectors of another model are not what this index is made of.
            now = await session.get(KnowledgeBase, kb.id)
        if now is None or generation is None:
            self.forget(kb.id)
            raise KBNotFound(kb.name)
        if now.binding != loaded.binding:
            raise ModelChanged
        gone = [segment for segment in loaded.segments if segment not in ready]
        for lost in await self._lanes.run("index", self._apply, kb, loaded, gone, segments):
            await self._repair(lost)
        loaded.generation = generation

    async def _repair(self, segment: ReadySegment) -> None:
        """Have the worker read a document again. All processes may notice at once; one of them does it, and once."""
        now = self._clock.now()
        async with self._database.write() as session:
            document = await repository.withdraw_document(session, segment)
            if document is None:
                return
            if await repository.has_job_since(session, document.id, JobKind.REPAIR, now - _REPAIR_INTERVAL):
                await repository.fail_document(session, document.id, "segment_lost", _LOST_AGAIN.to_json())
            else:
                repository.add_job(session, document, now, JobKind.REPAIR)
        log.warning("segment lost", extra={"document": document.id, "state": document.state})

    def _apply(
        self, kb: KnowledgeBase, loaded: _Loaded, gone: list[str], segments: list[ReadySegment]
    ) -> list[ReadySegment]:
        """Take vectors in and out, in this order: who searches meanwhile finds both versions of a replaced document,
        of which SQL knows one, and never neither. Returns the segments that are lost. Blocks while segments are read."""
        ids: list[Ids] = []
        vectors, lost = [], []
        for segment in segments:
            matrix = self._read(kb, loaded.store.dimension, segment)
            if matrix is None:
                lost.append(segment)
                continue
            loaded.segments[segment.name] = np.array(segment.chunk_ids, dtype=np.int64)
            ids.append(loaded.segments[segment.name])
            vectors.append(matrix)
        if vectors:
            loaded.store.add_vectors(np.concatenate(ids), np.concatenate(vectors))
        if gone:
            loaded.store.remove_vectors(np.concatenate([loaded.segments.pop(segment) for segment in gone]))
        return lost

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
        log.error("segment unusable", extra={"document": segment.document_id, "reason": reason})
        return None

    def _forget_least_used(self) -> None:
        while len(self._loaded) > 1 and sum(loaded.size for loaded in self._loaded.values()) > self._memory:
            kb_id, _ = self._loaded.popitem(last=False)
            log.info("index left memory", extra={"kb": kb_id})

    def forget(self, kb_id: str) -> None:
        """Drop a deleted knowledge base."""
        self._loaded.pop(kb_id, None)
