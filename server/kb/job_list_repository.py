"""SQL about jobs as people see them. Functions take the session first and never commit."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.db.batches import batches
from server.kb.models import Document, DocumentState, Job, JobState, KnowledgeBase
from server.kb.repository import SHOWN

# Those that are not at their end; the ends; and the stages of the first.
Which = Literal["open", "failed", "done", "waiting", "parsing", "embedding", "ready"]
_OPEN = Job.state.in_((JobState.WAITING, JobState.RUNNING))


class Found(NamedTuple):
    """A job with what it is about."""

    job: Job
    document: Document
    kb: KnowledgeBase


def _is(which: Which) -> ColumnElement[bool]:
    match which:
        case "open":
            return _OPEN
        case "failed":
            return and_(Job.state == JobState.FAILED, Document.state == DocumentState.FAILED)
        case "done" | "ready":
            return Job.state == JobState.DONE
        case stage:
            return and_(_OPEN, Document.state == stage)


def _query() -> Any:
    return (
        select(Job, Document, KnowledgeBase)
        .join(Document, Document.id == Job.document_id)
        .join(KnowledgeBase, KnowledgeBase.id == Job.kb_id)
        .where(SHOWN)
    )


async def list_jobs(
    session: AsyncSession,
    client_id: str,
    *,
    kb_id: str | None = None,
    which: Which | None = None,
    offset: int,
    limit: int,
) -> tuple[list[Found], int]:
    """Jobs of a client or of one of its knowledge bases, newest first; and how many there are."""
    query = _query().where(Job.client_id == client_id if kb_id is None else Job.kb_id == kb_id)
    if which is not None:
        query = query.where(_is(which))
    total = await session.scalar(query.with_only_columns(func.count(), maintain_column_froms=True)) or 0
    rows = await session.execute(query.order_by(Job.created_at.desc(), Job.id).offset(offset).limit(limit))
    return [Found(*row) for row in rows], total


async def find_job(session: AsyncSession, job_id: str) -> Found | None:
    row = (await session.execute(_query().where(Job.id == job_id))).first()
    return None if row is None else Found(*row)


async def list_changed(
    session: AsyncSession, client_ids: Collection[str], since: datetime
) -> Sequence[Found]:
    """Of these clients, the jobs of which there is something new to tell, in that order."""
    mine = and_(Job.client_id.in_(sorted(client_ids)), Job.changed_at >= since)
    return [Found(*row) for row in await session.execute(_query().where(mine).order_by(Job.changed_at))]


async def list_there(session: AsyncSession, job_ids: Collection[str]) -> set[str]:
    """Those of these jobs that are not deleted."""
    found: set[str] = set()
    for batch in batches(sorted(job_ids)):
        found |= set(await session.scalars(select(Job.id).where(Job.id.in_(batch))))
    return found


async def list_failed(session: AsyncSession, kb_id: str) -> list[tuple[Document, Job | None]]:
    """The documents that could not be read, each with its last job."""
    failed = and_(Document.kb_id == kb_id, Document.state == DocumentState.FAILED, Document.slot.is_not(None))
    documents = list(await session.scalars(select(Document).where(failed).order_by(Document.created_at)))
    query = select(Job).join(Document, Document.id == Job.document_id).where(failed)
    last = {job.document_id: job for job in await session.scalars(query.order_by(Job.created_at, Job.id))}
    return [(document, last.get(document.id)) for document in documents]
