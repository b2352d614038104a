"""SQL about packages. Functions take the session first and never commit."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from server.kb.models import Chunk, Document, KnowledgeBase, Question, Slot

_SHOWN = Document.slot.in_((Slot.LIVE, Slot.NEXT))


async def list_names(session: AsyncSession, kb_id: str) -> list[tuple[str, str]]:
    """Folded name and slot of everything that a list of documents shows."""
    query = select(Document.name_key, Document.slot).where(Document.kb_id == kb_id, _SHOWN)
    rows = await session.execute(query.order_by(Document.name_key, Document.slot))
    return [(key, slot or "") for key, slot in rows]


async def find_document(session: AsyncSession, kb_id: str, key: str, slot: str) -> Document | None:
    query = select(Document).where(Document.kb_id == kb_id, Document.name_key == key, Document.slot == slot)
    return await session.scalar(query.execution_options(populate_existing=True))


async def list_chunks(session: AsyncSession, document_id: str, after: int, limit: int) -> list[Chunk]:
    """Passages behind that place, in order."""
    query = select(Chunk).where(Chunk.document_id == document_id, Chunk.position > after)
    return list(await session.scalars(query.order_by(Chunk.position).limit(limit)))


async def list_questions(session: AsyncSession, kb_id: str) -> list[Question]:
    return list(await session.scalars(select(Question).where(Question.kb_id == kb_id).order_by(Question.id)))


async def list_abandoned(session: AsyncSession, before: datetime) -> list[str]:
    """Knowledge bases whose import has made no progress since."""
    query = select(KnowledgeBase.id).where(KnowledgeBase.importing, KnowledgeBase.created_at < before)
    return list(await session.scalars(query))
