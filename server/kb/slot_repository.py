"""SQL about slots of servers of vectors. Functions take the session first and never commit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.core.ids import new_id
from server.db.batches import batches
from server.db.unique import put_unless_taken
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot, SlotSegment, VectorSlot


async def find_slot(session: AsyncSession, store: str, name: str) -> VectorSlot | None:
    return await session.scalar(select(VectorSlot).where(VectorSlot.store == store, VectorSlot.name == name))


async def add_slot(session: AsyncSession, slot: VectorSlot) -> None:
    """Insert, unless somebody else has just done so."""
    slot.id = new_id("slot")
    await put_unless_taken(session, slot)


async def claim_slot(session: AsyncSession, slot_id: str, owner: str, now: datetime, until: datetime) -> bool:
    """Become the one who writes there; False while somebody else is."""
    free = or_(
        VectorSlot.lease_until.is_(None), VectorSlot.lease_until < now, VectorSlot.lease_owner == owner
    )
    query = update(VectorSlot).where(VectorSlot.id == slot_id, free)
    return await _changed(session, query.values(lease_owner=owner, lease_until=until, used_at=now))


async def renew_slot(session: AsyncSession, slot_id: str, owner: str, now: datetime, until: datetime) -> bool:
    mine = and_(VectorSlot.id == slot_id, VectorSlot.lease_owner == owner)
    return await _changed(session, update(VectorSlot).where(mine).values(lease_until=until, used_at=now))


async def release_slot(session: AsyncSession, slot_id: str, owner: str) -> None:
    mine = and_(VectorSlot.id == slot_id, VectorSlot.lease_owner == owner)
    await session.execute(update(VectorSlot).where(mine).values(lease_owner=None, lease_until=None))


async def set_generation(session: AsyncSession, slot_id: str, owner: str, generation: int) -> bool:
    mine = and_(VectorSlot.id == slot_id, VectorSlot.lease_owner == owner)
    return await _changed(session, update(VectorSlot).where(mine).values(generation=generation))


async def _changed(session: AsyncSession, statement: Any) -> bool:
    return bool((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]


async def list_slots(session: AsyncSession) -> list[VectorSlot]:
    return list(await session.scalars(select(VectorSlot).order_by(VectorSlot.id)))


async def delete_slot(session: AsyncSession, slot_id: str) -> None:
    await session.execute(delete(SlotSegment).where(SlotSegment.slot_id == slot_id))
    await session.execute(delete(VectorSlot).where(VectorSlot.id == slot_id))


# ── segments ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Wanted:
    """A segment that is to be in a slot."""

    document_id: str
    chunks: int


async def list_wanted(session: AsyncSession, kb_id: str, slot: Slot) -> dict[str, Wanted]:
    """The ready documents of one kind of version, by the names of their segments."""
    query = select(Document.segment, Document.id, Document.chunk_count).where(
        Document.kb_id == kb_id, Document.state == DocumentState.READY, Document.slot == slot
    )
    return {
        segment: Wanted(row_id, count) for segment, row_id, count in await session.execute(query) if segment
    }


async def list_held(session: AsyncSession, slot_id: str) -> dict[str, tuple[int, bool]]:
    """Segments that are or may be there: how many vectors, and whether all of them are."""
    query = select(SlotSegment.segment, SlotSegment.chunks, SlotSegment.written)
    rows = await session.execute(query.where(SlotSegment.slot_id == slot_id))
    return {segment: (chunks, written) for segment, chunks, written in rows}


async def add_held(session: AsyncSession, slot_id: str, chunks: dict[str, int]) -> None:
    """Say that vectors of segments will be written. Replaces what was said of them before."""
    await drop_held(session, slot_id, chunks)
    rows = [{"slot_id": slot_id, "segment": s, "chunks": n, "written": False} for s, n in chunks.items()]
    for batch in batches(rows):
        await session.execute(insert(SlotSegment), batch)


async def mark_written(session: AsyncSession, slot_id: str, segments: Sequence[str]) -> int:
    """How many of them there still are."""
    marked = 0
    for batch in batches(list(segments)):
        mine = and_(SlotSegment.slot_id == slot_id, SlotSegment.segment.in_(batch))
        result = await session.execute(update(SlotSegment).where(mine).values(written=True))
        marked += result.rowcount  # type: ignore[attr-defined]
    return marked


async def doubt_held(session: AsyncSession, slot_id: str, segments: Sequence[str]) -> None:
    """These are to be written again."""
    for batch in batches(list(segments)):
        mine = and_(SlotSegment.slot_id == slot_id, SlotSegment.segment.in_(batch))
        await session.execute(update(SlotSegment).where(mine).values(written=False))


async def drop_held(session: AsyncSession, slot_id: str, segments: Iterable[str]) -> None:
    for batch in batches(list(segments)):
        await session.execute(
            delete(SlotSegment).where(SlotSegment.slot_id == slot_id, SlotSegment.segment.in_(batch))
        )


# ── knowledge bases ───────────────────────────────────────────────────────────────────────────────────────────────────


async def list_kbs_of(session: AsyncSession, stores: Iterable[str]) -> list[KnowledgeBase]:
    """Those that are searched in one of some stores. The files of conversations are always in memory, and few."""
    mine = KnowledgeBase.vector_store.in_(list(stores)), KnowledgeBase.session_id.is_(None)
    query = select(KnowledgeBase).where(*mine)
    return list(await session.scalars(query.order_by(KnowledgeBase.id)))


async def count_vectors(session: AsyncSession, kb_id: str) -> int:
    """How many vectors are searched."""
    mine = and_(Document.kb_id == kb_id, Document.state == DocumentState.READY, Document.slot == Slot.LIVE)
    return int(await session.scalar(select(func.sum(Document.chunk_count)).where(mine)) or 0)
