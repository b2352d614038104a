"""Question sets in the package of a knowledge base. Runs over them stay where they were made."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import StrictStr
from sqlalchemy.ext.asyncio import AsyncSession

from server.core.ids import new_id
from server.evaluation import repository
from server.evaluation.models import GoldQuestion, Origin, QuestionSet
from server.evaluation.question import NewQuestion
from server.evaluation.schemas import CreateSet, GoldFields, QuestionText

_SAID = ("question", "gold_answer", "gold_files", "gold_passage", "answerable", "tags")
_MAX_SETS = 1000


class _Line(GoldFields):
    """A question, with the set that it is of."""

    set: StrictStr
    question: QuestionText


class QuestionSets:
    """What a package has of them: a line for each question."""

    name = "question_sets"

    async def load(self, session: AsyncSession, kb_id: str) -> list[dict[str, Any]]:
        return [
            {"set": name, **{column: getattr(row, column) for column in _SAID}}
            for name, row in await repository.list_all(session, kb_id)
        ]

    def check(self, rows: Sequence[Any]) -> list[Any]:
        """Questions by the names of their sets."""
        sets: dict[str, dict[str, NewQuestion]] = {}
        for row in rows:
            line = _Line.model_validate(row)
            name = CreateSet(knowledge_base_name="x", name=line.set).name
            question = NewQuestion(line.question, **line.given()).checked()
            sets.setdefault(name, {})[question.key] = question
        if len(sets) > _MAX_SETS:
            raise ValueError("too many sets")
        return list(sets.items())

    async def add(self, session: AsyncSession, kb_id: str, checked: list[Any], now: datetime) -> None:
        for name, questions in checked:
            row = QuestionSet(id=new_id("es"), kb_id=kb_id, name=name, created_at=now)
            session.add(row)
            await session.flush()
            session.add_all(
                GoldQuestion(set_id=row.id, origin=Origin.IMPORTED, created_at=now, **question.columns())
                for question in questions.values()
            )
