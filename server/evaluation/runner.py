"""Does the runs, one at a time, in the worker process. Everything it knows is in the database: it may be killed at any moment,
and whoever takes the run up goes on with the questions that are left."""

import asyncio
import logging
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal, Scope
from server.core.clock import Clock
from server.core.errors import AppError, Busy, Overtaken
from server.core.i18n import Text
from server.core.settings import Settings
from server.core.threads import Lanes
from server.db.session import PASSING_FAULTS, Database
from server.evaluation import run_repository
from server.evaluation.asking import Asking
from server.evaluation.conditions import describe
from server.evaluation.gold import Asked
from server.evaluation.models import Result, Run, RunState
from server.evaluation.summary import summarise
from server.evaluation.wish import Wish
from server.kb.models import KnowledgeBase
from server.kb.style import Style

log = logging.getLogger(__name__)

# Questions between two commits; of a language model, which is waited for, so many at the same time.
_AT_ONCE, _ANSWERS_AT_ONCE = 10, 4
# Answers that fail in a row before the model is given up.
_PATIENCE = 8
_BACKOFF = timedelta(seconds=5)

Measured = tuple[int, dict[str, Any]]


class _RunLost(Exception):
    """It was cancelled or deleted, or another worker has it."""


class Runner:
    """Takes runs that wait."""

    def __init__(
        self, database: Database, asking: Asking, settings: Settings, clock: Clock, lanes: Lanes
    ) -> None:
        self._database, self._asking = database, asking
        self._settings = settings.ingest
        self._retrieval, self._rerank = settings.retrieval, settings.rerank
        self._clock, self._lanes = clock, lanes
        self.owner = f"{socket.gethostname()[:40]}:{os.getpid()}"

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                worked = await self.step()
            except (*PASSING_FAULTS, OSError):
                log.exception("evaluation cannot reach the database")
                worked = False
            if not worked:
                await asyncio.sleep(2 * self._settings.poll.total_seconds())

    async def run_until_idle(self) -> None:
        """Work until nothing waits; for tests."""
        while await self.step():
            pass

    async def step(self, run_id: str | None = None) -> bool:
        """Take one run, `run_id` if given, and bring it to an end; False when there is none to take."""
        now = self._clock.now()
        async with self._database.read() as session:  # most of the time, and nobody waits for it
            if not await run_repository.is_any_free(session, now):
                return False
        await self._give_up_abandoned()
        async with self._database.write() as session:
            run = await run_repository.claim(
                session, self.owner, now, now + self._settings.lease, self._settings.attempts, run_id
            )
        if run is None:
            return False
        heartbeat = asyncio.create_task(self._keep_lease(run))
        try:
            await self._go_through(run)
        except _RunLost:
            log.info("evaluation was taken away", extra={"run": run.id})
        except Exception as error:  # noqa: BLE001 (whatever becomes of a run, the next one gets its turn)
            await self._fail(run, error)
        finally:
            heartbeat.cancel()
        return True

    async def _go_through(self, run: Run) -> None:
        async with self._database.read() as session:
            kb = await self._kb_of(session, run)
        await self._note_conditions(run, kb)
        wish = Wish.from_json(run.wish)
        caller = Principal(
            kb.client_id, run.asked_by, "", frozenset({Scope.CHAT, Scope.KB_READ, Scope.KB_WRITE})
        )
        failures = 0
        while True:
            async with self._database.read() as session:
                kb = await self._kb_of(session, run)
                size = _ANSWERS_AT_ONCE if wish.costs else _AT_ONCE
                pending = await run_repository.list_pending(session, run.id, size)
            if not pending:
                break
            measured = await self._measure(pending, kb, caller, wish)
            await self._store(run, measured)
            for _, values in measured:
                failures = failures + 1 if values.get("outcome") == "failed" else 0
                if failures >= _PATIENCE:
                    raise _given_up(str(values["error_code"]))
        await self._finish(run, kb)

    async def _kb_of(self, session: AsyncSession, run: Run) -> KnowledgeBase:
        kb = await run_repository.find_kb_of(session, run)
        if kb is None:
            raise _RunLost
        # Of this process alone: nothing of it is stored.
        session.expunge(kb)
        kb.retrieval = (kb.retrieval or {}) | Wish.from_json(run.wish).retrieval
        return kb

    async def _note_conditions(self, run: Run, kb: KnowledgeBase) -> None:
        """Once: whoever takes it up again goes on under the first ones, and the end tells whether they changed."""
        if run.conditions is None:
            run.conditions = await self._conditions(run, kb)
            await self._update(run, {"conditions": run.conditions})

    async def _conditions(self, run: Run, kb: KnowledgeBase) -> dict[str, Any]:
        async with self._database.read() as session:
            cuts = await run_repository.list_cuts(session, kb.id)
        return describe(kb, cuts, Style.of(self._retrieval, self._rerank, kb), Wish.from_json(run.wish))

    async def _measure(
        self, pending: Sequence[Result], kb: KnowledgeBase, caller: Principal, wish: Wish
    ) -> list[Measured]:
        async def one(row: Result) -> Measured:
            values = await self._asking.measure(kb, caller, wish, Asked.from_json(row.asked))
            return row.number, values | {"measured_at": self._clock.now()}

        if not wish.costs:
            return [await one(row) for row in pending]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(row)) for row in pending]
        return [task.result() for task in tasks]

    async def _store(self, run: Run, measured: Sequence[Measured]) -> None:
        run.done += len(measured)
        values = {
            "done": run.done,
            # It moved forward: whatever ended it before was passing.
            "attempts": 1,
            "lease_until": self._clock.now() + self._settings.lease,
        }
        async with self._database.write() as session:
            if not await run_repository.update_held(session, run.id, self.owner, values):
                raise _RunLost
            await run_repository.store_results(session, run.id, measured)

    async def _finish(self, run: Run, kb: KnowledgeBase) -> None:
        async with self._database.read() as session:
            results, _ = await run_repository.list_results(session, run.id, slim=True)
        summary = await self._lanes.run("io", summarise, results)
        summary["moved"] = run.conditions != await self._conditions(run, kb)
        ended = {"state": RunState.DONE, "lease_owner": None, "lease_until": None}
        await self._update(run, ended | {"summary": summary, "finished_at": self._clock.now()})
        log.info("evaluation done", extra={"run": run.id, "questions": run.done})

    async def _update(self, run: Run, values: dict[str, Any]) -> None:
        async with self._database.write() as session:
            if not await run_repository.update_held(session, run.id, self.owner, values):
                raise _RunLost

    async def _keep_lease(self, run: Run) -> None:
        """Signs of life while an answer takes its time."""
        while True:
            await asyncio.sleep(self._settings.lease.total_seconds() / 3)
            try:
                await self._update(run, {"lease_until": self._clock.now() + self._settings.lease})
            except _RunLost:
                return
            except PASSING_FAULTS:
                log.warning("lease not renewed", extra={"run": run.id}, exc_info=True)

    async def _fail(self, run: Run, error: Exception) -> None:
        error = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
        code, text, passing = _classify(error)
        log.warning(
            "evaluation failed", exc_info=None if code else error, extra={"run": run.id, "code": code}
        )
        now = self._clock.now()
        values: dict[str, Any] = {"lease_owner": None, "lease_until": now + _BACKOFF * run.attempts}
        values["state"] = RunState.QUEUED
        if not passing or run.attempts >= self._settings.attempts:
            values = {"state": RunState.FAILED, "lease_owner": None, "lease_until": None, "finished_at": now}
            values |= {"error_code": code or "internal_error", "error_text": text.to_json()}
        async with self._database.write() as session:
            await run_repository.update_held(session, run.id, self.owner, values)

    async def _give_up_abandoned(self) -> None:
        """A run that took its worker down again and again at the same questions is not tried for ever."""
        now, attempts = self._clock.now(), self._settings.attempts
        async with self._database.write() as session:
            for run in await run_repository.list_abandoned(session, now, attempts):
                run.state, run.finished_at = RunState.FAILED, now
                run.lease_owner = run.lease_until = None
                run.error_code, run.error_text = "worker_died", _WORKER_DIED.to_json()


_WORKER_DIED = Text(
    "评测时后台进程多次中断，请联系管理员", "the worker died on this run every time; ask your operator"
)
_INTERNAL = Text(
    "评测时发生内部错误，请联系管理员查看日志", "an internal error; your operator finds it in the log"
)


def _given_up(code: str) -> AppError:
    return AppError(
        Text(
            f"连续 {_PATIENCE} 个回答失败（{code}），评测到此为止",
            f"{_PATIENCE} answers in a row failed ({code}); the run ends here",
        ),
        code=code,
    )


def _classify(error: Exception) -> tuple[str, Text, bool]:
    """Code (empty: nobody expected it) and words for people, and whether another try may help."""
    if isinstance(error, (Busy, Overtaken)):
        return error.code, error.text, True
    if isinstance(error, AppError):
        return error.code, error.text, False
    return "", _INTERNAL, True
