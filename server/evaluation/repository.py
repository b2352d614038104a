"""SQL about question sets. Functions take the session first and never commit."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.chat.models import Message
from server.db.batches import batches
from server.db.unique import put_unless_taken
from server.evaluation.models import GoldQuestion, QuestionSet, Run
from server.kb.models import Chunk, Document, DocumentState, KnowledgeBase, Slot

# A set, with how many questions and runs it has.
Listed = tuple[QuestionSet, int, int]


async def add_set(session: AsyncSession, row: QuestionSet) -> bool:
    """Insert; False when the knowledge base has one of this name already."""
    return await put_unless_taken(session, row)


async def rename_set(session: AsyncSession, row: QuestionSet, name: str) -> bool:
    """False when the knowledge base has another of this name."""
    return await put_unless_taken(session, row, name=name)


async def find_set(
    session: AsyncSession, client_id: str, set_id: str
) -> tuple[QuestionSet, KnowledgeBase] | None:
    """A set of one of the client's own knowledge bases."""
    query = select(QuestionSet, KnowledgeBase).join(KnowledgeBase, KnowledgeBase.id == QuestionSet.kb_id)
    query = query.where(QuestionSet.id == set_id, KnowledgeBase.client_id == client_id)
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1])


async def list_answerable(session: AsyncSession, kb_id: str, limit: int) -> list[str]:
    """Questions of all sets of a knowledge base which it is known to answer."""
    query = (
        select(GoldQuestion.question)
        .join(QuestionSet, QuestionSet.id == GoldQuestion.set_id)
        .where(QuestionSet.kb_id == kb_id, GoldQuestion.answerable.is_(True))
    )
    return list(await session.scalars(query.order_by(GoldQuestion.id).limit(limit)))


async def list_all(session: AsyncSession, kb_id: str) -> list[tuple[str, GoldQuestion]]:
    """Every question of every set of a knowledge base, with the set's name."""
    query = select(QuestionSet.name, GoldQuestion).join(GoldQuestion, GoldQuestion.set_id == QuestionSet.id)
    rows = await session.execute(query.where(QuestionSet.kb_id == kb_id).order_by(GoldQuestion.id))
    return [(name, row) for name, row in rows]


async def find_set_named(session: AsyncSession, kb_id: str, name: str) -> QuestionSet | None:
    return await session.scalar(
        select(QuestionSet).where(QuestionSet.kb_id == kb_id, QuestionSet.name == name)
    )


async def lock_set(session: AsyncSession, set_id: str) -> QuestionSet | None:
    """Nobody else changes, fills or deletes it before this transaction ends."""
    return await session.scalar(select(QuestionSet).where(QuestionSet.id == set_id).with_for_update())


async def count_sets(session: AsyncSession, kb_id: str) -> int:
    return await session.scalar(select(func.count()).where(QuestionSet.kb_id == kb_id)) or 0


async def list_sets(session: AsyncSession, kb_id: str) -> list[Listed]:
    """The newest first."""
    questions = select(func.count()).where(GoldQuestion.set_id == QuestionSet.id).scalar_subquery()
    runs = select(func.count()).where(Run.set_id == QuestionSet.id).scalar_subquery()
    query = select(QuestionSet, questions, runs).where(QuestionSet.kb_id == kb_id)
    rows = await session.execute(query.order_by(QuestionSet.created_at.desc(), QuestionSet.id))
    return [(row, of_questions, of_runs) for row, of_questions, of_runs in rows]


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def count_questions(session: AsyncSession, set_id: str) -> int:
    return await session.scalar(select(func.count()).where(GoldQuestion.set_id == set_id)) or 0


async def list_questions(
    session: AsyncSession, set_id: str, words: str = "", *, offset: int = 0, limit: int | None = None
) -> tuple[list[GoldQuestion], int]:
    """In the order in which they came; and how many there are."""
    mine = [GoldQuestion.set_id == set_id]
    if words:
        mine.append(GoldQuestion.question.icontains(words, autoescape=True))
    total = await session.scalar(select(func.count()).select_from(GoldQuestion).where(*mine))
    query = select(GoldQuestion).where(*mine).order_by(GoldQuestion.id).offset(offset).limit(limit)
    return list(await session.scalars(query)), total or 0


async def find_question(session: AsyncSession, set_id: str, question_id: int) -> GoldQuestion | None:
    return await session.scalar(
        select(GoldQuestion).where(GoldQuestion.set_id == set_id, GoldQuestion.id == question_id)
    )


async def find_by_keys(session: AsyncSession, set_id: str, keys: Collection[str]) -> dict[str, GoldQuestion]:
    wanted, found = sorted(keys), dict[str, GoldQuestion]()
    for batch in batches(wanted):
        query = select(GoldQuestion).where(
            GoldQuestion.set_id == set_id, GoldQuestion.question_key.in_(batch)
        )
        found |= {row.question_key: row for row in await session.scalars(query)}
    return found


async def delete_questions(session: AsyncSession, set_id: str, ids: Sequence[int]) -> int:
    """Returns how many of them there were."""
    count = 0
    for batch in batches(ids):
        mine = (GoldQuestion.set_id == set_id, GoldQuestion.id.in_(batch))
        result = await session.execute(delete(GoldQuestion).where(*mine))
        count += result.rowcount  # type: ignore[attr-defined]
    return count


async def add_rows(session: AsyncSession, table: type[Any], rows: Sequence[dict[str, Any]]) -> None:
    for batch in batches(rows):
        await session.execute(insert(table), list(batch))


# ── where questions come from ─────────────────────────────────────────────────────────────────────────────────────────


async def list_rated(
    session: AsyncSession,
    client_id: str,
    kb_id: str,
    scores: tuple[int, int],
    *,
    offset: int,
    limit: int,
) -> tuple[list[Message], int]:
    """Answers about a knowledge base that the client's people rated within `scores`, the newest rating first."""
    rated = (
        Message.client_id == client_id,
        Message.kb_id == kb_id,
        Message.feedback_score.between(*scores),
        Message.feedback_at.is_not(None),
    )
    total = await session.scalar(select(func.count()).select_from(Message).where(*rated))
    query = select(Message).where(*rated).order_by(Message.feedback_at.desc(), Message.id)
    return list(await session.scalars(query.offset(offset).limit(limit))), total or 0


async def find_rated(session: AsyncSession, client_id: str, kb_id: str, message_id: str) -> Message | None:
    """One of them."""
    query = select(Message).where(Message.id == message_id, Message.client_id == client_id)
    return await session.scalar(query.where(Message.kb_id == kb_id, Message.feedback_score.is_not(None)))


async def find_taken(session: AsyncSession, set_id: str, message_ids: Iterable[str]) -> set[str]:
    """Those of these messages that a question of the set comes from."""
    query = select(GoldQuestion.message_id).where(
        GoldQuestion.set_id == set_id, GoldQuestion.message_id.in_(sorted(message_ids))
    )
    return {message_id for message_id in await session.scalars(query) if message_id}


async def find_passage(session: AsyncSession, kb_id: str, chunk_id: int) -> tuple[Chunk, Document] | None:
    """A passage that is searched now."""
    query = (
        select(Chunk, Document)
        .join(Document, Document.id == Chunk.document_id)
        .where(Chunk.id == chunk_id, Document.kb_id == kb_id)
        .where(Document.state == DocumentState.READY, Document.slot == Slot.LIVE)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1])
