"""SQL about conversations. Functions take the session first and never commit."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from server.auth.principal import Principal
from server.chat.models import Message, Session
from server.db.batches import batches
from server.db.unique import put_unless_taken
from server.kb.attachment_repository import delete_kbs

# A rating from here on is a good one.
GOOD = 60
# Messages in the order in which they came; no two are equal.
_AGE = (Message.created_at, Message.position, Message.id)
# Sessions whose answers are in memory at once.
_IN_MEMORY = 100


def _of(table: type[Message] | type[Session], caller: Principal) -> ColumnElement[bool]:
    return (table.client_id == caller.client_id) & (table.user_id == caller.user_id)


async def find_session(session: AsyncSession, session_id: str) -> Session | None:
    return await session.get(Session, session_id)


async def lock_session(session: AsyncSession, session_id: str) -> Session | None:
    """Nobody else changes it, adds to it or deletes it before this transaction ends."""
    return await session.get(Session, session_id, with_for_update=True)


async def add_session(session: AsyncSession, row: Session) -> bool:
    """Insert; False when another request inserted one of this id a moment before."""
    return await put_unless_taken(session, row)


async def list_sessions(
    session: AsyncSession,
    caller: Principal,
    words: str,
    *,
    pinned_first: bool = False,
    offset: int,
    limit: int,
) -> tuple[list[Session], int]:
    """The caller's sessions, the newest first; and how many there are. With words, those that have them in their name, in
    a question or in an answer."""
    mine = _of(Session, caller)
    order: list[ColumnElement[Any]] = [Session.created_at.desc(), Session.id.asc()]
    if pinned_first:
        order = [case((Session.pinned_at.is_(None), 1), else_=0), Session.pinned_at.desc(), *order]
    if not words:
        total = await session.scalar(select(func.count()).select_from(Session).where(mine))
        query = select(Session).where(mine).order_by(*order)
        return list(await session.scalars(query.offset(offset).limit(limit))), total or 0
    said = select(Message.id).where(Message.session_id == Session.id, _says(words))
    has_words = _contains(Session.name, words) | said.exists()
    # Every message is read for this; once is enough to count them and to have a page of them.
    ids = list(await session.scalars(select(Session.id).where(mine, has_words).order_by(*order)))
    wanted = ids[offset : offset + limit]
    rows: dict[str, Session] = {}
    for batch in batches(wanted, _IN_MEMORY):
        rows |= {row.id: row for row in await session.scalars(select(Session).where(Session.id.in_(batch)))}
    return [rows[session_id] for session_id in wanted if session_id in rows], len(ids)


async def find_first_hits(
    session: AsyncSession, session_ids: Sequence[str], words: str
) -> dict[str, tuple[str, str]]:
    """(question, answer) of each session's first message that has these words."""
    found: dict[str, tuple[str, str]] = {}
    rank = func.row_number().over(partition_by=Message.session_id, order_by=_AGE)
    for batch in batches(session_ids, _IN_MEMORY):
        hits = select(Message.id, rank.label("rank")).where(Message.session_id.in_(batch), _says(words))
        first = hits.subquery()
        query = select(Message.session_id, Message.query, Message.response)
        query = query.join(first, first.c.id == Message.id).where(first.c.rank == 1)
        for session_id, question, answer in await session.execute(query):
            found[session_id or ""] = question, answer
    return found


def _says(words: str) -> ColumnElement[bool]:
    return _contains(Message.query, words) | _contains(Message.response, words)


def _contains(column: InstrumentedAttribute[str], words: str) -> ColumnElement[bool]:
    """In whatever case. What databases know of case may end with ASCII, so that other letters are looked for in both."""
    other = "".join(letter for letter in words if not letter.isascii())
    cases = {words.lower(), words.upper()} if other.lower() != other.upper() else {words}
    return or_(*(column.icontains(case, autoescape=True) for case in sorted(cases)))


async def find_message(session: AsyncSession, message_id: str) -> Message | None:
    return await session.get(Message, message_id)


async def add_message(session: AsyncSession, row: Message) -> bool:
    """Insert; False when another request inserted one of this id a moment before."""
    return await put_unless_taken(session, row)


async def lock_message(session: AsyncSession, message_id: str) -> Message | None:
    """As it stands now; nobody else changes it before the commit."""
    query = select(Message).where(Message.id == message_id).with_for_update()
    return await session.scalar(query.execution_options(populate_existing=True))


async def next_position(session: AsyncSession, session_id: str | None) -> int:
    """Where in its session a new message stands; 0 without one."""
    if session_id is None:
        return 0
    query = select(func.max(Message.position)).where(Message.session_id == session_id)
    return (await session.scalar(query) or 0) + 1


async def list_messages(
    session: AsyncSession, caller: Principal, session_id: str, limit: int, *, before: str | None = None
) -> list[Message]:
    """The caller's messages of a session, the newest first; only those older than `before`, if named.

    Of a session or a message that is not theirs, none.
    """
    mine = _of(Message, caller) & (Message.session_id == session_id)
    if before is not None:
        border = (await session.execute(select(*_AGE).where(mine, Message.id == before))).first()
        if border is None:
            return []
        mine &= tuple_(*_AGE) < tuple(border)
    query = select(Message).where(mine).order_by(*(column.desc() for column in _AGE))
    return list(await session.scalars(query.limit(limit)))


async def list_next_messages(
    session: AsyncSession, caller: Principal, session_id: str, after: Message | None, limit: int
) -> list[Message]:
    """The caller's messages of a session from the oldest on, or those after one of them."""
    query = select(Message).where(_of(Message, caller), Message.session_id == session_id)
    if after is not None:
        query = query.where(tuple_(*_AGE) > (after.created_at, after.position, after.id))
    return list(await session.scalars(query.order_by(*_AGE).limit(limit)))


async def recall(
    session: AsyncSession, caller: Principal, session_id: str, limit: int, *, before: str | None
) -> list[tuple[str, str]]:
    """The last rounds of a session that have an answer, the oldest first; before a message that is asked again."""
    mine = _of(Message, caller) & (Message.session_id == session_id)
    said = mine & Message.state.in_(("done", "cut")) & (Message.response != "")
    query = select(Message.query, Message.response).where(said)
    if before is not None:
        border = (await session.execute(select(*_AGE).where(mine, Message.id == before))).first()
        if border is not None:
            query = query.where(tuple_(*_AGE) < tuple(border))
    rows = await session.execute(query.order_by(*(column.desc() for column in _AGE)).limit(limit))
    return [(question.strip(), answer.strip()) for question, answer in rows if answer.strip()][::-1]


async def update_message(session: AsyncSession, message_id: str, values: dict[str, Any]) -> None:
    await session.execute(update(Message).where(Message.id == message_id).values(**values))


def _is_abandoned(now: datetime, before: datetime) -> ColumnElement[bool]:
    """Being written, but by no process that has been heard of lately; or, if none had to be, from before then."""
    unheard = case(
        (Message.writing_until.is_(None), Message.created_at < before), else_=Message.writing_until < now
    )
    return and_(Message.state == "writing", unheard)


async def list_abandoned(session: AsyncSession, now: datetime, before: datetime) -> list[str]:
    return list(await session.scalars(select(Message.id).where(_is_abandoned(now, before))))


async def cut_abandoned(session: AsyncSession, message_id: str, now: datetime, before: datetime) -> bool:
    """Mark a message as cut, unless it has ended or goes on meanwhile: False."""
    query = update(Message).where(Message.id == message_id, _is_abandoned(now, before))
    result = await session.execute(query.values(state="cut", writing_until=None))
    return bool(result.rowcount)  # type: ignore[attr-defined]


async def store_answer(session: AsyncSession, message_id: str, attempt: int, values: dict[str, Any]) -> None:
    """Unless it is being answered anew."""
    query = update(Message).where(Message.id == message_id, Message.attempt == attempt)
    await session.execute(query.values(**values))


# ── while it is being written ─────────────────────────────────────────────────────────────────────────────────────────


async def store_progress(session: AsyncSession, parts: Sequence[dict[str, Any]]) -> None:
    """What answers say so far, many at once; `id`, `attempt` and the same columns in each.

    Of an answer that has ended, nothing.
    """
    table = Message.__table__
    assert isinstance(table, Table)
    names = [name for name in parts[0] if name not in ("id", "attempt")]
    query = table.update().where(
        table.c.id == bindparam("_id"), table.c.attempt == bindparam("_attempt"), table.c.state == "writing"
    )
    query = query.values({name: bindparam(f"_{name}", type_=table.c[name].type) for name in names})
    # In one order everywhere, so that two processes cannot wait for each other.
    rows = sorted(parts, key=lambda part: str(part["id"]))
    await session.execute(query, [{f"_{name}": value for name, value in row.items()} for row in rows])


async def list_wanted(session: AsyncSession, ids: Sequence[str]) -> set[tuple[str, int]]:
    """(id, attempt) of those of these messages that are there, and whose answer nobody has stopped."""
    wanted: set[tuple[str, int]] = set()
    for batch in batches(ids):
        query = select(Message.id, Message.attempt).where(
            Message.id.in_(batch), Message.stop_wanted.is_(False)
        )
        wanted |= {(message_id, attempt) for message_id, attempt in await session.execute(query)}
    return wanted


async def ask_to_stop(session: AsyncSession, message_id: str) -> None:
    query = update(Message).where(Message.id == message_id, Message.state == "writing")
    await session.execute(query.values(stop_wanted=True))


async def delete_conversations(session: AsyncSession, client_id: str, user_ids: Collection[str]) -> list[str]:
    """All that these users of a client asked, and were answered, and the files they attached. Returns the knowledge bases
    of those."""
    theirs = select(Session.id).where(Session.client_id == client_id, Session.user_id.in_(user_ids))
    attached = await delete_kbs(session, list(await session.scalars(theirs.with_for_update())))
    for table in (Message, Session):
        await session.execute(delete(table).where(table.client_id == client_id, table.user_id.in_(user_ids)))
    return attached


# ── feedback ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def rate_message(
    session: AsyncSession, caller: Principal, message_id: str, values: dict[str, Any]
) -> bool:
    """Set the rating of a message of the caller's own; False when there is none."""
    row = await session.scalar(
        select(Message.id).where(Message.id == message_id, _of(Message, caller)).with_for_update()
    )
    if row is not None:
        await update_message(session, message_id, values)
    return row is not None


def _asked(client_id: str, kb_id: str | None) -> ColumnElement[bool]:
    """Messages of a client: all, those without a knowledge base (""), or those of one."""
    mine = Message.client_id == client_id
    if kb_id is None:
        return mine
    return mine & (Message.kb_id == kb_id if kb_id else Message.kb_id.is_(None))


async def count_ratings(
    session: AsyncSession, client_id: str, kb_id: str | None
) -> tuple[int, int, int, float | None]:
    """(messages, rated ones, those rated 60 or more, mean rating)"""
    good = func.count(case((Message.feedback_score >= GOOD, 1)))
    query = select(
        func.count(), func.count(Message.feedback_score), good, func.avg(Message.feedback_score)
    ).where(_asked(client_id, kb_id))
    messages, rated, liked, mean = (await session.execute(query)).one()
    return messages, rated, liked, None if mean is None else round(float(mean), 2)


async def list_reasons(
    session: AsyncSession, client_id: str, kb_id: str | None, *, offset: int, limit: int
) -> tuple[list[Message], int]:
    """Messages whose rating says why, the newest rating first; and how many there are."""
    told = _asked(client_id, kb_id) & Message.feedback_at.is_not(None) & (Message.feedback_reason != "")
    total = await session.scalar(select(func.count()).select_from(Message).where(told))
    query = select(Message).where(told).order_by(Message.feedback_at.desc(), Message.id)
    return list(await session.scalars(query.offset(offset).limit(limit))), total or 0
