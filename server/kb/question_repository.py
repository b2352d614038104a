"""SQL about recommended questions. Functions take the session first and never commit."""

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.models import Client
from server.kb.models import KnowledgeBase, Question

# Bound parameters per statement: SQLite's old limit is 999.
_BATCH = 500
# Scope of a list: None = of any knowledge base, "" = only those of none, else the id of one.
Scope = str | None
Found = tuple[Question, str | None]


def _visible(client_id: str) -> ColumnElement[bool]:
    """What a client's readers see: those of knowledge bases that they see, their client's own, shared and everybody's."""
    of_kb = and_(Question.kb_id.is_not(None), or_(KnowledgeBase.client_id == client_id, KnowledgeBase.shared))
    return or_(of_kb, _visible_of_none(client_id))


def _visible_of_none(client_id: str) -> ColumnElement[bool]:
    mine = or_(Question.client_id == client_id, Question.client_id.is_(None), Question.shared)
    return and_(Question.kb_id.is_(None), mine)


def _own(client_id: str) -> ColumnElement[bool]:
    """What a client's editors may change."""
    return or_(
        KnowledgeBase.client_id == client_id,
        and_(Question.kb_id.is_(None), Question.client_id == client_id),
    )


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    if scope is None:
        return []
    return [Question.kb_id == scope if scope else Question.kb_id.is_(None)]


async def lock_own(session: AsyncSession, client_id: str) -> None:
    """Nobody else adds or changes questions of this client before this transaction ends: twins are found by looking."""
    # PostgreSQL: rows that refer to the client may come meanwhile.
    lock = select(Client.id).where(Client.id == client_id).with_for_update(key_share=True)
    await session.scalar(lock)


async def list_enabled(session: AsyncSession, client_id: str, scope: Scope) -> list[tuple[int, str]]:
    """(id, key) of the enabled questions that a client's readers see."""
    query = select(Question.id, Question.query_key).outerjoin(
        KnowledgeBase, KnowledgeBase.id == Question.kb_id
    )
    query = query.where(Question.enabled, _visible(client_id), *_within(scope)).order_by(Question.id)
    return [(number, key) for number, key in await session.execute(query)]


async def list_unanswered(session: AsyncSession, kb_id: str, limit: int) -> list[str]:
    """Enabled questions of a knowledge base that its documents are to answer, those that were asked most first."""
    query = select(Question.query).where(Question.kb_id == kb_id, Question.enabled, Question.answer.is_(None))
    return list(await session.scalars(query.order_by(Question.tap_count.desc(), Question.id).limit(limit)))


async def list_most_asked(
    session: AsyncSession, client_id: str, kb_id: str, limit: int
) -> list[tuple[str, str]]:
    """(key, question) of the enabled questions of a knowledge base that a client's readers see, the most asked first."""
    query = select(Question.query_key, Question.query).outerjoin(
        KnowledgeBase, KnowledgeBase.id == Question.kb_id
    )
    query = query.where(Question.enabled, _visible(client_id), *_within(kb_id))
    rows = await session.execute(query.order_by(Question.tap_count.desc(), Question.id).limit(limit))
    return [(key, text) for key, text in rows]


async def load(session: AsyncSession, ids: Collection[int]) -> dict[int, Found]:
    """Questions with the names of their knowledge bases, by id."""
    query = select(Question, KnowledgeBase.name).outerjoin(KnowledgeBase, KnowledgeBase.id == Question.kb_id)
    rows = await session.execute(query.where(Question.id.in_(ids)))
    return {question.id: (question, name) for question, name in rows}


async def find_asked(session: AsyncSession, client_id: str, kb_id: str | None, key: str) -> Question | None:
    """The enabled question with this key of a knowledge base that the client sees, or of none.

    One with an answer comes first, then the client's own.
    """
    place = Question.kb_id == kb_id if kb_id else _visible_of_none(client_id)
    query = select(Question).where(Question.query_key == key, Question.enabled, place)
    found = list(await session.scalars(query.order_by(Question.id)))
    return min(found, key=lambda row: (not row.answer, row.client_id != client_id), default=None)


async def count_tap(session: AsyncSession, question_id: int) -> None:
    await session.execute(
        update(Question).where(Question.id == question_id).values(tap_count=Question.tap_count + 1)
    )


async def find_own(session: AsyncSession, client_id: str, question_id: int) -> Question | None:
    query = select(Question).outerjoin(KnowledgeBase, KnowledgeBase.id == Question.kb_id)
    return await session.scalar(query.where(Question.id == question_id, _own(client_id)))


async def list_own(
    session: AsyncSession, client_id: str, scope: Scope, words: str, *, offset: int, limit: int
) -> tuple[list[Found], int]:
    """A client's own questions, disabled ones too, the newest first; and how many there are."""
    mine = [_own(client_id), *_within(scope)]
    if words:
        mine.append(Question.query.icontains(words, autoescape=True))
    joined = select(Question, KnowledgeBase.name).outerjoin(KnowledgeBase, KnowledgeBase.id == Question.kb_id)
    total = await session.scalar(select(func.count()).select_from(joined.where(*mine).subquery()))
    rows = await session.execute(joined.where(*mine).order_by(Question.id.desc()).offset(offset).limit(limit))
    return [(question, name) for question, name in rows], total or 0


async def list_twins(session: AsyncSession, client_id: str, kb_id: str | None, key: str) -> list[int]:
    """The ids of a client's own questions with this key, of this knowledge base or of none."""
    query = select(Question.id).outerjoin(KnowledgeBase, KnowledgeBase.id == Question.kb_id)
    query = query.where(_own(client_id), *_within(kb_id or ""), Question.query_key == key)
    return list(await session.scalars(query.order_by(Question.id)))


async def find_own_by_keys(
    session: AsyncSession, client_id: str, keys: Iterable[str]
) -> dict[tuple[str | None, str], Question]:
    """A client's own questions that have one of these keys, by knowledge base and key; of several the first."""
    wanted = sorted(set(keys))
    found: dict[tuple[str | None, str], Question] = {}
    for start in range(0, len(wanted), _BATCH):
        query = select(Question).outerjoin(KnowledgeBase, KnowledgeBase.id == Question.kb_id)
        query = query.where(_own(client_id), Question.query_key.in_(wanted[start : start + _BATCH]))
        for row in await session.scalars(query.order_by(Question.id)):
            found.setdefault((row.kb_id, row.query_key), row)
    return found
