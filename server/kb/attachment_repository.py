"""SQL about files of conversations. Functions take the session first and never commit."""

from collections.abc import Collection

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.kb.models import Document, Job, KnowledgeBase, Slot

# Bound parameters per statement: SQLite's old limit is 999.
_BATCH = 500


async def find_kb(session: AsyncSession, session_id: str) -> KnowledgeBase | None:
    return await session.scalar(select(KnowledgeBase).where(KnowledgeBase.session_id == session_id))


async def list_documents(session: AsyncSession, kb_id: str) -> list[Document]:
    """Live documents, and behind each its replacement, if one is on its way."""
    shown = Document.slot.in_((Slot.LIVE, Slot.NEXT))
    query = select(Document).where(Document.kb_id == kb_id, shown).order_by(Document.name_key, Document.slot)
    return list(await session.scalars(query))


async def list_last_jobs(session: AsyncSession, kb_id: str) -> dict[str, Job]:
    """The newest job of each document."""
    query = select(Job).where(Job.kb_id == kb_id).order_by(Job.created_at, Job.id)
    return {job.document_id: job for job in await session.scalars(query)}


async def delete_kbs(session: AsyncSession, session_ids: Collection[str]) -> list[str]:
    """Delete what belongs to these conversations; returns the ids, so that the files may follow."""
    wanted, gone = list(session_ids), []
    for start in range(0, len(wanted), _BATCH):
        of_them = KnowledgeBase.session_id.in_(wanted[start : start + _BATCH])
        gone += list(await session.scalars(select(KnowledgeBase.id).where(of_them)))
        await session.execute(delete(KnowledgeBase).where(of_them))
    return gone
