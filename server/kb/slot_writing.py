"""One process brings a slot on a server of vectors up to date: what is searchable is written, what is not any more is taken out.

Whatever breaks off is simply gone on with: a segment's row is written before its vectors and marked after them.
"""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import document_repository, repository, slot_repository
from server.kb.damage import read_or_none, repair
from server.kb.document_repository import ReadySegment
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase, Slot, VectorSlot
from server.kb.slot_repository import Wanted
from server.kb.vectorstores.base import Part, SharedIndex, SlotMissing

log = logging.getLogger(__name__)
# Reports how many vectors of how many are there.
Progress = Callable[[int, int], Awaitable[None]]

LEASE = timedelta(seconds=60)
# Vectors that are written between two signs of life, and segments.
_BATCH, _MAX_SEGMENTS = 4000, 200


class LeaseLost(Exception):
    """Another process writes there now."""


class SlotWriter:
    """The holder of a slot's lease."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        runtime: Runtime,
        kb: KnowledgeBase,
        slot: VectorSlot,
        index: SharedIndex,
        owner: str,
    ) -> None:
        self._database, self._files = database, files
        self._lanes, self._clock = runtime.lanes, runtime.clock
        self._kb, self._slot, self._index, self._owner = kb, slot, index, owner

    async def write(self, versions: Slot, progress: Progress | None) -> int:
        """Bring the slot up to date; returns the generation that is there then. Raises StoreUnavailable, SlotMissing, LeaseLost."""
        while True:
            generation = await self._once(versions, progress)
            async with self._database.write() as session:
                if not await slot_repository.set_generation(session, self._slot.id, self._owner, generation):
                    raise LeaseLost
                now = await repository.get_generation(session, self._kb.id)
            if now is None or now <= generation:
                self._index.changed()
                return generation

    async def _once(self, versions: Slot, progress: Progress | None) -> int:
        async with self._database.read() as session:
            # Read before the documents: what is committed in between is there now and looked for once more.
            generation = await repository.get_generation(session, self._kb.id)
            wanted = await slot_repository.list_wanted(session, self._kb.id, versions)
            held = await slot_repository.list_held(session, self._slot.id)
        missing = {s: w for s, w in wanted.items() if s not in held or not held[s][1]}
        total = sum(one.chunks for one in wanted.values())
        done = total - sum(one.chunks for one in missing.values())
        await _tell(progress, done, total)
        for batch in _batches(missing):
            await self._put(batch)
            done += sum(one.chunks for one in batch.values())
            await _tell(progress, done, total)
        if gone := [segment for segment in held if segment not in wanted]:
            # After the new ones: of a document that is replaced, searches find both versions, and never neither.
            await self._lanes.run("stores", self._index.drop, gone)
            async with self._database.write() as session:
                await slot_repository.drop_held(session, self._slot.id, gone)
        return self._kb.generation if generation is None else generation

    async def _put(self, batch: dict[str, Wanted]) -> None:
        now = self._clock.now()
        async with self._database.write() as session:
            if not await slot_repository.renew_slot(session, self._slot.id, self._owner, now, now + LEASE):
                raise LeaseLost
            await slot_repository.add_held(
                session, self._slot.id, {segment: one.chunks for segment, one in batch.items()}
            )
        async with self._database.read() as session:
            segments = await document_repository.load_segments(
                session, [one.document_id for one in batch.values()]
            )
        # One that was deleted or read again since has another segment, or none.
        there = [segment for segment in segments if segment.name in batch]
        parts, lost = await self._lanes.run("io", self._read, there)
        if parts:
            await self._lanes.run("stores", self._index.put, parts)
        written = [part.segment for part in parts]
        async with self._database.write() as session:
            marked = await slot_repository.mark_written(session, self._slot.id, written)
        if marked < len(written):  # another process has taken our place, and some of them out
            await self._lanes.run("stores", self._index.drop, written)
            raise LeaseLost
        for segment in lost:
            await repair(self._database, self._clock, segment)

    def _read(self, segments: list[ReadySegment]) -> tuple[list[Part], list[ReadySegment]]:
        parts, lost = [], []
        for segment in segments:
            matrix = read_or_none(self._files, self._kb, self._index.dimension, segment)
            if matrix is None:
                lost.append(segment)
            else:
                parts.append(Part(segment.name, segment.chunk_ids, matrix))
        return parts, lost

    async def verify(self) -> None:
        """Does the server have what SQL says? It may have been replaced, or come back from a backup. What it lacks is marked.

        Raises StoreUnavailable.
        """
        async with self._database.read() as session:
            held = await slot_repository.list_held(session, self._slot.id)
        try:
            there = await self._lanes.run("stores", self._index.count)
        except SlotMissing:
            await self._lanes.run("stores", self._index.create)
            there = 0
        least = sum(chunks for chunks, is_written in held.values() if is_written)
        if not least <= there <= sum(chunks for chunks, _ in held.values()):
            await self._count_each(held)

    async def _count_each(self, held: dict[str, tuple[int, bool]]) -> None:
        census = await self._lanes.run("stores", self._index.census)
        doubtful = [segment for segment, (chunks, _) in held.items() if census.get(segment, 0) != chunks]
        unknown = [segment for segment in census if segment not in held]
        if unknown:
            await self._lanes.run("stores", self._index.drop, unknown)
        async with self._database.write() as session:
            await slot_repository.doubt_held(session, self._slot.id, doubtful)
        if doubtful or unknown:
            log.warning(
                "slot mended",
                extra={"kb": self._kb.id, "written again": len(doubtful), "taken out": len(unknown)},
            )


async def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        await progress(done, total)


def _batches(missing: dict[str, Wanted]) -> list[dict[str, Wanted]]:
    batches: list[dict[str, Wanted]] = []
    vectors = 0
    for segment, one in missing.items():
        if not batches or vectors + one.chunks > _BATCH or len(batches[-1]) >= _MAX_SEGMENTS:
            batches.append({})
            vectors = 0
        batches[-1][segment] = one
        vectors += one.chunks
    return batches
