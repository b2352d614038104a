"""Runs over question sets: begun and looked at here, done by the worker (`runner.py`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.chat.service import ChatService
from server.core.errors import Conflict, Invalid, NotFound, TooManyRequests
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.db.session import Database
from server.evaluation import repository, run_repository
from server.evaluation.badness import badness
from server.evaluation.comparison import compare, pair
from server.evaluation.gold import Asked
from server.evaluation.models import GoldQuestion, Result, Run, RunState
from server.evaluation.run_repository import Of
from server.evaluation.service import find_own, full, lock_own
from server.evaluation.wish import Wish

MAX_RUNS, MAX_OPEN = 100, 20
# Of the prompt around passages, and of an answer, in tokens; a Chinese character is about one.
_PROMPT, _ANSWER = 300, 300


class RunNotFound(NotFound):
    code = "evaluation_run_not_found"

    def __init__(self) -> None:
        super().__init__(Text("未找到该评测", "evaluation run not found"))


@dataclass(frozen=True, slots=True)
class Cost:
    """What the answers of a run will take about, in calls of the model and tokens."""

    calls: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Comparison:
    base: Of
    other: Of
    told: dict[str, Any]


class Runs:
    """Runs of callers."""

    def __init__(self, database: Database, chat: ChatService, runtime: Runtime) -> None:
        self._database, self._chat = database, chat
        self._lanes, self._clock = runtime.lanes, runtime.clock

    async def start(
        self, caller: Principal, set_id: str, wish: Wish, name: str = "", *, accept_cost: bool = False
    ) -> Run:
        """Queue a run over the questions as they stand now.

        Raises SetNotFound, Invalid (no question), ModelNotFound, PromptNotFound, TooManyRequests; Conflict
        `cost_not_accepted`, with the cost in `data`, unless it is accepted that a language model works for it.
        """
        await self._check(wish)
        async with self._database.read() as session:
            row, kb = await find_own(session, caller, set_id)
            questions, _ = await repository.list_questions(session, row.id)
            cuts = await run_repository.list_cuts(session, kb.id)
        chosen = [one for one in questions if not wish.tags or set(wish.tags) & set(one.tags)]
        if not chosen:
            raise Invalid(Text("没有可评测的问题", "there is no question to ask"), code="nothing_to_evaluate")
        if wish.costs and not accept_cost:
            raise _costs(wish, _estimate(wish, chosen, [chunking for chunking, _ in cuts]))
        run = Run(
            id=new_id("er"),
            set_id=row.id,
            name=name,
            asked_by=caller.user_id,
            wish=wish.to_json(),
            state=RunState.QUEUED,
            total=len(chosen),
            created_at=self._clock.now(),
        )
        async with self._database.write() as session:
            await lock_own(session, caller, set_id)
            await _check_room(session, caller, run.set_id)
            session.add(run)
            await session.flush()
            await repository.add_rows(
                session, Result, [_result(run.id, *one) for one in enumerate(chosen, start=1)]
            )
        return run

    async def _check(self, wish: Wish) -> None:
        if wish.model is not None:
            self._chat.means.gateway.get(wish.model)
            await self._lanes.run("io", self._chat.means.prompts.check, "knowledge_base_chat", wish.prompt)

    async def list_all(
        self, caller: Principal, set_id: str, *, offset: int, limit: int
    ) -> tuple[list[Run], int]:
        async with self._database.read() as session:
            row, _ = await find_own(session, caller, set_id)
            return await run_repository.list_runs(session, row.id, offset=offset, limit=limit)

    async def get(self, caller: Principal, run_id: str) -> Of:
        """Raises RunNotFound."""
        async with self._database.read() as session:
            found = await run_repository.find_run(session, caller.client_id, run_id)
        if found is None:
            raise RunNotFound
        return found

    async def results(
        self,
        caller: Principal,
        run_id: str,
        *,
        only: str = "",
        offset: int = 0,
        limit: int | None = None,
        slim: bool = False,
    ) -> tuple[list[Result], int]:
        """What is measured so far."""
        run, _, _ = await self.get(caller, run_id)
        async with self._database.read() as session:
            return await run_repository.list_results(
                session, run.id, only=only, offset=offset, limit=limit, slim=slim
            )

    async def worst(
        self, caller: Principal, run_id: str, *, only: str = "", offset: int, limit: int
    ) -> tuple[list[Result], int]:
        """The same, the worst first; among equals, in the order of the set."""
        rows, total = await self.results(caller, run_id, only=only, slim=True)
        numbers = await self._lanes.run("io", _worst_first, rows)
        chosen = numbers[offset : offset + limit]
        async with self._database.read() as session:
            found = await run_repository.load_results(session, run_id, chosen)
        return [found[number] for number in chosen if number in found], total

    async def cancel(self, caller: Principal, run_id: str) -> Run:
        """What is measured stays. One that has ended stays as it is."""
        async with self._database.write() as session:
            run = await self._lock(session, caller, run_id)
            if not run.is_over:
                run.state, run.finished_at = RunState.CANCELLED, self._clock.now()
                run.lease_owner = run.lease_until = None
        return run

    async def delete(self, caller: Principal, run_id: str) -> None:
        async with self._database.write() as session:
            run = await self._lock(session, caller, run_id)
            await run_repository.delete_run(session, run.id)

    async def _lock(self, session: AsyncSession, caller: Principal, run_id: str) -> Run:
        found = await run_repository.find_run(session, caller.client_id, run_id, lock=True)
        if found is None:
            raise RunNotFound
        return found[0]

    async def compare(self, caller: Principal, base_id: str, other_id: str) -> Comparison:
        """`other` against `base`, question by question. Raises RunNotFound, Invalid when they are of two sets or not done."""
        base, other = await self.get(caller, base_id), await self.get(caller, other_id)
        if base[0].set_id != other[0].set_id:
            raise Invalid(Text("只能比较同一问题集的两次评测", "only runs over one set can be compared"))
        for run, _, _ in (base, other):
            if run.state != RunState.DONE:
                raise Invalid(Text("评测还没有完成，不能比较", "a run that is not done cannot be compared"))
        before, _ = await self.results(caller, base_id, slim=True)
        after, _ = await self.results(caller, other_id, slim=True)
        told = await self._lanes.run("io", _compare, before, after, base[0], other[0])
        return Comparison(base, other, told)


async def _check_room(session: AsyncSession, caller: Principal, set_id: str) -> None:
    if await run_repository.count_runs(session, set_id) >= MAX_RUNS:
        raise full(
            Text(
                f"一个问题集最多保留 {MAX_RUNS} 次评测，请先删除不用的",
                f"a set keeps at most {MAX_RUNS} runs; delete some first",
            )
        )
    if await run_repository.count_open(session, caller.client_id) >= MAX_OPEN:
        raise TooManyRequests(
            Text("排队的评测太多，请等它们完成", "too many runs are waiting; let them end first"),
            retry_after=60,
        )


def _worst_first(rows: Sequence[Result]) -> list[int]:
    return [row.number for row in sorted(rows, key=lambda row: (-badness(row), row.number))]


def _compare(before: Sequence[Result], after: Sequence[Result], base: Run, other: Run) -> dict[str, Any]:
    return compare(pair(before, after), base.conditions or {}, other.conditions or {})


def _result(run_id: str, number: int, question: GoldQuestion) -> dict[str, Any]:
    asked = _asked_of(question).to_json()
    return {"run_id": run_id, "number": number, "question_id": question.id, "asked": asked}


def _estimate(wish: Wish, questions: Sequence[GoldQuestion], cuts: Sequence[dict[str, Any]]) -> Cost:
    sizes = [int(chunking.get("chunk_size", 250)) for chunking in cuts] or [250]
    passages = wish.top_k * sum(sizes) // len(sizes)
    prompts = sum(len(one.question) + passages + _PROMPT for one in questions)
    return Cost(len(questions), prompts, _ANSWER * len(questions))


def _costs(wish: Wish, cost: Cost) -> Conflict:
    tokens = cost.prompt_tokens + cost.completion_tokens
    error = Conflict(
        Text(
            f"模型 {wish.model} 会被调用 {cost.calls} 次，约 {tokens} 个 token；确认后带上 accept_cost（命令行：--accept-cost）再开始",
            f"{wish.model} will be called {cost.calls} times, for about {tokens} tokens; begin again with accept_cost (--accept-cost)",
        ),
        code="cost_not_accepted",
    )
    error.data = {
        "calls": cost.calls,
        "prompt_tokens": cost.prompt_tokens,
        "completion_tokens": cost.completion_tokens,
    }
    return error


def _asked_of(row: GoldQuestion) -> Asked:
    """As a run keeps it."""
    return Asked(
        row.question,
        row.gold_answer,
        tuple(row.gold_files),
        row.gold_passage,
        row.answerable,
        tuple(row.tags),
    )
