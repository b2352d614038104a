"""Recommended questions: what readers are offered, what is answered at once, and what editors do about them."""

import random
from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import AlreadyExists, Invalid, QuestionNotFound
from server.core.i18n import Text
from server.core.questions import question_key
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import question_repository as repository
from server.kb.access import lock_own_kb, own_kb
from server.kb.csv_table import Imported
from server.kb.models import KnowledgeBase, Question
from server.kb.question_csv import read_rows
from server.kb.question_import import QuestionImport
from server.kb.question_repository import Found
from server.kb.repository import find_kb


class Questions:
    """Recommended questions of callers."""

    def __init__(self, database: Database, runtime: Runtime) -> None:
        self._database, self._lanes, self._clock = database, runtime.lanes, runtime.clock

    # ── readers ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def recommend(self, caller: Principal, kb_name: str | None, number: int) -> list[Found]:
        """Up to `number` enabled questions in random order, none twice; of what is not there, none.

        `kb_name`: None = of any knowledge base, "" = of none, else of that one.
        """
        async with self._database.read() as session:
            scope = kb_name
            if kb_name:
                kb = await _find_kb(session, caller, kb_name)
                if kb is None:
                    return []
                scope = kb.id
            found = await repository.list_enabled(session, caller.client_id, scope)
            random.shuffle(found)
            # By key: the same words may stand in several knowledge bases.
            chosen = list({key: number for number, key in found}.values())[:number]
            questions = await repository.load(session, chosen)
        return [questions[number] for number in chosen if number in questions]

    async def find_asked(self, caller: Principal, kb: KnowledgeBase | None, question: str) -> Question | None:
        """The enabled question that somebody has just asked, word for word but for `question_key`'s trifles.

        `kb` is one that the caller sees, or None for a chat without one.
        """
        async with self._database.read() as session:
            return await repository.find_asked(
                session, caller.client_id, kb.id if kb else None, question_key(question)
            )

    async def count_tap(self, session: AsyncSession, question: Question) -> None:
        """It was asked once more; counted with the commit of that."""
        await repository.count_tap(session, question.id)

    # ── editors ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_own(
        self, caller: Principal, kb_name: str | None, words: str, *, offset: int, limit: int
    ) -> tuple[list[Found], int]:
        """What the caller may change, disabled ones too, the newest first. Raises KBNotFound, Forbidden."""
        async with self._database.read() as session:
            scope = (await own_kb(session, caller, kb_name)).id if kb_name else kb_name
            return await repository.list_own(
                session, caller.client_id, scope, words, offset=offset, limit=limit
            )

    async def save(self, caller: Principal, question_id: int | None, given: Mapping[str, Any]) -> int:
        """Add a question, or change what is `given` of one: query, kb_name, answer, enable. Returns its id.

        Raises Invalid, QuestionNotFound, KBNotFound, Forbidden, AlreadyExists.
        """
        async with self._database.write() as session:
            await repository.lock_own(session, caller.client_id)
            if question_id is None:
                if not given.get("query"):
                    raise Invalid(Text("缺少 query", "query is missing"))
                row = Question(created_at=self._clock.now(), client_id=caller.client_id, kb_id=None)
            else:
                found = await repository.find_own(session, caller.client_id, question_id)
                if found is None:
                    raise QuestionNotFound
                row = found
            before = row.kb_id, row.query_key
            await _change(session, caller, row, given)
            if (row.kb_id, row.query_key) != before:
                await _refuse_twin(session, caller, row)
            session.add(row)
            await session.flush()
            return row.id

    async def import_csv(self, caller: Principal, kb_name: str, data: bytes) -> Imported:
        """Add what is new, bring up to date what is there; rows that cannot be taken are told, and the others go on.

        `kb_name` is for rows that name none. Raises Invalid, KBNotFound, Forbidden.
        """
        rows = await self._lanes.run("io", read_rows, data)
        return await QuestionImport(self._database, self._clock, caller).run(rows, kb_name)


async def _change(session: AsyncSession, caller: Principal, row: Question, given: Mapping[str, Any]) -> None:
    if "kb_name" in given:  # None or empty: of no knowledge base, the client's own
        name = given["kb_name"]
        row.kb_id = (await lock_own_kb(session, caller, name)).id if name else None
        row.client_id = None if row.kb_id else caller.client_id
        row.shared = bool(row.shared) and row.kb_id is None
    if given.get("query"):
        row.query = given["query"].strip()
    if "answer" in given:
        row.answer = (given["answer"] or "").strip() or None
    if "enable" in given:
        row.enabled = given["enable"]


async def _refuse_twin(session: AsyncSession, caller: Principal, row: Question) -> None:
    """Raises AlreadyExists when the client has this question there already."""
    twins = await repository.list_twins(session, caller.client_id, row.kb_id, row.query_key)
    for twin in twins:
        if twin != row.id:
            raise AlreadyExists(
                Text(f"同样的问题已存在（编号 {twin}）", f"this question exists already (id {twin})")
            )


async def _find_kb(session: AsyncSession, caller: Principal, name: str) -> KnowledgeBase | None:
    # PostgreSQL has no word for a NUL, and no knowledge base has one in its name.
    return None if "\0" in name else await find_kb(session, caller.client_id, name)
