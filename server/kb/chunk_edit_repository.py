"""SQL about passages that people change. Functions take the session first and never commit."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.kb import lexicon
from server.kb.analysis import VERSION
from server.kb.models import Chunk, Document, DocumentTerms, Slot


async def find_chunk(session: AsyncSession, kb_id: str, chunk_id: int) -> tuple[Chunk, Document] | None:
    """A passage of the version of a file that is shown."""
    query = (
        select(Chunk, Document)
        .join(Document, Document.id == Chunk.document_id)
        .where(Chunk.id == chunk_id, Document.kb_id == kb_id, Document.slot == Slot.LIVE)
    )
    found = (await session.execute(query)).first()
    return None if found is None else (found[0], found[1])


async def list_chunks(
    session: AsyncSession, document_id: str, containing: str, *, offset: int, limit: int
) -> tuple[list[Chunk], int]:
    """The passages of a document that have some words in them, in order; and how many there are."""
    mine = Chunk.document_id == document_id
    if containing:
        mine &= Chunk.text.contains(containing, autoescape=True)
    total = await session.scalar(select(func.count()).select_from(Chunk).where(mine)) or 0
    query = select(Chunk).where(mine).order_by(Chunk.position).offset(offset).limit(limit)
    return list(await session.scalars(query)), total


async def list_parts(
    session: AsyncSession, document_id: str, parents: Collection[int]
) -> dict[int, list[str]]:
    """The texts of all enabled parts of large passages of a document, by their numbers."""
    parts: dict[int, list[str]] = {}
    if parents:
        query = select(Chunk.parent, Chunk.text).where(
            Chunk.document_id == document_id, Chunk.parent.in_(sorted(parents)), Chunk.enabled
        )
        for parent, text in await session.execute(query.order_by(Chunk.position)):
            parts.setdefault(parent or 0, []).append(text)
    return parts


async def list_places(session: AsyncSession, document_id: str) -> Sequence[tuple[int, bool]]:
    """The passages of a document in order: the id of each, and whether it is enabled."""
    query = select(Chunk.id, Chunk.enabled).where(Chunk.document_id == document_id)
    return [(row.id, row.enabled) for row in await session.execute(query.order_by(Chunk.position))]


async def find_segment(session: AsyncSession, document_id: str) -> str | None:
    return await session.scalar(select(Document.segment).where(Document.id == document_id))


async def get_terms(session: AsyncSession, document_id: str) -> lexicon.DocumentTerms | None:
    """The counts of a document, if it can be found by words."""
    query = select(
        DocumentTerms.document_id, DocumentTerms.passages, DocumentTerms.length, DocumentTerms.packed
    ).where(DocumentTerms.document_id == document_id, DocumentTerms.version == VERSION)
    row = (await session.execute(query)).first()
    return None if row is None else lexicon.DocumentTerms(*row)


async def exchange(
    session: AsyncSession, document_id: str, position: int, gone: int | None, fresh: dict[str, Any] | None
) -> Chunk | None:
    """Take a passage out of its place, put another one there, or both; the others move up or down. Returns the new one."""
    if gone is not None:
        await session.execute(delete(Chunk).where(Chunk.id == gone))
    step = (fresh is not None) - (gone is not None)
    if step:
        await _move(session, document_id, position + (gone is not None), step)
    if fresh is None:
        return None
    chunk = Chunk(**fresh, position=position)
    session.add(chunk)
    await session.flush()
    return chunk


async def _move(session: AsyncSession, document_id: str, start: int, step: int) -> None:
    """By way of negative numbers, which no passage has: two may not stand at one place, not even for a moment."""
    mine = Chunk.document_id == document_id
    away = update(Chunk).where(mine, Chunk.position >= start).values(position=-1 - Chunk.position)
    back = update(Chunk).where(mine, Chunk.position < 0).values(position=-1 - Chunk.position + step)
    for statement in (away, back):
        await session.execute(statement.execution_options(synchronize_session=False))
