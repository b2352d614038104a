"""SQL about documents, their passages as a whole, and their vectors on disk. Functions take the session first and never commit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.db.batches import batches
from server.db.unique import put_unless_taken
from server.kb import repository
from server.kb.filters import Filters
from server.kb.models import (
    SEARCHED,
    Chunk,
    CustomPassages,
    Document,
    DocumentState,
    DocumentTerms,
    Job,
    JobState,
    KnowledgeBase,
    Slot,
)
from server.kb.visibility import Viewer, may_see, visible


async def list_documents(
    session: AsyncSession, kb: KnowledgeBase, viewer: Viewer, *, offset: int = 0, limit: int | None = None
) -> tuple[list[Document], int]:
    """Live documents and pending replacements that the viewer sees, by name; and how many there are."""
    mine = and_(
        Document.kb_id == kb.id,
        Document.slot.in_((Slot.LIVE, Slot.NEXT)),
        visible(viewer, kb.client_id),
    )
    total = await session.scalar(select(func.count()).select_from(Document).where(mine))
    query = (
        select(Document).where(mine).order_by(Document.name_key, Document.slot).offset(offset).limit(limit)
    )
    return list(await session.scalars(query)), total or 0


async def find_documents(session: AsyncSession, kb_id: str, key: str) -> dict[str, Document]:
    """The versions of one file name, by slot."""
    query = select(Document).where(
        Document.kb_id == kb_id, Document.name_key == key, Document.slot.is_not(None)
    )
    return {str(document.slot): document for document in await session.scalars(query)}


async def find_seen(
    session: AsyncSession, kb: KnowledgeBase, viewer: Viewer, key: str
) -> dict[str, Document]:
    """Those of them that the viewer sees."""
    versions = await find_documents(session, kb.id, key)
    return {slot: row for slot, row in versions.items() if may_see(viewer, kb.client_id, row.visible_to)}


async def count_files(session: AsyncSession, kb_id: str, *, but: str) -> int:
    """How many files are in it, beside the one of this key."""
    names = select(Document.name_key).where(Document.kb_id == kb_id, Document.slot.is_not(None)).distinct()
    query = select(func.count()).select_from(names.where(Document.name_key != but).subquery())
    return await session.scalar(query) or 0


async def find_document(session: AsyncSession, document_id: str) -> Document | None:
    return await session.get(Document, document_id)


async def list_restricted(session: AsyncSession, kb_id: str) -> dict[str, frozenset[str]]:
    """Documents that not everybody may see, in all versions but the archived: their ids, and those of who may."""
    query = select(Document.id, Document.visible_to).where(
        Document.kb_id == kb_id, Document.slot.is_not(None), Document.visible_to.is_not(None)
    )
    return {document_id: frozenset(users or ()) for document_id, users in await session.execute(query)}


async def label(
    session: AsyncSession, kb_id: str, versions: Iterable[Document], labels: Mapping[str, Any]
) -> None:
    """Say something else of all versions of a file; every search heeds it. The knowledge base is locked."""
    for row in versions:
        row.label(labels)
    if labels:
        await repository.bump_generation(session, kb_id)


async def take_over(session: AsyncSession, version: Document, document_id: str) -> None:
    """Say of a new version what is said of that document at this moment. The knowledge base is locked: nobody changes it."""
    newest = await session.get(Document, document_id, populate_existing=True)
    if newest is not None:
        version.take_over(newest)


async def add_document(session: AsyncSession, document: Document) -> bool:
    """Insert; False when another upload of the name took the slot."""
    return await put_unless_taken(session, document)


async def set_custom_passages(
    session: AsyncSession, document_id: str, passages: list[dict[str, Any]]
) -> None:
    await session.merge(CustomPassages(document_id=document_id, passages=passages))


async def get_custom_passages(session: AsyncSession, document_id: str) -> list[dict[str, Any]]:
    row = await session.get(CustomPassages, document_id)
    return [] if row is None else row.passages


async def rechunk_waiting(session: AsyncSession, document_id: str, chunking: dict[str, Any]) -> bool:
    """Change what a document will be cut by; False when a worker has it, or nobody waits for it any more. The knowledge base
    is locked."""
    query = select(Job.id).where(Job.document_id == document_id, Job.state == JobState.WAITING)
    if await session.scalar(query.with_for_update()) is None:
        return False
    await forget_words(session, document_id)  # they are of passages that were cut otherwise
    values = {"chunking": chunking, "state": DocumentState.WAITING}
    await session.execute(update(Document).where(Document.id == document_id).values(**values))
    return True


async def set_state(session: AsyncSession, document_id: str, state: DocumentState) -> None:
    await session.execute(update(Document).where(Document.id == document_id).values(state=state))


async def wait_again(session: AsyncSession, document_id: str) -> None:
    """For the next try. What is found by its words stays so."""
    is_found = and_(Document.state == DocumentState.EMBEDDING, Document.slot == Slot.LIVE)
    query = update(Document).where(Document.id == document_id, ~is_found)
    await session.execute(query.values(state=DocumentState.WAITING))


async def fail_document(
    session: AsyncSession,
    document_id: str,
    code: str,
    text: dict[str, str],
    findings: dict[str, Any] | None = None,
) -> None:
    """What was found by its words is not any more: the caller has raised the generation, which locks the knowledge base.

    `findings`: of the reading that failed; without them, those of the reading before stay.
    """
    await forget_words(session, document_id)
    values = {"state": DocumentState.FAILED, "error_code": code, "error_text": text}
    values |= {"findings": findings} if findings is not None else {}
    await session.execute(update(Document).where(Document.id == document_id).values(**values))


async def revive_document(session: AsyncSession, document_id: str) -> bool:
    """Have a document that failed wait for its next reading; False when it has not, or somebody else did so."""
    values = {"state": DocumentState.WAITING, "error_code": None, "error_text": None}
    failed = and_(Document.id == document_id, Document.state == DocumentState.FAILED)
    result = await session.execute(update(Document).where(failed).values(**values))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def forget_words(session: AsyncSession, document_id: str) -> None:
    """Take out the passages of a document that is found by words alone."""
    is_found = and_(
        Document.state == DocumentState.EMBEDDING,
        Document.slot == Slot.LIVE,
        Document.segment.is_(None),  # one that has lost it keeps what people made of its passages
    )
    bare = {"chunk_count": 0, "char_count": 0, "disabled_count": 0}
    query = update(Document).where(Document.id == document_id, is_found).values(**bare)
    if (await session.execute(query)).rowcount:  # type: ignore[attr-defined]
        await delete_chunks(session, [document_id])


async def delete_documents(session: AsyncSession, ids: Iterable[str]) -> None:
    """Delete rows; their chunks and jobs go with them."""
    for batch in batches(list(ids)):
        await session.execute(delete(Document).where(Document.id.in_(batch)))


async def delete_chunks(session: AsyncSession, ids: Iterable[str]) -> None:
    """Delete the chunks of documents, and the counts of their words."""
    for batch in batches(list(ids)):
        await session.execute(delete(Chunk).where(Chunk.document_id.in_(batch)))
        await session.execute(delete(DocumentTerms).where(DocumentTerms.document_id.in_(batch)))


async def shelve_documents(session: AsyncSession, ids: Sequence[str]) -> None:
    """Make documents `stored`: their files stay, their chunks and jobs go."""
    await delete_chunks(session, ids)
    for batch in batches(list(ids)):
        await session.execute(delete(Job).where(Job.document_id.in_(batch)))
        bare = {
            "state": DocumentState.STORED,
            "segment": None,
            "segment_sha256": None,
            "chunk_count": 0,
            "disabled_count": 0,
            "edits": None,
        }
        await session.execute(update(Document).where(Document.id.in_(batch)).values(**bare))


@dataclass(frozen=True, slots=True)
class ReadySegment:
    """A searchable document as an index needs it: its segment and the ids of its enabled chunks, in segment order."""

    document_id: str
    name: str
    sha256: str
    chunk_ids: list[int]


async def list_ready_segments(session: AsyncSession, kb_id: str) -> dict[str, str]:
    """The searchable documents: their ids by the names of their segments. A document that is read again gets a new one."""
    query = select(Document.segment, Document.id).where(
        Document.kb_id == kb_id, Document.state == DocumentState.READY, Document.slot == Slot.LIVE
    )
    return {segment: document_id for segment, document_id in await session.execute(query) if segment}


async def load_segments(session: AsyncSession, document_ids: Iterable[str]) -> list[ReadySegment]:
    """Segments of documents and the chunk ids of their rows. A document whose segment is exchanged just now is left out: ids of
    the new one are no rows of the old."""
    segments: dict[str, ReadySegment] = {}
    for batch in batches(sorted(document_ids)):
        query = select(Document.id, Document.segment, Document.segment_sha256).where(Document.id.in_(batch))
        for document_id, name, sha256 in await session.execute(query):
            segments[document_id] = ReadySegment(document_id, name or "", sha256 or "", [])
        rows = select(Chunk.document_id, Chunk.id).where(Chunk.document_id.in_(batch), Chunk.enabled)
        for document_id, chunk_id in await session.execute(rows.order_by(Chunk.document_id, Chunk.position)):
            if document_id in segments:
                segments[document_id].chunk_ids.append(chunk_id)
        now = {document_id: name for document_id, name, _ in await session.execute(query)}
        for document_id in batch:
            if document_id in segments and now.get(document_id) != segments[document_id].name:
                del segments[document_id]
    return list(segments.values())


async def filter_documents(session: AsyncSession, kb_id: str, filters: Filters) -> set[str]:
    """Ids of the searchable documents that are as the filters say."""
    query = select(Document.id, Document.tags, Document.properties).where(
        Document.kb_id == kb_id, Document.state.in_(SEARCHED), Document.slot == Slot.LIVE
    )
    if filters.files:
        query = query.where(Document.file_name.in_(sorted(filters.files)))
    if filters.suffixes:
        query = query.where(Document.suffix.in_(sorted(filters.suffixes)))
    if filters.since is not None:
        query = query.where(Document.created_at >= filters.since)
    if filters.until is not None:
        query = query.where(Document.created_at < filters.until)
    rows = await session.execute(query)
    return {document_id for document_id, *labels in rows if filters.match(*labels)}


async def list_ready(session: AsyncSession, kb_id: str) -> set[str]:
    """Ids of the searchable documents."""
    query = select(Document.id).where(
        Document.kb_id == kb_id, Document.state == DocumentState.READY, Document.slot == Slot.LIVE
    )
    return set(await session.scalars(query))


async def withdraw_document(session: AsyncSession, segment: ReadySegment) -> Document | None:
    """Make a document whose segment is lost wait for its next reading; None when somebody else did, or it was exchanged."""
    lost = and_(
        Document.id == segment.document_id,
        Document.segment == segment.name,
        Document.state == DocumentState.READY,
    )
    result = await session.execute(update(Document).where(lost).values(state=DocumentState.WAITING))
    if not result.rowcount:  # type: ignore[attr-defined]
        return None
    document = await session.get_one(Document, segment.document_id)
    await repository.bump_generation(session, document.kb_id)
    return document


async def list_stored_names(session: AsyncSession) -> set[str]:
    """What names files on disk: ids of knowledge bases and documents, and segments."""
    names = set(await session.scalars(select(KnowledgeBase.id)))
    for document_id, segment in await session.execute(select(Document.id, Document.segment)):
        names |= {document_id, segment or document_id}
    return names


async def count_unread(session: AsyncSession, kb: KnowledgeBase, viewer: Viewer) -> int:
    on_their_way = (DocumentState.WAITING, DocumentState.PARSING, DocumentState.EMBEDDING)
    query = select(func.count()).where(
        Document.kb_id == kb.id,
        Document.state.in_(on_their_way),
        Document.slot != Slot.REBUILD,
        visible(viewer, kb.client_id),
    )
    return await session.scalar(query) or 0
