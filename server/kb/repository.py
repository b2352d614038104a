"""SQL about knowledge bases. Functions take the session first and never commit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.models import Client
from server.core.ids import new_id
from server.kb.models import (
    Chunk,
    CustomPassages,
    Document,
    DocumentState,
    Job,
    JobKind,
    JobState,
    KnowledgeBase,
    Slot,
)

# Bound parameters per statement: SQLite's old limit is 999.
_BATCH = 500
# All but those of files that are attached to conversations: attachments.py.
_SHOWN = KnowledgeBase.session_id.is_(None)


# ── knowledge bases ───────────────────────────────────────────────────────────────────────────────────────────────────


async def hold_client(session: AsyncSession, client_id: str) -> None:
    """The client stays; its rows may be added to meanwhile."""
    query = select(Client.id).where(Client.id == client_id)
    await session.scalar(query.with_for_update(read=True, key_share=True))


async def find_kb(session: AsyncSession, client_id: str, name: str) -> KnowledgeBase | None:
    """The client's own knowledge base of this name, or else a shared one."""
    query = select(KnowledgeBase).where(
        KnowledgeBase.name == name,
        or_(KnowledgeBase.client_id == client_id, KnowledgeBase.shared),
        _SHOWN,
    )
    found = list(await session.scalars(query.order_by(KnowledgeBase.created_at)))
    return next((kb for kb in found if kb.client_id == client_id), found[0] if found else None)


async def find_kbs_named(
    session: AsyncSession, client_id: str, names: Iterable[str]
) -> dict[str, KnowledgeBase]:
    """As `find_kb`, of many names at once."""
    found: dict[str, KnowledgeBase] = {}
    for batch in _batches(sorted(names)):
        query = select(KnowledgeBase).where(
            KnowledgeBase.name.in_(batch), or_(KnowledgeBase.client_id == client_id, KnowledgeBase.shared)
        )
        for kb in await session.scalars(query.order_by(KnowledgeBase.created_at)):
            if kb.name not in found or kb.client_id == client_id:
                found[kb.name] = kb
    return found


async def hold_kbs(session: AsyncSession, ids: Iterable[str]) -> set[str]:
    """Those of these that are there, and that nobody deletes before this transaction ends."""
    held: set[str] = set()
    for batch in _batches(sorted(ids)):
        query = select(KnowledgeBase.id).where(KnowledgeBase.id.in_(batch)).order_by(KnowledgeBase.id)
        held |= set(await session.scalars(query.with_for_update(read=True, key_share=True)))
    return held


async def list_kbs(session: AsyncSession, client_id: str) -> list[tuple[KnowledgeBase, int]]:
    """What a client's readers see, own ones first, each with its number of live documents."""
    count = (
        select(func.count())
        .where(Document.kb_id == KnowledgeBase.id, Document.slot == Slot.LIVE)
        .scalar_subquery()
    )
    query = select(KnowledgeBase, count).where(
        or_(KnowledgeBase.client_id == client_id, KnowledgeBase.shared), _SHOWN
    )
    rows = (await session.execute(query.order_by(KnowledgeBase.created_at))).all()
    return sorted(((kb, number) for kb, number in rows), key=lambda row: row[0].client_id != client_id)


async def find_kbs(
    session: AsyncSession, names: Sequence[str] | None, client_id: str | None
) -> list[KnowledgeBase]:
    """Those of some names (None: all) and of one client (None: of all), for an operator."""
    query = select(KnowledgeBase).where(_SHOWN).order_by(KnowledgeBase.client_id, KnowledgeBase.name)
    if names is not None:
        query = query.where(KnowledgeBase.name.in_(names))
    if client_id is not None:
        query = query.where(KnowledgeBase.client_id == client_id)
    return list(await session.scalars(query))


async def add_kb(session: AsyncSession, kb: KnowledgeBase) -> bool:
    """Insert; False when the client has one of this name already."""
    return await _insert(session, kb)


async def rename_kb(session: AsyncSession, kb: KnowledgeBase, name: str) -> bool:
    """False when the client has another one of this name."""
    try:
        async with session.begin_nested():
            kb.name = name
    except IntegrityError:
        return False
    return True


async def bump_generation(session: AsyncSession, kb_id: str) -> None:
    """Tell every process that search must look again. In the transaction of the change itself."""
    statement = update(KnowledgeBase).where(KnowledgeBase.id == kb_id)
    await session.execute(statement.values(generation=KnowledgeBase.generation + 1))


async def get_generation(session: AsyncSession, kb_id: str) -> int | None:
    return await session.scalar(select(KnowledgeBase.generation).where(KnowledgeBase.id == kb_id))


# ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_documents(
    session: AsyncSession, kb_id: str, *, offset: int = 0, limit: int | None = None
) -> tuple[list[Document], int]:
    """Live documents and pending replacements, by name; and how many there are."""
    mine = and_(Document.kb_id == kb_id, Document.slot.in_((Slot.LIVE, Slot.NEXT)))
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


async def count_files(session: AsyncSession, kb_id: str, *, but: str) -> int:
    """How many files are in it, beside the one of this key."""
    names = select(Document.name_key).where(Document.kb_id == kb_id, Document.slot.is_not(None)).distinct()
    query = select(func.count()).select_from(names.where(Document.name_key != but).subquery())
    return await session.scalar(query) or 0


async def find_document(session: AsyncSession, document_id: str) -> Document | None:
    return await session.get(Document, document_id)


async def add_document(session: AsyncSession, document: Document) -> bool:
    """Insert; False when another upload of the name took the slot."""
    return await _insert(session, document)


async def set_custom_passages(
    session: AsyncSession, document_id: str, passages: list[dict[str, Any]]
) -> None:
    await session.merge(CustomPassages(document_id=document_id, passages=passages))


async def get_custom_passages(session: AsyncSession, document_id: str) -> list[dict[str, Any]]:
    row = await session.get(CustomPassages, document_id)
    return [] if row is None else row.passages


async def rechunk_waiting(session: AsyncSession, document_id: str, chunking: dict[str, Any]) -> bool:
    """Change what a document will be cut by; False when a worker has it, or nobody waits for it any more."""
    query = select(Job.id).where(Job.document_id == document_id, Job.state == JobState.WAITING)
    if await session.scalar(query.with_for_update()) is None:
        return False
    await session.execute(update(Document).where(Document.id == document_id).values(chunking=chunking))
    return True


async def set_state(session: AsyncSession, document_id: str, state: DocumentState) -> None:
    await session.execute(update(Document).where(Document.id == document_id).values(state=state))


async def fail_document(session: AsyncSession, document_id: str, code: str, text: dict[str, str]) -> None:
    values = {"state": DocumentState.FAILED, "error_code": code, "error_text": text}
    await session.execute(update(Document).where(Document.id == document_id).values(**values))


async def delete_documents(session: AsyncSession, ids: Iterable[str]) -> None:
    """Delete rows; their chunks and jobs go with them."""
    for batch in _batches(list(ids)):
        await session.execute(delete(Document).where(Document.id.in_(batch)))


async def delete_chunks(session: AsyncSession, ids: Iterable[str]) -> None:
    """Delete the chunks of documents."""
    for batch in _batches(list(ids)):
        await session.execute(delete(Chunk).where(Chunk.document_id.in_(batch)))


async def shelve_documents(session: AsyncSession, ids: Sequence[str]) -> None:
    """Make documents `stored`: their files stay, their chunks and jobs go."""
    await delete_chunks(session, ids)
    for batch in _batches(list(ids)):
        await session.execute(delete(Job).where(Job.document_id.in_(batch)))
        bare = {"state": DocumentState.STORED, "segment": None, "segment_sha256": None, "chunk_count": 0}
        await session.execute(update(Document).where(Document.id.in_(batch)).values(**bare))


@dataclass(frozen=True, slots=True)
class ReadySegment:
    """A searchable document as an index needs it: its segment and its chunk ids in segment order."""

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
    """Segments of documents and the chunk ids of their rows."""
    segments: dict[str, ReadySegment] = {}
    for batch in _batches(sorted(document_ids)):
        query = select(Document.id, Document.segment, Document.segment_sha256).where(Document.id.in_(batch))
        for document_id, name, sha256 in await session.execute(query):
            segments[document_id] = ReadySegment(document_id, name or "", sha256 or "", [])
        rows = select(Chunk.document_id, Chunk.id).where(Chunk.document_id.in_(batch))
        for document_id, chunk_id in await session.execute(rows.order_by(Chunk.document_id, Chunk.position)):
            segments[document_id].chunk_ids.append(chunk_id)
    return list(segments.values())


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
    await bump_generation(session, document.kb_id)
    return document


async def list_stored_names(session: AsyncSession) -> set[str]:
    """What names files on disk: ids of knowledge bases and documents, and segments."""
    names = set(await session.scalars(select(KnowledgeBase.id)))
    for document_id, segment in await session.execute(select(Document.id, Document.segment)):
        names |= {document_id, segment or document_id}
    return names


# ── chunks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def add_chunks(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _BATCH):
        await session.execute(insert(Chunk), list(rows[start : start + _BATCH]))


async def load_chunks(session: AsyncSession, ids: Sequence[int]) -> dict[int, tuple[Chunk, Document]]:
    """Chunks of documents that are searchable at this moment, by id."""
    query = (
        select(Chunk, Document)
        .join(Document, Document.id == Chunk.document_id)
        .where(Chunk.id.in_(ids), Document.state == DocumentState.READY, Document.slot == Slot.LIVE)
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
        .where(Document.state == DocumentState.READY, Chunk.text == text)
    )
    found = (await session.execute(query.order_by(Chunk.position).limit(1))).first()
    return None if found is None else (found[0], found[1])


async def load_neighbours(session: AsyncSession, chunk: Chunk) -> dict[int, str]:
    """The texts before and after a passage of its document, by position."""
    beside = (chunk.position - 1, chunk.position + 1)
    query = select(Chunk.position, Chunk.text).where(
        Chunk.document_id == chunk.document_id, Chunk.position.in_(beside)
    )
    return {row.position: row.text for row in await session.execute(query)}


@dataclass(frozen=True, slots=True)
class KnownVector:
    """Where a vector of an unchanged chunk can be copied from."""

    segment: str
    sha256: str
    position: int


async def find_known_vectors(
    session: AsyncSession, kb_id: str, hashes: Sequence[str], *, rebuild: bool = False
) -> dict[str, KnownVector]:
    """Content hashes that a searchable document of the knowledge base has embedded already; with `rebuild`, one of the
    versions under its next embedding model."""
    of_the_model = Document.slot == Slot.REBUILD if rebuild else Document.slot == Slot.LIVE
    known: dict[str, KnownVector] = {}
    for batch in _batches(list(hashes)):
        query = (
            select(Chunk.content_hash, Chunk.position, Document.segment, Document.segment_sha256)
            .join(Document, Document.id == Chunk.document_id)
            .where(
                Chunk.kb_id == kb_id,
                Chunk.content_hash.in_(batch),
                Document.state == DocumentState.READY,
                of_the_model,
            )
        )
        for content_hash, position, segment, sha256 in await session.execute(query):
            known[content_hash] = KnownVector(segment or "", sha256 or "", position)
    return known


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_job(session: AsyncSession, document: Document, now: datetime, kind: JobKind = JobKind.INGEST) -> Job:
    """Have a worker make a document searchable."""
    job = Job(id=new_id("job"), kind=kind, kb_id=document.kb_id, document_id=document.id, created_at=now)
    session.add(job)
    return job


async def has_job_since(session: AsyncSession, document_id: str, kind: JobKind, since: datetime) -> bool:
    query = select(Job.id).where(Job.document_id == document_id, Job.kind == kind, Job.created_at > since)
    return await session.scalar(query.limit(1)) is not None


async def claim_job(
    session: AsyncSession, owner: str, now: datetime, lease_until: datetime, attempts: int
) -> Job | None:
    """Take the oldest job that waits or whose holder gave no sign of life, files of conversations first. Two workers never take the same one.

    A waiting job's `lease_until` is the time before which it is not to be tried again.
    """
    free = and_(
        Job.state.in_((JobState.WAITING, JobState.RUNNING)),
        or_(Job.lease_until.is_(None), Job.lease_until < now),
    )
    waited_for = case((Job.kind == JobKind.ATTACH, 0), else_=1)
    query = select(Job).where(free, Job.attempts < attempts).order_by(waited_for, Job.created_at, Job.id)
    job = await session.scalar(query.limit(1).with_for_update(skip_locked=True))
    if job is not None:
        job.state, job.lease_owner, job.lease_until = JobState.RUNNING, owner, lease_until
        job.attempts += 1
        job.done = job.total = 0
    return job


async def list_abandoned_jobs(session: AsyncSession, now: datetime, attempts: int) -> list[Job]:
    """Jobs whose holder vanished in the last permitted attempt."""
    query = select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < now, Job.attempts >= attempts)
    return list(await session.scalars(query.with_for_update(skip_locked=True)))


async def renew_lease(
    session: AsyncSession,
    job_id: str,
    owner: str,
    lease_until: datetime,
    progress: tuple[int, int] | None = None,
) -> bool:
    """Sign of life, with `(done, total)` or without; False when the lease was lost to another worker."""
    values: dict[str, Any] = {"lease_until": lease_until}
    if progress is not None:
        values["done"], values["total"] = progress
    return await _update_held_job(session, job_id, owner, values)


async def holds_job(session: AsyncSession, job_id: str, owner: str) -> bool:
    held = and_(Job.id == job_id, Job.lease_owner == owner, Job.state == JobState.RUNNING)
    return await session.scalar(select(Job.id).where(held).with_for_update()) is not None


async def retry_job(session: AsyncSession, job_id: str, owner: str, not_before: datetime) -> bool:
    """Put a job back into the queue; False when the lease was lost."""
    values = {"state": JobState.WAITING, "lease_owner": None, "lease_until": not_before}
    return await _update_held_job(session, job_id, owner, values)


async def finish_job(session: AsyncSession, job_id: str, owner: str, state: JobState, now: datetime) -> bool:
    """End a job; False when the lease was lost."""
    values = {"state": state, "lease_owner": None, "lease_until": None, "finished_at": now}
    return await _update_held_job(session, job_id, owner, values)


async def _update_held_job(session: AsyncSession, job_id: str, owner: str, values: dict[str, Any]) -> bool:
    held = and_(Job.id == job_id, Job.lease_owner == owner, Job.state == JobState.RUNNING)
    result = await session.execute(update(Job).where(held).values(**values))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def count_unread(session: AsyncSession, kb_id: str) -> int:
    on_their_way = (DocumentState.WAITING, DocumentState.PARSING, DocumentState.EMBEDDING)
    query = select(func.count()).where(
        Document.kb_id == kb_id, Document.state.in_(on_their_way), Document.slot != Slot.REBUILD
    )
    return await session.scalar(query) or 0


async def count_waiting_jobs(session: AsyncSession) -> int:
    return (
        await session.scalar(select(func.count()).select_from(Job).where(Job.state == JobState.WAITING)) or 0
    )


async def count_open_jobs(session: AsyncSession) -> int:
    open_states = Job.state.in_((JobState.WAITING, JobState.RUNNING))
    return await session.scalar(select(func.count()).select_from(Job).where(open_states)) or 0


async def list_failed_since(session: AsyncSession, since: datetime) -> list[tuple[Document, KnowledgeBase]]:
    """Documents that were given up since then."""
    query = (
        select(Document, KnowledgeBase)
        .join(Job, Job.document_id == Document.id)
        .join(KnowledgeBase, KnowledgeBase.id == Document.kb_id)
        .where(Job.state == JobState.FAILED, Job.finished_at >= since, Document.state == DocumentState.FAILED)
        .where(_SHOWN)
    )
    return [(document, kb) for document, kb in (await session.execute(query)).unique()]


async def list_jobs(
    session: AsyncSession, kb_ids: Sequence[str], *, offset: int, limit: int
) -> tuple[list[tuple[Job, Document]], int]:
    """Jobs of some knowledge bases, newest first, each with its document; and how many there are."""
    mine = Job.kb_id.in_(kb_ids)
    total = await session.scalar(select(func.count()).select_from(Job).where(mine)) or 0
    query = select(Job, Document).join(Document, Document.id == Job.document_id).where(mine)
    rows = await session.execute(query.order_by(Job.created_at.desc(), Job.id).offset(offset).limit(limit))
    return [(job, document) for job, document in rows], total


async def find_job(session: AsyncSession, job_id: str) -> tuple[Job, Document, KnowledgeBase] | None:
    query = (
        select(Job, Document, KnowledgeBase)
        .join(Document, Document.id == Job.document_id)
        .join(KnowledgeBase, KnowledgeBase.id == Job.kb_id)
        .where(Job.id == job_id, _SHOWN)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def _insert(session: AsyncSession, row: object) -> bool:
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True


def _batches(items: list[str]) -> Iterable[list[str]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
