"""SQL about runs. Functions take the session first and never commit."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from server.evaluation.models import QuestionSet, Result, Run, RunState
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot

_OPEN = (RunState.QUEUED, RunState.RUNNING)
# A run with its set and its knowledge base.
Of = tuple[Run, QuestionSet, KnowledgeBase]


async def find_run(session: AsyncSession, client_id: str, run_id: str, *, lock: bool = False) -> Of | None:
    """A run over a set of one of the client's own knowledge bases."""
    query = (
        select(Run, QuestionSet, KnowledgeBase)
        .join(QuestionSet, QuestionSet.id == Run.set_id)
        .join(KnowledgeBase, KnowledgeBase.id == QuestionSet.kb_id)
        .where(Run.id == run_id, KnowledgeBase.client_id == client_id)
    )
    row = (await session.execute(query.with_for_update(of=Run) if lock else query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def list_runs(session: AsyncSession, set_id: str, *, offset: int, limit: int) -> tuple[list[Run], int]:
    """The newest first; and how many there are."""
    total = await session.scalar(select(func.count()).where(Run.set_id == set_id))
    query = select(Run).where(Run.set_id == set_id).order_by(Run.created_at.desc(), Run.id)
    return list(await session.scalars(query.offset(offset).limit(limit))), total or 0


async def count_runs(session: AsyncSession, set_id: str) -> int:
    return await session.scalar(select(func.count()).where(Run.set_id == set_id)) or 0


async def count_open(session: AsyncSession, client_id: str) -> int:
    """Runs of a client that wait or go on."""
    query = (
        select(func.count())
        .select_from(Run)
        .join(QuestionSet, QuestionSet.id == Run.set_id)
        .join(KnowledgeBase, KnowledgeBase.id == QuestionSet.kb_id)
        .where(KnowledgeBase.client_id == client_id, Run.state.in_(_OPEN))
    )
    return await session.scalar(query) or 0


async def list_results(
    session: AsyncSession,
    run_id: str,
    *,
    only: str = "",
    offset: int = 0,
    limit: int | None = None,
    slim: bool = False,
) -> tuple[list[Result], int]:
    """In the order of the set, what is measured; and how many there are. `only`: an outcome. `slim`: without what was found
    and said, which may be megabytes."""
    mine = [Result.run_id == run_id, Result.measured_at.is_not(None)]
    if only:
        mine.append(Result.outcome == only)
    total = await session.scalar(select(func.count()).select_from(Result).where(*mine))
    query = select(Result).where(*mine).order_by(Result.number).offset(offset).limit(limit)
    if slim:
        left_out = ("hits", "answer")
        query = query.options(
            load_only(*(getattr(Result, c.key) for c in Result.__table__.columns if c.key not in left_out))
        )
    return list(await session.scalars(query)), total or 0


async def load_results(session: AsyncSession, run_id: str, numbers: Sequence[int]) -> dict[int, Result]:
    """By number."""
    query = select(Result).where(Result.run_id == run_id, Result.number.in_(numbers))
    return {row.number: row for row in await session.scalars(query)}


async def delete_run(session: AsyncSession, run_id: str) -> None:
    await session.execute(delete(Run).where(Run.id == run_id))


# ── for the worker ────────────────────────────────────────────────────────────────────────────────────────────────────


def _free(now: datetime) -> ColumnElement[bool]:
    return and_(Run.state.in_(_OPEN), or_(Run.lease_until.is_(None), Run.lease_until < now))


async def is_any_free(session: AsyncSession, now: datetime) -> bool:
    """Is there a run that waits, or whose holder gave no sign of life?"""
    return await session.scalar(select(Run.id).where(_free(now)).limit(1)) is not None


async def claim(
    session: AsyncSession, owner: str, now: datetime, until: datetime, attempts: int, run_id: str | None
) -> Run | None:
    """Take the oldest run that waits or whose holder gave no sign of life, or `run_id` and no other. Two workers never take
    the same one."""
    query = select(Run).where(_free(now), Run.attempts < attempts)
    if run_id is not None:
        query = query.where(Run.id == run_id)
    query = query.order_by(case((Run.state == RunState.RUNNING, 0), else_=1), Run.created_at, Run.id)
    run = await session.scalar(query.limit(1).with_for_update(skip_locked=True))
    if run is not None:
        run.state, run.lease_owner, run.lease_until = RunState.RUNNING, owner, until
        run.started_at = run.started_at or now
        run.attempts += 1
    return run


async def list_abandoned(session: AsyncSession, now: datetime, attempts: int) -> list[Run]:
    """Runs whose holder vanished again and again at the same place."""
    query = select(Run).where(Run.state == RunState.RUNNING, Run.lease_until < now, Run.attempts >= attempts)
    return list(await session.scalars(query.with_for_update(skip_locked=True)))


async def update_held(session: AsyncSession, run_id: str, owner: str, values: dict[str, Any]) -> bool:
    """False when it was cancelled, deleted, or taken by another worker."""
    held = and_(Run.id == run_id, Run.lease_owner == owner, Run.state == RunState.RUNNING)
    result = await session.execute(update(Run).where(held).values(**values))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def list_pending(session: AsyncSession, run_id: str, limit: int) -> list[Result]:
    query = select(Result).where(Result.run_id == run_id, Result.measured_at.is_(None))
    return list(await session.scalars(query.order_by(Result.number).limit(limit)))


async def store_results(
    session: AsyncSession, run_id: str, rows: Sequence[tuple[int, dict[str, Any]]]
) -> None:
    """(number, values) of each."""
    for number, values in rows:
        mine = and_(Result.run_id == run_id, Result.number == number)
        await session.execute(update(Result).where(mine).values(**values))


async def find_kb_of(session: AsyncSession, run: Run) -> KnowledgeBase | None:
    query = select(KnowledgeBase).join(QuestionSet, QuestionSet.kb_id == KnowledgeBase.id)
    return await session.scalar(query.where(QuestionSet.id == run.set_id))


async def list_cuts(session: AsyncSession, kb_id: str) -> list[tuple[dict[str, Any], int]]:
    """How each searchable document is cut, and how many passages it has."""
    query = select(Document.chunking, Document.chunk_count).where(
        Document.kb_id == kb_id, Document.state == DocumentState.READY, Document.slot == Slot.LIVE
    )
    return [(chunking, count) for chunking, count in await session.execute(query)]
