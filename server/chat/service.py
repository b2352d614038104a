"""A chat, from the question to the stored answer. Read `prepare` and `answer` and you have read the product."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.chat import history, repository
from server.chat.abandoned import LEASE, Abandoned
from server.chat.checking import judge
from server.chat.events import Cut, Event, Failed, Finished, Said, Started
from server.chat.history import Round
from server.chat.limits import Limits
from server.chat.models import Message, Session
from server.chat.preset import PresetModel
from server.chat.prompts import Mode
from server.chat.running import RunningAnswers, Stopped
from server.chat.steps import Means, Steps
from server.chat.storing import PAUSES, keep_trying
from server.chat.telling import Telling, first_stage
from server.chat.turn import Ask, Turn
from server.core.errors import (
    AnswerNotStored,
    AppError,
    CallerDisabled,
    Conflict,
    Deadlock,
    EmbeddingMismatch,
    EmbeddingUnavailable,
    ModelNotFound,
    Overtaken,
    SessionNotFound,
)
from server.core.i18n import Text
from server.core.ids import new_hex_id
from server.core.questions import check_length
from server.core.runtime import Runtime
from server.core.settings import ChatSettings
from server.db.session import Database
from server.kb.attachments import Attached, find_attached
from server.kb.models import KnowledgeBase, Question
from server.search.base import WebPage

log = logging.getLogger(__name__)

_SESSION_MODES: dict[Mode, str] = {
    "llm_chat": "LLM",
    "knowledge_base_chat": "Knowledge",
    "search_engine_chat": "SearchEngine",
    "agent_chat": "Agent",
}
# Where people ask what was recommended to them, and are given its preset answer.
_RECOMMENDED_IN = ("llm_chat", "knowledge_base_chat")
_INTERNAL = Text("服务器内部错误，请稍后再试", "internal error; try again later")
# Seconds that a reader waits to hear whether an answer is stored; proxies cut a silent stream after a minute.
_PATIENCE = 20.0
# Tries to store a question while others write to its session.
_TRIES = 5


class AlreadyAsked(Exception):
    """There is a message of this id."""


class ChatService:
    """Answers questions."""

    def __init__(
        self,
        database: Database,
        means: Means,
        runtime: Runtime,
        settings: ChatSettings,
        *,
        pauses: Sequence[float] = PAUSES,
        patience: float = _PATIENCE,
    ) -> None:
        """`pauses`: seconds between the tries to store an answer; `patience`: how many of them a reader waits."""
        self.means, self._steps = means, Steps(means)
        self._database, self._kb = database, means.kb
        self._lanes, self._clock, self._tasks = runtime.lanes, runtime.clock, runtime.tasks
        self._settings, self._pauses, self._patience = settings, pauses, patience
        self.running = RunningAnswers(database)
        self.limits = Limits(self.running, settings)
        self.abandoned = Abandoned(database, runtime, self.running, settings.max_answer_time)

    async def prepare(self, caller: Principal, ask: Ask) -> Turn:
        """Check everything that can be refused, and store the question. Nothing has been sent yet.

        Raises Invalid, ModelNotFound, PromptNotFound, KBNotFound, EmbeddingUnavailable, SessionNotFound,
        SearchEngineNotFound, SearchEngineNotReady, UpstreamError (of a search engine); for a detached answer AlreadyAsked,
        Conflict.
        """
        check_length(ask.query, self._settings.max_query_chars)
        model = self.means.gateway.get(ask.model_name)
        await self._lanes.run("io", self.means.prompts.check, ask.mode, ask.prompt_name)
        kb, others = None, []
        if ask.mode == "knowledge_base_chat":
            kb = await self._kb.get(caller, ask.knowledge_base_name)
            others = await self._kb.find_others(caller, kb, ask.other_knowledge_bases)
        recommended = None
        if ask.mode in _RECOMMENDED_IN:
            recommended = await self._kb.questions.find_asked(caller, kb, ask.query)
        if recommended is not None and recommended.answer:
            model = PresetModel(recommended.answer)
        elif kb is not None:
            await self._kb.check_searchable(kb)
        attached = await self._attached(caller, ask)
        rounds = await self._rounds(caller, ask)
        pages = await self._search_web(caller, ask) if ask.mode == "search_engine_chat" else None
        told = await self._store_question(caller, ask, model.name, kb, recommended)
        return Turn(
            caller, ask, told.message_id, model, kb, others, attached, pages, rounds, self._clock.now(), told
        )

    async def _attached(self, caller: Principal, ask: Ask) -> Attached | None:
        """The files of the conversation. Raises SessionNotFound."""
        if ask.mode == "search_engine_chat" or not (ask.session_id or ask.message_id):
            return None
        async with self._database.read() as session:
            found, message = await _find_own(session, caller, ask)
            session_id = message.session_id if message is not None else found.id if found else None
            attached = await find_attached(session, session_id) if session_id else None
        if attached is None or not attached.is_ready:
            return attached
        try:
            await self._kb.check_searchable(attached.kb)
        except (EmbeddingUnavailable, EmbeddingMismatch, ModelNotFound) as error:
            log.warning(
                "attached files cannot be searched", extra={"kb": attached.kb.id, "reason": error.code}
            )
            return attached.without_search()
        return attached

    async def _search_web(self, caller: Principal, ask: Ask) -> list[WebPage]:
        """Before anything is stored or sent: an engine that fails is a refusal like any other."""
        async with self._database.read() as session:
            await _find_own(session, caller, ask)
        return await self.means.web.find(ask.search_engine_name, ask.query, ask.top_k, split=ask.split_result)

    async def answer(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """Answer step by step. Ends with Finished or Failed; whatever happens, what was said is stored."""
        last: Event
        try:
            yield Started(turn.message_id)
            async with aclosing(
                self.limits.hold(turn.caller, turn.model.name, self._steps.of(turn), turn.message_id)
            ) as events:
                async for event in events:
                    turn.told.take(event)
                    yield event
            await self.check(turn)
            turn.told.state, last = "done", Finished(turn.message_id, turn.told.outcome, turn.told.checks)
        except Stopped:
            last = Cut(turn.message_id)
        except CallerDisabled as error:
            turn.told.fail(error)
            last = Failed(error)  # kept as an answer whose reader went away
        except AppError as error:
            last = self._fail(turn, error)
        except Exception:
            # The edge of a stream: the status line is gone, so a fault becomes an event here and a trace in the log.
            log.exception("answer failed", extra={"message_id": turn.message_id})
            last = self._fail(turn, AppError(_INTERNAL))
        finally:
            if turn.told.state == "writing":
                turn.told.state = "cut"
            # Also when the reader has gone: then this frame is being torn down, and the task lives on.
            stored = self._tasks.start(
                keep_trying(lambda: self._store_answer(turn), self._tasks, self._pauses)
            )
        if isinstance(last, Finished):
            yield Said()
        # The task goes on when the reader is told.
        await asyncio.wait({stored}, timeout=self._patience)
        if isinstance(last, Finished) and (not stored.done() or stored.exception() is not None):
            last = Failed(AnswerNotStored())
        yield last

    async def check(self, turn: Turn) -> None:
        """Whether what was said is in the sources. What an editor wrote has none."""
        told = turn.told
        if told.outcome == "not_found" or not told.sources or isinstance(turn.model, PresetModel):
            return
        passages = {source["number"]: source.get("read") or source["text"] for source in told.sources}
        refusal = self.means.refusal
        told.outcome, checks = await self._lanes.run(
            "io",
            judge,
            str(told.text),
            passages,
            f"{told.query}\n{turn.question}",
            (refusal.zh, refusal.en),
        )
        told.checks = [check.to_json() for check in checks]
        told.changes += 1

    # ── storing ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _rounds(self, caller: Principal, ask: Ask) -> list[Round]:
        """The conversation so far: what the request brings, or else what its session holds."""
        limit = self._settings.history_rounds
        if ask.history_count is not None:
            limit = min(limit, ask.history_count)
        if ask.history is not None:
            return await self._lanes.run("io", history.to_rounds, ask.history, limit) if ask.history else []
        if ask.session_id is None or limit == 0:
            return []
        async with self._database.read() as session:
            return await repository.recall(session, caller, ask.session_id, limit, before=ask.message_id)

    async def _store_question(
        self, caller: Principal, ask: Ask, model: str, kb: KnowledgeBase | None, recommended: Question | None
    ) -> Telling:
        """Keep the question, in its session if it names one. Someone else's session or message does not exist."""
        for _ in range(_TRIES):
            # From the beginning: on MariaDB, whoever found the row taken would hold a lock on it.
            with suppress(Overtaken, Deadlock):
                return await self._try_to_store_question(caller, ask, model, kb, recommended)
        raise Conflict(
            Text("这个会话正被反复改动，请稍后再试", "this session is being changed all the time; try again")
        )

    async def _try_to_store_question(
        self, caller: Principal, ask: Ask, model: str, kb: KnowledgeBase | None, recommended: Question | None
    ) -> Telling:
        now = self._clock.now()
        async with self._database.write() as session:
            found, message = await _lock_own(session, caller, ask)
            # A message that there is stays in its session: a new one would be empty.
            if ask.session_id is not None and found is None and message is None:
                if not ask.session_is_new:
                    raise SessionNotFound
                fresh = self._new_session(caller, ask, ask.session_id)
                if not await repository.add_session(session, fresh):
                    raise Overtaken
            if message is None:
                message = self._new_message(caller, ask, model)
                message.kb_id = kb.id if kb else None
                message.position = await repository.next_position(session, ask.session_id)
                if not await repository.add_message(session, message):
                    raise Overtaken
                if recommended is not None:
                    await self._kb.questions.count_tap(session, recommended)
            else:
                if ask.detached:
                    _clear_answer(message, ask, now)
                    message.kb_id, message.chat_type = kb.id if kb else None, ask.mode
                message.attempt += 1
            message.state, message.error_code, message.stop_wanted = "writing", None, False
            message.writing_until = now + (LEASE if ask.detached else self._settings.max_answer_time)
            # What was said of an earlier answer is not said of the next.
            message.feedback_score, message.feedback_reason, message.feedback_at = None, "", None
        return Telling(message.id, message.query, message.session_id, message.attempt, first_stage(ask.mode))

    def _new_session(self, caller: Principal, ask: Ask, session_id: str) -> Session:
        return Session(
            id=session_id,
            client_id=caller.client_id,
            user_id=caller.user_id,
            name=ask.query.strip()[:20],
            mode=_SESSION_MODES[ask.mode],
            param=_page_param(ask),
            created_at=self._clock.now(),
        )

    def _new_message(self, caller: Principal, ask: Ask, model: str) -> Message:
        return Message(
            id=ask.message_id or new_hex_id(),
            client_id=caller.client_id,
            user_id=caller.user_id,
            session_id=ask.session_id,
            chat_type=ask.mode,
            model=model,
            query=ask.query,
            response="",
            docs=[],
            trace={},
            attempt=1,
            created_at=self._clock.now(),
        )

    async def _store_answer(self, turn: Turn) -> None:
        told = turn.told
        is_done = told.state == "done"
        values: dict[str, Any] = {
            "response": str(told.text),
            "docs": turn.docs,
            "trace": turn.trace,
            "model": turn.model.name,
            "state": told.state,
            "error_code": told.error["code"] if told.error and told.state == "failed" else None,
            "sources": told.sources,
            "progress": told.progress,
            "outcome": told.outcome if is_done else None,
            "follow_ups": told.follow_ups if is_done else None,
            "writing_until": None,
        }
        async with self._database.write() as session:
            await repository.store_answer(session, turn.message_id, told.attempt, values)
        seconds = round((self._clock.now() - turn.started_at).total_seconds(), 2)
        fields = {
            "message_id": turn.message_id,
            "model": turn.model.name,
            "state": told.state,
            "seconds": seconds,
        }
        log.info("answered", extra=fields | {"chars": len(values["response"]), "hits": len(turn.docs)})

    def _fail(self, turn: Turn, error: AppError) -> Failed:
        turn.told.state = "failed"
        turn.told.fail(error)
        return Failed(error)


def _page_param(ask: Ask) -> dict[str, Any]:
    """What a page would have saved with this session: it takes up the conversation with these."""
    count = 5 if ask.history_count is None else ask.history_count
    param: dict[str, Any] = {"stream": True, "temperature": ask.temperature, "max_tokens": ask.max_tokens}
    param |= {"prompt_name": ask.prompt_name, "history_count": count, "top_k": ask.top_k}
    param["knowledge_base_name"] = ask.knowledge_base_name
    if ask.other_knowledge_bases:
        param["other_knowledge_bases"] = list(ask.other_knowledge_bases)
    if ask.score_threshold is not None:
        param["score_threshold"] = ask.score_threshold
    return param if ask.model_name is None else param | {"model_name": ask.model_name}


def _clear_answer(message: Message, ask: Ask, now: datetime) -> None:
    """Make room for another answer to a question. Raises AlreadyAsked, Conflict."""
    if not ask.again:
        raise AlreadyAsked
    if message.state == "writing" and message.writing_until is not None and message.writing_until > now:
        raise Conflict(
            Text("这个回答还没有写完", "this answer is still being written"), code="answer_running"
        )
    message.response, message.docs, message.trace = "", [], {}
    message.sources = message.progress = message.outcome = message.follow_ups = None


async def _find_own(
    session: AsyncSession, caller: Principal, ask: Ask
) -> tuple[Session | None, Message | None]:
    """The session and the message that a question names, as far as there are any. Raises SessionNotFound."""
    found = await repository.find_session(session, ask.session_id) if ask.session_id else None
    message = await repository.find_message(session, ask.message_id) if ask.message_id else None
    _check_owners(caller, found, message)
    return found, message


async def _lock_own(
    session: AsyncSession, caller: Principal, ask: Ask
) -> tuple[Session | None, Message | None]:
    """The session and the message that a question names, as far as there are any, until the end of the transaction.

    Raises SessionNotFound.
    """
    found = await repository.lock_session(session, ask.session_id) if ask.session_id else None
    message = await repository.lock_message(session, ask.message_id) if ask.message_id else None
    _check_owners(caller, found, message)
    return found, message


def _check_owners(caller: Principal, *rows: Session | Message | None) -> None:
    for row in rows:
        if row is not None and (row.client_id, row.user_id) != (caller.client_id, caller.user_id):
            raise SessionNotFound
