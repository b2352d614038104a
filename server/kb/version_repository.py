"""SQL about earlier versions of files. Functions take the session first and never commit; the knowledge base is locked.

An archived document has no slot, its passages are out of the text index, and its jobs are gone: nothing that looks for
documents in a slot, for ready ones or for words comes across it.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.db.batches import batches
from server.kb import document_repository
from server.kb.models import Chunk, Document, DocumentState, Job, KnowledgeBase, Slot

_AT_ONCE = 500


async def archive(session: AsyncSession, document: Document, now: datetime) -> None:
    """Take a document out of its slot and out of search, and keep all of it."""
    if document.state != DocumentState.READY:  # its vectors were lost
        document.segment = document.segment_sha256 = None
    document.slot, document.state, document.archived_at = None, DocumentState.ARCHIVED, now
    document.error_code = document.error_text = document.copy_of = None
    await session.flush()
    # In this order: MariaDB looks at what it has written just before.
    values = (Chunk.kept_tokens, Chunk.tokens), (Chunk.tokens, None)
    mine = update(Chunk).where(Chunk.document_id == document.id, Chunk.tokens.is_not(None))
    await session.execute(mine.ordered_values(*values), execution_options={"synchronize_session": False})
    await session.execute(delete(Job).where(Job.document_id == document.id))


async def bring_back(session: AsyncSession, document: Document) -> None:
    """Make an archived document with its vectors the one that is searched; its slot is free."""
    document.slot, document.state, document.archived_at = Slot.LIVE, DocumentState.READY, None
    await session.flush()
    values = (Chunk.tokens, Chunk.kept_tokens), (Chunk.kept_tokens, None)
    mine = update(Chunk).where(Chunk.document_id == document.id, Chunk.kept_tokens.is_not(None))
    await session.execute(mine.ordered_values(*values), execution_options={"synchronize_session": False})


async def supersede(session: AsyncSession, document: Document, now: datetime, keep: int) -> list[Document]:
    """Make room for another version: keep this one, and of its file's earlier ones the newest, `keep` in all.

    Returns the rows that were deleted, so that their files may follow.
    """
    if keep and document.ready_at is not None:
        await archive(session, document, now)
        return await prune(session, document.kb_id, document.name_key, keep)
    await document_repository.delete_documents(session, [document.id])
    return [document, *await prune(session, document.kb_id, document.name_key, keep)]


async def give_way(session: AsyncSession, document: Document | None, now: datetime) -> list[Document]:
    """Take one that is not wanted any more out of its slot: what was searched once is an earlier version (again), another is
    deleted. Returns the rows that were deleted, so that their files may follow."""
    if document is None:
        return []
    if document.ready_at is not None:
        await archive(session, document, now)
        return []
    await document_repository.delete_documents(session, [document.id])
    return [document]


async def prune(session: AsyncSession, kb_id: str, key: str, keep: int) -> list[Document]:
    """Delete all but the newest archived versions of a file; returns the rows."""
    gone = (await list_archived(session, kb_id, [key]))[keep:]
    await document_repository.delete_documents(session, [row.id for row in gone])
    return gone


async def list_archived(session: AsyncSession, kb_id: str, keys: Collection[str]) -> list[Document]:
    """The archived versions of files, the last that was searched first."""
    found: list[Document] = []
    for batch in batches(sorted(keys)):
        query = select(Document).where(
            Document.kb_id == kb_id,
            Document.name_key.in_(batch),
            Document.slot.is_(None),
            Document.state == DocumentState.ARCHIVED,
        )
        found += await session.scalars(query.order_by(Document.archived_at.desc(), Document.id))
    return found


async def list_overfull(session: AsyncSession, keep: int, limit: int) -> list[tuple[str, str]]:
    """Files that have more archived versions than that: knowledge base and folded name."""
    query = select(Document.kb_id, Document.name_key).where(Document.state == DocumentState.ARCHIVED)
    query = query.group_by(Document.kb_id, Document.name_key).having(func.count() > keep)
    return [(kb_id, key) for kb_id, key in await session.execute(query.limit(limit))]


async def forget_vectors(session: AsyncSession, kb: KnowledgeBase) -> list[str]:
    """The vectors of archived versions are of another model from now on. Returns the names of their segments."""
    mine = Document.kb_id == kb.id, Document.state == DocumentState.ARCHIVED, Document.segment.is_not(None)
    names = list(await session.scalars(select(Document.segment).where(*mine)))
    await session.execute(update(Document).where(*mine).values(segment=None, segment_sha256=None))
    return [name for name in names if name]


async def has_the_same_passages(
    session: AsyncSession, document: Document, passages: Sequence[dict[str, Any]]
) -> bool:
    """Does a document say what these chunks say, at the same places?"""
    if document.chunk_count + document.disabled_count != len(passages):
        return False
    given = [(row["content_hash"], row["text"]) for row in passages]
    query = select(Chunk.content_hash, Chunk.text).where(Chunk.document_id == document.id)
    rows = await session.execute(query.order_by(Chunk.position))
    return [(content_hash, text) for content_hash, text in rows] == given


async def walk_texts(session: AsyncSession, document_id: str) -> AsyncIterator[list[tuple[int, str]]]:
    """Positions and texts of a document's passages, some at a time."""
    after = -1
    while True:
        query = select(Chunk.position, Chunk.text).where(
            Chunk.document_id == document_id, Chunk.position > after
        )
        rows = [
            (row.position, row.text)
            for row in await session.execute(query.order_by(Chunk.position).limit(_AT_ONCE))
        ]
        if not rows:
            return
        yield rows
        after = rows[-1][0]


async def load_passages(
    session: AsyncSession, document_id: str, positions: Sequence[int]
) -> list[tuple[str, dict[str, Any]]]:
    """Text and anchor of the passages at these places, in order."""
    found: list[tuple[str, dict[str, Any]]] = []
    for batch in batches(positions):
        query = select(Chunk.text, Chunk.anchor).where(
            Chunk.document_id == document_id, Chunk.position.in_(batch)
        )
        found += [(row.text, row.anchor) for row in await session.execute(query.order_by(Chunk.position))]
    return found
