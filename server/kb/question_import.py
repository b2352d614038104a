"""Recommended questions by the thousand, from a spreadsheet, beside whatever else people do: everything is looked up before
anything is locked, and what is written is written in portions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.clock import Clock
from server.core.errors import Forbidden, Invalid, KBNotFound
from server.core.i18n import Text
from server.core.questions import question_key
from server.db.session import Database
from server.kb import question_repository as repository
from server.kb import repository as kb_repository
from server.kb.access import FOREIGN, own_kb
from server.kb.csv_table import Imported
from server.kb.models import Question
from server.kb.question_csv import QuestionRow
from server.kb.question_schemas import MAX_ANSWER, MAX_QUERY

# Rows of one commit: a tenth of a second on SQLite, where everybody else waits for it.
_PORTION = 250


@dataclass(frozen=True, slots=True)
class _Placed:
    """A row, the knowledge base it belongs to, if any, and what that is called."""

    row: QuestionRow
    kb_id: str | None
    kb_name: str
    key: str


class QuestionImport:
    """Imports the rows of one file for one caller."""

    def __init__(self, database: Database, clock: Clock, caller: Principal) -> None:
        self._database, self._clock, self._caller = database, clock, caller
        self._done = Imported()

    async def run(self, rows: Sequence[QuestionRow], kb_name: str) -> Imported:
        """`kb_name` is for rows that name none. Raises KBNotFound, Forbidden.

        A fault in between leaves the portions before it: the same file again goes on with the rest.
        """
        placed = await self._place(rows, kb_name)
        for start in range(0, len(placed), _PORTION):
            async with self._database.write() as session:
                await self._store(session, placed[start : start + _PORTION])
        self._done.failed = dict(sorted(self._done.failed.items()))
        return self._done

    async def _place(self, rows: Sequence[QuestionRow], kb_name: str) -> list[_Placed]:
        good = list(self._checked(rows))
        names = {row.kb_name or kb_name for row in good} - {""}
        async with self._database.read() as session:
            if kb_name:
                await own_kb(session, self._caller, kb_name)
            found = await kb_repository.find_kbs_named(session, self._caller.client_id, names)
        placed = []
        for row in good:
            name = row.kb_name or kb_name
            kb = found.get(name)
            if name and kb is None:
                self._done.failed[row.number] = KBNotFound(name)
            elif kb is not None and kb.client_id != self._caller.client_id:
                self._done.failed[row.number] = Forbidden(FOREIGN)
            else:
                placed.append(_Placed(row, kb.id if kb else None, name, question_key(row.query)))
        return placed

    def _checked(self, rows: Sequence[QuestionRow]) -> Iterator[QuestionRow]:
        for row in rows:
            try:
                _check_row(row)
            except Invalid as error:
                self._done.failed[row.number] = error
            else:
                yield row

    async def _store(self, session: AsyncSession, portion: Sequence[_Placed]) -> None:
        client_id = self._caller.client_id
        await repository.lock_own(session, client_id)
        there = await kb_repository.hold_kbs(session, {one.kb_id for one in portion if one.kb_id})
        known = await repository.find_own_by_keys(session, client_id, (one.key for one in portion))
        for one in portion:
            if one.kb_id is not None and one.kb_id not in there:  # deleted a moment ago
                self._done.failed[one.row.number] = KBNotFound(one.kb_name)
                continue
            place = (one.kb_id, one.key)
            if place in known:
                self._update(known[place], one.row)
            else:
                known[place] = self._new(one)
                session.add(known[place])
                self._done.created += 1

    def _new(self, one: _Placed) -> Question:
        return Question(
            kb_id=one.kb_id,
            client_id=None if one.kb_id else self._caller.client_id,
            query=one.row.query,
            answer=one.row.answer or None,
            created_at=self._clock.now(),
        )

    def _update(self, question: Question, row: QuestionRow) -> None:
        answer = question.answer if row.answer is None else row.answer or None
        if (question.query, question.answer) == (row.query, answer):
            self._done.unchanged += 1
            return
        question.query, question.answer = row.query, answer
        self._done.updated += 1


def _check_row(row: QuestionRow) -> None:
    if not row.query:
        raise Invalid(Text("缺少问题", "the question is missing"))
    if "\0" in f"{row.query}{row.answer}{row.kb_name}":
        raise Invalid(Text("不能有 NUL 字符", "NUL characters are not allowed"))
    for text, limit, zh, en in (
        (row.query, MAX_QUERY, "问题", "the question"),
        (row.answer or "", MAX_ANSWER, "答案", "the answer"),
    ):
        if len(text) > limit:
            raise Invalid(Text(f"{zh}超过 {limit} 个字符", f"{en} has more than {limit} characters"))
