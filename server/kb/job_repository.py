"""SQL about jobs: the queue, and the leases by which workers hold them. Functions take the session first and never commit.

Clients take turns. A job's `turn` is one more than that of the last one its client has waiting, or that of the one that is taken
next: whoever brings ten thousand files stands in the queue ten thousand times, once in each round. Files of conversations have
rounds of their own, before all others.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.core.ids import new_id
from server.kb.models import Document, DocumentState, Job, JobKind, JobState, KnowledgeBase
from server.kb.repository import SHOWN

# The first round of files of conversations.
_ATTACHED = -(1 << 40)
_OPEN = Job.state.in_((JobState.WAITING, JobState.RUNNING))


async def add_job(
    session: AsyncSession, document: Document, now: datetime, kind: JobKind = JobKind.INGEST
) -> Job:
    """Have a worker make a document searchable."""
    client_id = await session.scalar(
        select(KnowledgeBase.client_id).where(KnowledgeBase.id == document.kb_id)
    )
    job = Job(
        id=new_id("job"),
        kind=kind,
        client_id=client_id,
        kb_id=document.kb_id,
        document_id=document.id,
        turn=await _next_turn(session, client_id or "", kind),
        created_at=now,
        changed_at=now,
    )
    session.add(job)
    return job


async def begin_again(session: AsyncSession, job: Job, now: datetime) -> None:
    """Have a job that came to its end done once more."""
    job.turn = await _next_turn(session, job.client_id, job.kind)
    job.state, job.attempts, job.lease_until, job.finished_at = JobState.WAITING, 0, None, None
    job.changed_at = now
    job.begin_again()


async def _next_turn(session: AsyncSession, client_id: str, kind: str) -> int:
    first, alike = (_ATTACHED, Job.turn < 0) if kind == JobKind.ATTACH else (0, Job.turn >= 0)
    waiting = and_(Job.state == JobState.WAITING, alike)
    last = await session.scalar(select(func.max(Job.turn)).where(Job.client_id == client_id, waiting))
    # What waits for its next try has had its turn.
    coming = select(Job.turn).where(waiting, Job.lease_until.is_(None)).order_by(Job.turn).limit(1)
    upcoming = await session.scalar(coming)
    return max(first if upcoming is None else upcoming, first if last is None else last + 1)


async def has_job_since(session: AsyncSession, document_id: str, kind: JobKind, since: datetime) -> bool:
    query = select(Job.id).where(Job.document_id == document_id, Job.kind == kind, Job.created_at > since)
    return await session.scalar(query.limit(1)) is not None


async def claim_job(
    session: AsyncSession, owner: str, now: datetime, lease_until: datetime, attempts: int
) -> Job | None:
    """Take a job whose holder gave no sign of life, or else the one whose turn it is. Two workers never take the same one.

    A waiting job's `lease_until` is the time before which it is not to be tried again.
    """
    lost = and_(Job.state == JobState.RUNNING, Job.lease_until < now, Job.attempts < attempts)
    query = select(Job).where(lost).order_by(Job.lease_until).limit(1)
    job = await session.scalar(query.with_for_update(skip_locked=True))
    if job is None:
        free = or_(Job.lease_until.is_(None), Job.lease_until < now)
        query = select(Job).where(Job.state == JobState.WAITING, free, Job.attempts < attempts)
        query = query.order_by(Job.turn, Job.created_at, Job.id).limit(1)
        job = await session.scalar(query.with_for_update(skip_locked=True))
    if job is not None:
        job.state, job.lease_owner, job.lease_until = JobState.RUNNING, owner, lease_until
        job.attempts += 1
        job.changed_at = now
        job.begin_again()
    return job


async def list_abandoned_jobs(session: AsyncSession, now: datetime, attempts: int) -> list[Job]:
    """Jobs whose holder vanished in the last permitted attempt."""
    query = select(Job).where(Job.state == JobState.RUNNING, Job.lease_until < now, Job.attempts >= attempts)
    return list(await session.scalars(query))


async def give_up_job(session: AsyncSession, job_id: str, now: datetime) -> bool:
    """End a job whose holder vanished; False when somebody else did."""
    lost = and_(Job.id == job_id, Job.state == JobState.RUNNING, Job.lease_until < now)
    result = await session.execute(update(Job).where(lost).values(**_ended(JobState.FAILED, now)))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def renew_lease(
    session: AsyncSession,
    job_id: str,
    owner: str,
    lease_until: datetime,
    told: Mapping[str, Any] | None = None,
) -> bool:
    """Sign of life, with what is to be told of the job or without; False when the lease was lost to another worker."""
    return await _update_held_job(session, job_id, owner, {"lease_until": lease_until, **(told or {})})


async def holds_job(session: AsyncSession, job_id: str, owner: str) -> bool:
    held = and_(Job.id == job_id, Job.lease_owner == owner, Job.state == JobState.RUNNING)
    return await session.scalar(select(Job.id).where(held)) is not None


async def begin_stage(session: AsyncSession, job_id: str, owner: str, now: datetime) -> bool:
    """Its document's state changes in the same commit; False when the lease was lost."""
    return await _update_held_job(session, job_id, owner, {"changed_at": now, "expected_at": None})


async def retry_job(
    session: AsyncSession,
    job_id: str,
    owner: str,
    not_before: datetime,
    now: datetime,
    *,
    for_nothing: bool = False,
) -> bool:
    """Put a job back into the queue; False when the lease was lost. `for_nothing`: this try does not count."""
    values: dict[str, Any] = {"state": JobState.WAITING, "lease_owner": None, "lease_until": not_before}
    values |= {"changed_at": now, "expected_at": None}
    if for_nothing:
        values["attempts"] = Job.attempts - 1
    return await _update_held_job(session, job_id, owner, values)


async def finish_job(session: AsyncSession, job_id: str, owner: str, state: JobState, now: datetime) -> bool:
    """End a job; False when the lease was lost."""
    return await _update_held_job(session, job_id, owner, _ended(state, now))


async def cancel_job(session: AsyncSession, job_id: str, now: datetime) -> bool:
    """End a job, whoever holds it: that worker finds its lease gone. False when it has ended already."""
    mine = and_(Job.id == job_id, _OPEN)
    result = await session.execute(update(Job).where(mine).values(**_ended(JobState.FAILED, now)))
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _ended(state: JobState, now: datetime) -> dict[str, Any]:
    ended = {"state": state, "lease_owner": None, "lease_until": None, "finished_at": now}
    return {**ended, "changed_at": now, "expected_at": None}


async def _update_held_job(session: AsyncSession, job_id: str, owner: str, values: dict[str, Any]) -> bool:
    held = and_(Job.id == job_id, Job.lease_owner == owner, Job.state == JobState.RUNNING)
    result = await session.execute(update(Job).where(held).values(**values))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def count_waiting_jobs(session: AsyncSession, client_id: str | None = None) -> int:
    """Of one client, or of all."""
    query = select(func.count()).select_from(Job).where(Job.state == JobState.WAITING)
    if client_id is not None:
        query = query.where(Job.client_id == client_id)
    return await session.scalar(query) or 0


async def count_open_jobs(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Job).where(_OPEN)) or 0


async def list_failed_since(session: AsyncSession, since: datetime) -> list[tuple[Document, KnowledgeBase]]:
    """Documents that were given up since then."""
    query = (
        select(Document, KnowledgeBase)
        .join(Job, Job.document_id == Document.id)
        .join(KnowledgeBase, KnowledgeBase.id == Document.kb_id)
        .where(Job.state == JobState.FAILED, Job.finished_at >= since, Document.state == DocumentState.FAILED)
        .where(SHOWN)
    )
    return [(document, kb) for document, kb in (await session.execute(query)).unique()]
