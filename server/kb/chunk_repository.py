"""SQL about passages. Functions take the session first and never commit."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Table, and_, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.db.batches import batches
from server.kb.edits import Earlier
from server.kb.models import SEARCHED, Chunk, Document, DocumentState, KnowledgeBase, Origin, Slot
from server.kb.visibility import Viewer, visible


async def add_chunks(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    for batch in batches(rows):
        await session.execute(insert(Chunk), list(batch))


async def load_chunks(session: AsyncSession, ids: Sequence[int]) -> dict[int, tuple[Chunk, Document]]:
    """Chunks of documents that are searchable at this moment, by id."""
    query = (
        select(Chunk, Document)
        .join(Document, Document.id == Chunk.document_id)
        .where(Chunk.id.in_(ids), Document.state.in_(SEARCHED), Document.slot == Slot.LIVE, Chunk.enabled)
    )
    return {chunk.id: (chunk, document) for chunk, document in await session.execute(query)}


async def find_same_chunk(
    session: AsyncSession, kb_id: str, key: str, text: str
) -> tuple[Chunk, Document] | None:
    """The passage with this text in the searchable version of a file."""
    query = (
        select(Chunk, Document)
        .join(Document, Document.id == Chunk.document_id)
        .where(Document.kb_id == kb_id, Document.name_key == key, Document.slot == Slot.LIVE)
        .where(Document.state.in_(SEARCHED), Chunk.text == text, Chunk.enabled)
    )
    found = (await session.execute(query.order_by(Chunk.position).limit(1))).first()
    return None if found is None else (found[0], found[1])


async def load_neighbours(session: AsyncSession, chunk: Chunk) -> dict[int, str]:
    """The texts before and after a passage of its document, by position."""
    beside = (chunk.position - 1, chunk.position + 1)
    query = select(Chunk.position, Chunk.text).where(
        Chunk.document_id == chunk.document_id, Chunk.position.in_(beside), Chunk.enabled
    )
    return {row.position: row.text for row in await session.execute(query)}


async def list_passages(
    session: AsyncSession, document_id: str, *, start: int, limit: int
) -> Sequence[tuple[int, str, dict[str, Any]]]:
    """Id, text and anchor of a document's passages in reading order."""
    query = select(Chunk.id, Chunk.text, Chunk.anchor).where(Chunk.document_id == document_id, Chunk.enabled)
    rows = await session.execute(query.order_by(Chunk.position).offset(start).limit(limit))
    return [(row.id, row.text, row.anchor) for row in rows]


async def find_position(session: AsyncSession, document_id: str, chunk_id: int) -> int | None:
    """How many passages stand before it in its document; None when it is not there."""
    query = select(Chunk.position).where(
        Chunk.id == chunk_id, Chunk.document_id == document_id, Chunk.enabled
    )
    position = await session.scalar(query)
    if position is None:
        return None
    off = select(func.count()).where(
        Chunk.document_id == document_id, Chunk.position < position, ~Chunk.enabled
    )
    return position - (await session.scalar(off) or 0)


async def find_earlier(session: AsyncSession, document: Document) -> Earlier:
    """What was searched of a file before this version of it, if people have changed something there; else nothing."""
    before: Document | None = document
    if document.slot == Slot.REBUILD:
        before = await session.get(Document, document.copy_of)
    elif document.slot == Slot.NEXT and not await count_chunks(session, document.id):
        # One that has passages is an earlier version that is restored: those are meant.
        mine = Document.kb_id == document.kb_id, Document.name_key == document.name_key
        before = await session.scalar(select(Document).where(*mine, Document.slot == Slot.LIVE))
    if before is None:
        return Earlier([])
    rows = select(Chunk).where(Chunk.document_id == before.id)
    removed = (before.edits or {}).get("removed", [])
    is_changed = await session.scalar(
        select(rows.where(or_(~Chunk.enabled, Chunk.origin != Origin.FILE)).exists())
    )
    if not (removed or is_changed):
        return Earlier([])
    return Earlier(list(await session.scalars(rows.order_by(Chunk.position))), removed)


@dataclass(frozen=True, slots=True)
class KnownVector:
    """Where a vector of an unchanged chunk can be copied from: which row of which segment."""

    segment: str
    sha256: str
    row: int


async def find_known_vectors(
    session: AsyncSession, kb_id: str, hashes: Sequence[str], *, rebuild: bool = False
) -> dict[str, KnownVector]:
    """Content hashes that a searchable or an archived document of the knowledge base has embedded already; with `rebuild`, one
    of the versions under its next embedding model."""
    is_ready = Document.state == DocumentState.READY
    searched = and_(is_ready, Document.slot == Slot.LIVE)
    archived = and_(Document.state == DocumentState.ARCHIVED, Document.segment.is_not(None))
    of_the_model = and_(is_ready, Document.slot == Slot.REBUILD) if rebuild else or_(searched, archived)
    known: dict[str, KnownVector] = {}
    off: dict[str, list[int]] = {}
    for batch in batches(list(hashes)):
        query = (
            select(
                Chunk.content_hash,
                Chunk.position,
                Document.segment,
                Document.segment_sha256,
                Document.id,
                Document.disabled_count,
            )
            .join(Document, Document.id == Chunk.document_id)
            .where(
                Chunk.kb_id == kb_id,
                Chunk.content_hash.in_(batch),
                Chunk.enabled,
                of_the_model,
            )
            # Of a passage that several have, the searched one's: its segment is looked after.
            .order_by(Document.slot.is_not(None))
        )
        for content_hash, position, segment, sha256, document_id, disabled in await session.execute(query):
            if disabled and document_id not in off:
                off[document_id] = await _list_disabled(session, document_id)
            row = position - bisect_left(off.get(document_id, ()), position)
            known[content_hash] = KnownVector(segment or "", sha256 or "", row)
    return known


async def _list_disabled(session: AsyncSession, document_id: str) -> list[int]:
    """The positions of passages that are switched off: they have no row in the segment."""
    query = select(Chunk.position).where(Chunk.document_id == document_id, ~Chunk.enabled)
    return list(await session.scalars(query.order_by(Chunk.position)))


async def find_chunk_ids(
    session: AsyncSession,
    kb: KnowledgeBase,
    viewer: Viewer,
    *,
    limit: int,
    chunk_id: int | None = None,
    document_id: str | None = None,
    containing: str | None = None,
) -> list[int]:
    """Ids of searchable passages that the viewer sees: this one, those of a document, those with these words in them."""
    query = (
        select(Chunk.id)
        .join(Document, Document.id == Chunk.document_id)
        .where(Document.kb_id == kb.id, Document.state.in_(SEARCHED), Document.slot == Slot.LIVE)
        .where(Chunk.enabled, visible(viewer, kb.client_id))
    )
    if chunk_id is not None:
        query = query.where(Chunk.id == chunk_id)
    if document_id is not None:
        query = query.where(Chunk.document_id == document_id)
    if containing is not None:
        query = query.where(Chunk.text.contains(containing, autoescape=True))
    return list(await session.scalars(query.order_by(Chunk.id).limit(limit)))


async def list_chunks(session: AsyncSession, document_id: str) -> list[Chunk]:
    """The chunks of a document, in order."""
    query = select(Chunk).where(Chunk.document_id == document_id).order_by(Chunk.position)
    return list(await session.scalars(query))


async def renumber_chunks(session: AsyncSession, document_id: str) -> None:
    """Give a document's chunks new ids, and leave everything else of them as it is."""
    table = cast("Table", Chunk.__table__)
    query = select(table).where(table.c.document_id == document_id).order_by(table.c.position)
    rows = [dict(row) for row in (await session.execute(query)).mappings()]
    await session.execute(delete(Chunk).where(Chunk.document_id == document_id))
    for row in rows:
        del row["id"]
    await add_chunks(session, rows)


async def list_chunk_ids(session: AsyncSession, document_ids: Iterable[str]) -> list[int]:
    """The ids of all passages of some documents that are searched."""
    found: list[int] = []
    for batch in batches(sorted(document_ids)):
        found += await session.scalars(select(Chunk.id).where(Chunk.document_id.in_(batch), Chunk.enabled))
    return found


async def list_unembedded(session: AsyncSession, kb_id: str) -> dict[str, list[int]]:
    """The ids of passages that are found by words alone, by documents."""
    query = (
        select(Chunk.document_id, Chunk.id)
        .join(Document, Document.id == Chunk.document_id)
        .where(
            Document.kb_id == kb_id,
            Document.state == DocumentState.EMBEDDING,
            Document.slot == Slot.LIVE,
            Chunk.enabled,
        )
    )
    found: dict[str, list[int]] = {}
    for document_id, chunk_id in await session.execute(query):
        found.setdefault(document_id, []).append(chunk_id)
    return found


async def count_chunks(session: AsyncSession, document_id: str) -> int:
    query = select(func.count()).select_from(Chunk).where(Chunk.document_id == document_id)
    return await session.scalar(query) or 0
