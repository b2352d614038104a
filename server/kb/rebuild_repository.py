"""SQL about a change of the embedding model. Functions take the session first and never commit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.kb.models import Document, DocumentState, KnowledgeBase, Slot


class DocumentEnd(NamedTuple):
    """`reason` of a failure, what the document is cut by, and since when there is this version."""

    state: str
    reason: dict[str, Any] | None
    chunking: dict[str, Any] | None
    created_at: datetime


async def list_rebuilding(session: AsyncSession) -> list[str]:
    """Ids of the knowledge bases that are changing their model."""
    return list(await session.scalars(select(KnowledgeBase.id).where(KnowledgeBase.rebuild.is_not(None))))


async def lock_kb(session: AsyncSession, kb_id: str) -> KnowledgeBase | None:
    """The knowledge base as of now, which nobody else changes before this transaction ends."""
    query = select(KnowledgeBase).where(KnowledgeBase.id == kb_id).with_for_update()
    return await session.scalar(query.execution_options(populate_existing=True))


async def list_slot(session: AsyncSession, kb_id: str, slot: Slot) -> dict[str, Document]:
    """The documents in a slot, by the folded name."""
    query = select(Document).where(Document.kb_id == kb_id, Document.slot == slot).order_by(Document.name_key)
    return {row.name_key: row for row in await session.scalars(query)}


async def delete_slot(session: AsyncSession, kb_id: str, slot: Slot) -> list[Document]:
    """Delete the documents in a slot; returns what there was, so that the files may follow."""
    rows = list((await list_slot(session, kb_id, slot)).values())
    await session.execute(delete(Document).where(Document.kb_id == kb_id, Document.slot == slot))
    return rows


async def move_slot(session: AsyncSession, kb_id: str, source: Slot, target: Slot) -> None:
    values = {"slot": target, "copy_of": None}
    await session.execute(
        update(Document).where(Document.kb_id == kb_id, Document.slot == source).values(**values)
    )


async def is_reading(session: AsyncSession, kb_id: str) -> bool:
    """Are there new versions that wait for the worker or are in its hands?"""
    at_rest = (DocumentState.READY, DocumentState.FAILED)
    query = select(Document.id).where(
        Document.kb_id == kb_id, Document.slot == Slot.REBUILD, Document.state.not_in(at_rest)
    )
    return await session.scalar(query.limit(1)) is not None


async def list_failed(session: AsyncSession, kb_id: str) -> list[Document]:
    """Live documents that could not be read, perhaps for want of the model."""
    failed = Document.state == DocumentState.FAILED
    query = select(Document).where(Document.kb_id == kb_id, Document.slot == Slot.LIVE, failed)
    return list(await session.scalars(query))


async def list_states(session: AsyncSession, ids: Sequence[str]) -> dict[str, DocumentEnd]:
    """How documents stand, by id; those that were deleted, or gave way to another version, are missing."""
    query = select(Document.id, Document.state, Document.error_text, Document.chunking, Document.created_at)
    rows = await session.execute(query.where(Document.id.in_(ids), Document.slot.is_not(None)))
    return {row_id: DocumentEnd(*how) for row_id, *how in rows}


async def get_rebuild(session: AsyncSession, kb_id: str) -> dict[str, Any] | None:
    """The change that is going on; None when there is none."""
    return await session.scalar(select(KnowledgeBase.rebuild).where(KnowledgeBase.id == kb_id))
