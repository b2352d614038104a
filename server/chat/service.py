"""A chat, from the question to the stored answer. Read `prepare` and `answer` and you have read the product."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.chat import history, repository
from server.chat.events import Event, Failed, FinalAnswer, Finished, Said, Started, TextDelta
from server.chat.history import Round
from server.chat.limits import Limits
from server.chat.models import Message, Session
from server.chat.preset import PresetModel
from server.chat.prompts import Mode
from server.chat.running import RunningAnswers
from server.chat.steps import Means, Steps
from server.chat.storing import PAUSES, keep_trying
from server.chat.turn import Ask, Turn
from server.core.errors import AnswerNotStored, AppError, CallerDisabled, Conflict, Deadlock, SessionNotFound
from server.core.i18n import Text
from server.core.ids import new_hex_id
from server.core.questions import check_length
from server.core.runtime import Runtime
from server.core.settings import ChatSettings
from server.db.session import Database
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


class _Overtaken(Exception):
    """Another request has just inserted or deleted what this one needs."""


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

    async def prepare(self, caller: Principal, ask: Ask) -> Turn:
        """Check everything that can be refused, and store the question. Nothing has been sent yet.

        Raises Invalid, ModelNotFound, PromptNotFound, KBNotFound, EmbeddingUnavailable, SessionNotFound,
        SearchEngineNotFound, SearchEngineNotReady, UpstreamError (of a search engine).
        """
        check_length(ask.query, self._settings.max_query_chars)
        model = self.means.gateway.get(ask.model_name)
        await self._lanes.run("io", self.means.prompts.check, ask.mode, ask.prompt_name)
        kb = None
        if ask.mode == "knowledge_base_chat":
            kb = await self._kb.get(caller, ask.knowledge_base_name)
        recommended = None
        if ask.mode in _RECOMMENDED_IN:
            recommended = await self._kb.questions.find_asked(caller, kb, ask.query)
        if recommended is not None and recommended.answer:
            model = PresetModel(recommended.answer)
        elif kb is not None:
            await self._kb.check_searchable(kb)
        rounds = await self._rounds(caller, ask)
        pages = await self._search_web(caller, ask) if ask.mode == "search_engine_chat" else None
        message_id = await self._store_question(caller, ask, model.name, kb, recommended)
        return Turn(caller, ask, message_id, model, kb, pages, rounds, self._clock.now())

    async def _search_web(self, caller: Principal, ask: Ask) -> list[WebPage]:
        """Before anything is stored or sent: an engine that fails is a refusal like any other."""
        async with self._database.read() as session:
            await _check_own(session, caller, ask)
        return await self.means.web.find(ask.search_engine_name, ask.query, ask.top_k, split=ask.split_result)

    async def answer(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """Answer step by step. Ends with Finished or Failed; whatever happens, what was said is stored."""
        last: Event
        try:
            yield Started(turn.message_id)
            async with aclosing(
                self.limits.hold(turn.caller, turn.model.name, self._steps.of(turn))
            ) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        turn.reply.append(event.text)
                    elif isinstance(event, FinalAnswer):
                        turn.reply = [event.text]
                    yield event
            turn.state, last = "done", Finished(turn.message_id)
        except CallerDisabled as error:
            last = Failed(error)  # kept as an answer whose reader went away
        except AppError as error:
            last = self._fail(turn, error)
        except Exception:
            # The edge of a stream: the status line is gone, so a fault becomes an event here and a trace in the log.
            log.exception("answer failed", extra={"message_id": turn.message_id})
            last = self._fail(turn, AppError(_INTERNAL))
        finally:
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

    async def watch_abandoned(self) -> None:
        """Look for abandoned answers now, when another process may have died, and again and again, until cancelled."""
        while True:
            # A task of its own: what is being committed is not broken off, and what fails is logged there.
            await asyncio.wait({self._tasks.start(self._close_abandoned())})
            await asyncio.sleep(self._settings.max_answer_time.total_seconds())

    async def _close_abandoned(self) -> None:
        """Mark as cut what is being written for longer than an answer may take: its process was killed, or could not
        store it.

        Should one be written after all, by another process, it is stored over this.
        """
        before = self._clock.now() - self._settings.max_answer_time
        async with self._database.read() as session:
            abandoned = await repository.unfinished_messages(session, before)
        for message_id in abandoned:
            async with self._database.write() as session:
                await repository.cut_message(session, message_id)
            log.warning("answer was abandoned", extra={"message_id": message_id})

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
    ) -> str:
        """Keep the question, in its session if it names one. Someone else's session or message does not exist."""
        for _ in range(_TRIES):
            # From the beginning: on MariaDB, whoever found the row taken would hold a lock on it.
            with suppress(_Overtaken, Deadlock):
                return await self._try_to_store_question(caller, ask, model, kb, recommended)
        raise Conflict(
            Text("这个会话正被反复改动，请稍后再试", "this session is being changed all the time; try again")
        )

    async def _try_to_store_question(
        self, caller: Principal, ask: Ask, model: str, kb: KnowledgeBase | None, recommended: Question | None
    ) -> str:
        async with self._database.write() as session:
            found, message = await _lock_own(session, caller, ask)
            # A message that there is stays in its session: a new one would be empty.
            if ask.session_id is not None and found is None and message is None:
                fresh = self._new_session(caller, ask, ask.session_id)
                if not await repository.add_session(session, fresh):
                    raise _Overtaken
            if message is None:
                message = self._new_message(caller, ask, model)
                message.kb_id = kb.id if kb else None
                message.position = await repository.next_position(session, ask.session_id)
                if not await repository.add_message(session, message):
                    raise _Overtaken
                if recommended is not None:
                    await self._kb.questions.count_tap(session, recommended)
            message.state, message.error_code = "writing", None
            # What was said of an earlier answer is not said of the next.
            message.feedback_score, message.feedback_reason, message.feedback_at = None, "", None
        return message.id

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
            created_at=self._clock.now(),
        )

    async def _store_answer(self, turn: Turn) -> None:
        values: dict[str, Any] = {
            "response": "".join(turn.reply),
            "docs": turn.docs,
            "trace": turn.trace,
            "model": turn.model.name,
            "state": turn.state,
            "error_code": turn.error_code,
        }
        async with self._database.write() as session:
            await repository.update_message(session, turn.message_id, values)
        seconds = round((self._clock.now() - turn.started_at).total_seconds(), 2)
        fields = {
            "message_id": turn.message_id,
            "model": turn.model.name,
            "state": turn.state,
            "seconds": seconds,
        }
        log.info("answered", extra=fields | {"chars": len(values["response"]), "hits": len(turn.docs)})

    def _fail(self, turn: Turn, error: AppError) -> Failed:
        turn.state, turn.error_code = "failed", error.code
        return Failed(error)


def _page_param(ask: Ask) -> dict[str, Any]:
    """What a page would have saved with this session: it takes up the conversation with these."""
    count = 5 if ask.history_count is None else ask.history_count
    param: dict[str, Any] = {"stream": True, "temperature": ask.temperature, "max_tokens": ask.max_tokens}
    param |= {"prompt_name": ask.prompt_name, "history_count": count, "top_k": ask.top_k}
    param |= {"knowledge_base_name": ask.knowledge_base_name, "score_threshold": ask.score_threshold}
    return param if ask.model_name is None else param | {"model_name": ask.model_name}


async def _check_own(session: AsyncSession, caller: Principal, ask: Ask) -> None:
    """Raises SessionNotFound when the session or the message that a question names is somebody else's."""
    _check_owners(
        caller,
        await repository.find_session(session, ask.session_id) if ask.session_id else None,
        await repository.find_message(session, ask.message_id) if ask.message_id else None,
    )


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
