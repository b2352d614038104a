"""Questions that people really asked: from answers that were rated, and from hit tests."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from server.auth.principal import Principal
from server.chat.models import Message
from server.chat.repository import GOOD
from server.core.errors import NotFound, SessionNotFound
from server.core.i18n import Text
from server.db.session import Database
from server.evaluation import repository
from server.evaluation.gold import cited_numbers
from server.evaluation.models import GoldQuestion, Origin
from server.evaluation.question import MAX_FILES, MAX_PASSAGE, NewQuestion
from server.evaluation.service import QuestionSets, find_own
from server.evaluation.summary import REFUSED

Rating = Literal["liked", "disliked"]
_SCORES: dict[Rating, tuple[int, int]] = {"liked": (GOOD, 100), "disliked": (0, GOOD - 1)}


@dataclass(frozen=True, slots=True)
class Rated:
    """A rated answer, and whether the set has its question from there."""

    message: Message
    is_taken: bool


class Taking:
    """Takes them into sets."""

    def __init__(self, database: Database, sets: QuestionSets) -> None:
        self._database, self._sets = database, sets

    async def list_rated(
        self, caller: Principal, set_id: str, rating: Rating, *, offset: int, limit: int
    ) -> tuple[list[Rated], int]:
        """Answers about the set's knowledge base, as the feedback report tells them, the newest rating first."""
        async with self._database.read() as session:
            row, kb = await find_own(session, caller, set_id)
            messages, total = await repository.list_rated(
                session, caller.client_id, kb.id, _SCORES[rating], offset=offset, limit=limit
            )
            taken = await repository.find_taken(session, row.id, (message.id for message in messages))
        return [Rated(message, message.id in taken) for message in messages], total

    async def take_answer(
        self, caller: Principal, set_id: str, message_id: str, given: dict[str, Any]
    ) -> GoldQuestion:
        """Add the question of a rated answer. What a liked one cites is its gold; of a disliked one only what is `given`:
        gold_answer, gold_files, gold_passage, answerable, tags. Raises SetNotFound, SessionNotFound, Invalid, AlreadyExists.
        """
        async with self._database.read() as session:
            _, kb = await find_own(session, caller, set_id)
            message = await repository.find_rated(session, caller.client_id, kb.id, message_id)
        if message is None:
            raise SessionNotFound
        is_liked = (message.feedback_score or 0) >= GOOD
        new = NewQuestion(message.query)
        if is_liked and not any(
            given.get(name) is not None for name in ("gold_files", "gold_passage", "answerable")
        ):
            new = _gold_of(message, kb.id)
        new = replace(new, **given)
        origin = Origin.LIKED if is_liked else Origin.DISLIKED
        return await self._sets.add(caller, set_id, new, origin, message.id)

    async def take_hit(
        self, caller: Principal, set_id: str, question: str, chunk_id: int, given: dict[str, Any]
    ) -> GoldQuestion:
        """Add a question with the passage that somebody chose among its hits. Raises SetNotFound, NotFound, Invalid."""
        async with self._database.read() as session:
            _, kb = await find_own(session, caller, set_id)
            found = await repository.find_passage(session, kb.id, chunk_id)
        if found is None:
            raise NotFound(
                Text("未找到该段落，文件可能已经更新", "no such passage; its file may have changed"),
                code="passage_not_found",
            )
        chunk, document = found
        new = NewQuestion(question, gold_files=(document.file_name,), gold_passage=chunk.text[:MAX_PASSAGE])
        return await self._sets.add(caller, set_id, replace(new, **given), Origin.HIT_TEST)


def _gold_of(message: Message, kb_id: str) -> NewQuestion:
    """What an answer that somebody liked says of where the answer stands: the one passage that it cites, or the files of several."""
    if message.outcome == REFUSED:
        return NewQuestion(message.query, answerable=False)
    cited = list(_cited(message, kb_id))
    files = tuple(dict.fromkeys(source["file_name"] for source in cited))[:MAX_FILES]
    passage = cited[0]["text"][:MAX_PASSAGE] if len(cited) == 1 else None
    return NewQuestion(message.query, gold_files=files, gold_passage=passage)


def _cited(message: Message, kb_id: str) -> Iterable[dict[str, Any]]:
    """The sources that it cites, as far as they are of this knowledge base: files of the conversation are nobody else's."""
    sources = message.sources or []
    for number in cited_numbers(message.response, len(sources)):
        if number and sources[number - 1].get("kb_id") == kb_id:
            yield sources[number - 1]
