"""Question sets, for the editors of their knowledge base. Somebody else's set does not exist."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import AlreadyExists, Conflict, NotFound
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.db.session import Database
from server.evaluation import repository, sheet
from server.evaluation.models import GoldQuestion, Origin, QuestionSet
from server.evaluation.question import NewQuestion
from server.kb.access import lock_own_kb, own_kb
from server.kb.csv_table import Imported
from server.kb.models import KnowledgeBase

MAX_SETS, MAX_QUESTIONS = 50, 2000
# Rows of one commit: a tenth of a second on SQLite, where everybody else waits for it.
_PORTION = 250


class SetNotFound(NotFound):
    code = "evaluation_set_not_found"

    def __init__(self) -> None:
        super().__init__(Text("未找到该问题集", "question set not found"))


class GoldNotFound(NotFound):
    code = "evaluation_question_not_found"

    def __init__(self) -> None:
        super().__init__(Text("问题集里没有这个问题", "the set has no such question"))


class QuestionSets:
    """Question sets of callers."""

    def __init__(self, database: Database, runtime: Runtime) -> None:
        self._database, self._lanes, self._clock = database, runtime.lanes, runtime.clock

    # ── sets ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create(self, caller: Principal, kb_name: str, name: str) -> QuestionSet:
        """Raises KBNotFound, Forbidden, AlreadyExists, Conflict."""
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, kb_name)
            if await repository.count_sets(session, kb.id) >= MAX_SETS:
                raise full(
                    Text(
                        f"一个知识库最多 {MAX_SETS} 个问题集", f"a knowledge base has at most {MAX_SETS} sets"
                    )
                )
            row = QuestionSet(id=new_id("es"), kb_id=kb.id, name=name, created_at=self._clock.now())
            if not await repository.add_set(session, row):
                raise _named_so(name)
        return row

    async def list_all(self, caller: Principal, kb_name: str) -> list[repository.Listed]:
        async with self._database.read() as session:
            return await repository.list_sets(session, (await own_kb(session, caller, kb_name)).id)

    async def get(self, caller: Principal, set_id: str) -> tuple[QuestionSet, KnowledgeBase]:
        """Raises SetNotFound."""
        async with self._database.read() as session:
            return await find_own(session, caller, set_id)

    async def find_named(self, caller: Principal, kb_name: str, name: str) -> QuestionSet:
        """Raises KBNotFound, SetNotFound."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, kb_name)
            found = await repository.find_set_named(session, kb.id, name)
        if found is None:
            raise SetNotFound
        return found

    async def rename(self, caller: Principal, set_id: str, name: str) -> None:
        async with self._database.write() as session:
            row = await lock_own(session, caller, set_id)
            if row.name != name and not await repository.rename_set(session, row, name):
                raise _named_so(name)

    async def delete(self, caller: Principal, set_id: str) -> None:
        """With its questions and its runs; one that goes on ends with its next question."""
        async with self._database.write() as session:
            await session.delete(await lock_own(session, caller, set_id))

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_questions(
        self, caller: Principal, set_id: str, words: str = "", *, offset: int = 0, limit: int | None = None
    ) -> tuple[list[GoldQuestion], int]:
        async with self._database.read() as session:
            row, _ = await find_own(session, caller, set_id)
            return await repository.list_questions(session, row.id, words, offset=offset, limit=limit)

    async def add(
        self,
        caller: Principal,
        set_id: str,
        given: NewQuestion,
        origin: Origin = Origin.WRITTEN,
        message_id: str | None = None,
    ) -> GoldQuestion:
        """Raises SetNotFound, Invalid, AlreadyExists, Conflict."""
        new = given.checked()
        async with self._database.write() as session:
            row = await lock_own(session, caller, set_id)
            await _refuse_twin(session, row.id, new)
            if await repository.count_questions(session, row.id) >= MAX_QUESTIONS:
                raise _full_set()
            question = self._new(row.id, new, origin)
            question.message_id = message_id
            session.add(question)
        return question

    async def change(
        self, caller: Principal, set_id: str, question_id: int, given: NewQuestion
    ) -> GoldQuestion:
        """Say it anew. Runs keep what they asked. Raises SetNotFound, GoldNotFound, Invalid, AlreadyExists."""
        new = given.checked()
        async with self._database.write() as session:
            row = await lock_own(session, caller, set_id)
            question = await repository.find_question(session, row.id, question_id)
            if question is None:
                raise GoldNotFound
            if question.question_key != new.key:
                await _refuse_twin(session, row.id, new)
            _fill(question, new)
        return question

    async def delete_questions(self, caller: Principal, set_id: str, ids: Sequence[int]) -> int:
        async with self._database.write() as session:
            row = await lock_own(session, caller, set_id)
            return await repository.delete_questions(session, row.id, ids)

    def _new(self, set_id: str, new: NewQuestion, origin: Origin) -> GoldQuestion:
        return GoldQuestion(set_id=set_id, origin=origin, created_at=self._clock.now(), **new.columns())

    # ── spreadsheets ──────────────────────────────────────────────────────────────────────────────────────────────

    async def import_csv(self, caller: Principal, set_id: str, data: bytes) -> Imported:
        """Add what is new, bring up to date what is there; rows that cannot be taken are told, and the others go on.

        Raises SetNotFound, Invalid.
        """
        await self.get(caller, set_id)
        good, failed = await self._lanes.run("io", sheet.read, data)
        done = Imported(failed=failed)
        for start in range(0, len(good), _PORTION):
            async with self._database.write() as session:
                row = await lock_own(session, caller, set_id)
                await self._store(session, row.id, good[start : start + _PORTION], done)
        done.failed = dict(sorted(done.failed.items()))
        return done

    async def _store(
        self, session: AsyncSession, set_id: str, portion: Sequence[tuple[int, NewQuestion]], done: Imported
    ) -> None:
        known = await repository.find_by_keys(session, set_id, {new.key for _, new in portion})
        room = MAX_QUESTIONS - await repository.count_questions(session, set_id)
        for number, new in portion:
            there = known.get(new.key)
            if there is None and room <= 0:
                done.failed[number] = _full_set()
            elif there is None:
                known[new.key] = self._new(set_id, new, Origin.IMPORTED)
                session.add(known[new.key])
                done.created, room = done.created + 1, room - 1
            elif all(getattr(there, name) == value for name, value in new.columns().items()):
                done.unchanged += 1
            else:
                _fill(there, new)
                done.updated += 1

    async def export_csv(self, caller: Principal, set_id: str) -> tuple[str, bytes]:
        """(name of the set, file)"""
        row, _ = await self.get(caller, set_id)
        questions, _ = await self.list_questions(caller, set_id)
        return row.name, await self._lanes.run("io", sheet.write, questions)


async def find_own(
    session: AsyncSession, caller: Principal, set_id: str
) -> tuple[QuestionSet, KnowledgeBase]:
    """Raises SetNotFound."""
    found = await repository.find_set(session, caller.client_id, set_id)
    if found is None:
        raise SetNotFound
    return found


async def lock_own(session: AsyncSession, caller: Principal, set_id: str) -> QuestionSet:
    """The same for whoever writes."""
    row, _ = await find_own(session, caller, set_id)
    locked = await repository.lock_set(session, row.id)
    if locked is None:  # deleted a moment ago
        raise SetNotFound
    return locked


async def _refuse_twin(session: AsyncSession, set_id: str, new: NewQuestion) -> None:
    twin = (await repository.find_by_keys(session, set_id, [new.key])).get(new.key)
    if twin is not None:
        raise AlreadyExists(
            Text(
                f"问题集里已有同样的问题（编号 {twin.id}）",
                f"the set has this question already (id {twin.id})",
            )
        )


def _fill(question: GoldQuestion, new: NewQuestion) -> None:
    for name, value in new.columns().items():
        setattr(question, name, value)


def _named_so(name: str) -> AlreadyExists:
    return AlreadyExists(Text(f"已存在同名问题集 {name}", f"question set {name} exists already"))


def full(text: Text) -> Conflict:
    return Conflict(text, code="evaluation_full")


def _full_set() -> Conflict:
    return full(
        Text(f"一个问题集最多 {MAX_QUESTIONS} 个问题", f"a set has at most {MAX_QUESTIONS} questions")
    )
