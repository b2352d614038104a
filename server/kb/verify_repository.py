"""SQL about what must agree with the files on disk. Functions take the session first and never commit."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.kb.models import Chunk, Document, DocumentTerms, Job, JobState, KnowledgeBase


@dataclass(frozen=True, slots=True)
class Kept:
    """A document's row, and what other tables have of it."""

    document: Document
    # Chunks, those of them that are switched on, the positions of the first and the last, and how many the text index has.
    chunks: int
    enabled: int
    first: int | None
    last: int | None
    indexed: int
    # The rules by which its words were counted, and in how many passages; None: not counted yet.
    terms_version: int | None
    terms_passages: int | None
    # Does a job stand for it that has not ended?
    is_queued: bool


async def list_all_kbs(session: AsyncSession) -> list[KnowledgeBase]:
    """Every knowledge base, those of conversations too."""
    return list(await session.scalars(select(KnowledgeBase).order_by(KnowledgeBase.id)))


async def count_documents(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Document)) or 0


async def list_page(session: AsyncSession, kb_id: str, after: str, limit: int) -> list[Kept]:
    """Documents of a knowledge base in all their versions, by id, from behind `after`."""
    return await _with_the_rest(session, await list_documents_from(session, kb_id, after, limit))


async def list_documents_from(session: AsyncSession, kb_id: str, after: str, limit: int) -> list[Document]:
    """The same, without what other tables have of them."""
    query = select(Document).where(Document.kb_id == kb_id, Document.id > after)
    return list(await session.scalars(query.order_by(Document.id).limit(limit)))


async def find_kept(session: AsyncSession, document_id: str) -> Kept | None:
    """One of them as it is now."""
    document = await session.get(Document, document_id, populate_existing=True)
    return (await _with_the_rest(session, [document]))[0] if document is not None else None


async def _with_the_rest(session: AsyncSession, documents: Sequence[Document]) -> list[Kept]:
    ids = [document.id for document in documents]
    found = select(
        Chunk.document_id,
        func.count(),
        func.sum(case((Chunk.enabled, 1), else_=0)),
        func.min(Chunk.position),
        func.max(Chunk.position),
        func.count(Chunk.tokens),
    )
    rows = await session.execute(found.where(Chunk.document_id.in_(ids)).group_by(Chunk.document_id))
    chunks = {row[0]: (row[1], int(row[2]), *row[3:]) for row in rows}
    counted = select(DocumentTerms.document_id, DocumentTerms.version, DocumentTerms.passages)
    rows_of_terms = await session.execute(counted.where(DocumentTerms.document_id.in_(ids)))
    terms = {row.document_id: (row.version, row.passages) for row in rows_of_terms}
    is_open = Job.state.in_((JobState.WAITING, JobState.RUNNING))
    queued = set(await session.scalars(select(Job.document_id).where(Job.document_id.in_(ids), is_open)))
    kept = []
    for document in documents:
        count, enabled, first, last, indexed = chunks.get(document.id, (0, 0, None, None, 0))
        version, passages = terms.get(document.id, (None, None))
        is_queued = document.id in queued
        kept.append(Kept(document, count, enabled, first, last, indexed, version, passages, is_queued))
    return kept


async def forget_terms_of(session: AsyncSession, document_id: str) -> None:
    """Have a document's words found anew; the worker does it."""
    await session.execute(delete(DocumentTerms).where(DocumentTerms.document_id == document_id))
