"""A chat, from the question to the stored answer. Read `prepare` and `answer` and you have read the product."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote as url_quote

from server.auth.principal import Principal
from server.chat import history, repository
from server.chat.events import Event, Failed, Finished, Sources, Started, TextDelta, Usage
from server.chat.history import Given, Round
from server.chat.models import Message, Session
from server.chat.preset import PresetModel
from server.chat.prompts import Mode, Prompts
from server.chat.running import RunningAnswers
from server.core.errors import AppError, CallerDisabled, SessionNotFound
from server.core.i18n import Text
from server.core.ids import new_hex_id
from server.core.questions import check_length
from server.core.runtime import Runtime
from server.core.settings import ChatSettings
from server.db.session import Database
from server.kb.models import KnowledgeBase, Question
from server.kb.retriever import Hit
from server.kb.service import KBService
from server.llm import upstream
from server.llm.base import ChatMessage, ChatModel, Delta, ModelRequest
from server.llm.gateway import Gateway
from server.llm.quote_model import QuoteModel
from server.llm.quoting import Passage

log = logging.getLogger(__name__)

# Tokens kept free for the answer when a request sets no max_tokens.
_ANSWER_ROOM = 1024
_SESSION_MODES = {"llm_chat": "LLM", "knowledge_base_chat": "Knowledge"}
# Where people ask what was recommended to them, and are given its preset answer.
_RECOMMENDED_IN = ("llm_chat", "knowledge_base_chat")
_INTERNAL = Text("服务器内部错误，请稍后再试", "internal error; try again later")
NO_DOCS = "<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"
NO_DOCS_QUOTED = "<span style='color:red'>未找到相关文档</span>"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller wants to know, as every chat endpoint puts it."""

    query: str
    mode: Mode
    knowledge_base_name: str = ""
    session_id: str | None = None
    message_id: str | None = None
    # None: as the server remembers the session.
    history: Sequence[Given] | None = ()
    history_count: int | None = None
    model_name: str | None = None
    prompt_name: str = "default"
    temperature: float = 0.7
    max_tokens: int | None = None
    top_k: int = 3
    score_threshold: float = 1.0


@dataclass(slots=True)
class Turn:
    """A question that has passed every check and is about to be answered."""

    caller: Principal
    ask: Ask
    message_id: str
    model: ChatModel
    kb: KnowledgeBase | None
    rounds: list[Round]
    started_at: datetime
    # Filled while the answer is made.
    reply: list[str] = field(default_factory=list)
    docs: list[str] = field(default_factory=list)
    unread: int = 0
    trace: dict[str, Any] = field(default_factory=dict)
    state: str = "cut"
    error_code: str | None = None


class ChatService:
    """Answers questions."""

    def __init__(
        self,
        database: Database,
        kb: KBService,
        gateway: Gateway,
        prompts: Prompts,
        runtime: Runtime,
        settings: ChatSettings,
        address: str,
    ) -> None:
        """`address`: where readers reach this server, for the links of citations."""
        self._database, self._kb, self._gateway, self._prompts = database, kb, gateway, prompts
        self._lanes, self._clock, self._tasks = runtime.lanes, runtime.clock, runtime.tasks
        self._settings, self._address = settings, address
        self.running = RunningAnswers(database)

    async def prepare(self, caller: Principal, ask: Ask) -> Turn:
        """Check everything that can be refused, and store the question. Nothing has been sent yet.

        Raises Invalid, ModelNotFound, PromptNotFound, KBNotFound, EmbeddingUnavailable, SessionNotFound.
        """
        check_length(ask.query, self._settings.max_query_chars)
        model = self._gateway.get(ask.model_name)
        await self._lanes.run("io", self._prompts.check, ask.mode, ask.prompt_name)
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
        message_id = await self._store_question(caller, ask, model.name, kb, recommended)
        return Turn(caller, ask, message_id, model, kb, rounds, self._clock.now())

    async def answer(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """Answer step by step. Ends with Finished or Failed; whatever happens, what was said is stored."""
        last: Event
        try:
            yield Started(turn.message_id)
            hits = await self._find(turn)
            if turn.kb is not None:
                yield Sources(hits, turn.docs)
            async with aclosing(self._bounded(turn, await self._request(turn, hits))) as deltas:
                async for delta in deltas:
                    if delta.usage is not None:
                        yield Usage(delta.usage.prompt, delta.usage.completion)
                    if delta.text:
                        turn.reply.append(delta.text)
                        yield TextDelta(delta.text)
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
            stored = self._tasks.start(self._store_answer(turn))
        await asyncio.wait({stored})
        yield last

    async def _bounded(self, turn: Turn, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """The model's answer up to the limits of the settings. Raises UpstreamCut there, after what still fitted, and
        CallerDisabled."""
        model = turn.model
        limit, left = self._settings.max_answer_time, self._settings.max_answer_chars
        deadline = asyncio.get_running_loop().time() + limit.total_seconds()
        with self.running.of(turn.caller) as run:
            async with aclosing(model.stream(request)) as deltas:
                while True:
                    try:
                        delta = await run.take(deltas, deadline)
                    except TimeoutError:
                        raise upstream.too_slow(model.name, limit) from None
                    if delta is None:
                        return
                    yield replace(delta, text=delta.text[:left])
                    left -= len(delta.text)
                    if left < 0:
                        raise upstream.too_long(model.name, self._settings.max_answer_chars)

    async def _find(self, turn: Turn) -> list[Hit]:
        if turn.kb is None or isinstance(turn.model, PresetModel):
            return []
        ask = turn.ask
        hits, trace = await self._kb.search_in(
            turn.kb, ask.query, top_k=ask.top_k, threshold=ask.score_threshold
        )
        turn.trace = trace.to_json()
        hits = _within(hits, self._room(turn))
        if hits:
            turn.docs = self._citations(turn.kb, hits)
            return hits
        turn.docs = [NO_DOCS_QUOTED if isinstance(turn.model, QuoteModel) else NO_DOCS]
        turn.unread = await self._kb.count_unread(turn.kb)
        if turn.unread:
            turn.docs.append(f"还有 {turn.unread} 个文件正在处理，完成后请再问一次")
        return hits

    async def _request(self, turn: Turn, hits: list[Hit]) -> ModelRequest:
        """Prompt and history: the newest rounds that fit beside the passages."""
        ask = turn.ask
        if isinstance(turn.model, PresetModel):
            return ModelRequest(messages=[], question=ask.query)
        if turn.kb is None:
            prompt = await self._lanes.run("io", self._prompts.render_chat, ask.prompt_name, ask.query)
        else:
            sources = [(number, hit.place("zh"), hit.text) for number, hit in enumerate(hits, start=1)]
            prompt = await self._lanes.run(
                "io", self._prompts.render_grounded, ask.prompt_name, ask.query, sources
            )
        room = turn.model.context_tokens - (ask.max_tokens or _ANSWER_ROOM)
        earlier = history.fit(turn.rounds, room - history.estimate_tokens(prompt))
        passages = [
            Passage(number, hit.text, hit.score, hit.context) for number, hit in enumerate(hits, start=1)
        ]
        return ModelRequest(
            messages=[*earlier, ChatMessage("user", prompt)],
            question=ask.query,
            passages=None if turn.kb is None else passages,
            unread=turn.unread,
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
        )

    def _room(self, turn: Turn) -> int:
        """Tokens for passages: what the question and the answer leave."""
        ask = turn.ask
        answer = ask.max_tokens or _ANSWER_ROOM
        return turn.model.context_tokens - answer - history.estimate_tokens(ask.query)

    def _citations(self, kb: KnowledgeBase, hits: list[Hit]) -> list[str]:
        """The contract's citations: number, link to the file, passage; Markdown."""
        docs = []
        for number, hit in enumerate(hits, start=1):
            query = f"knowledge_base_name={url_quote(kb.name)}&file_name={url_quote(hit.file_name)}"
            link = f"{self._address}/knowledge_base/download_doc?{query}"
            label = hit.file_name.replace("[", "\\[").replace("]", "\\]")
            docs.append(f"出处 [{number}] [{label}]({link}) \n\n{hit.text}\n\n")
        return docs

    def watch_abandoned(self) -> asyncio.TimerHandle:
        """Look for abandoned answers now, and once more when the youngest there can be are old enough to tell.

        For the start of a process, which is when another one may have died. The handle cancels the second look.
        """
        self._tasks.start(self._close_abandoned())
        seconds = self._settings.max_answer_time.total_seconds()
        return asyncio.get_running_loop().call_later(
            seconds, lambda: self._tasks.start(self._close_abandoned())
        )

    async def _close_abandoned(self) -> None:
        """Mark as cut what is being written for longer than an answer may take: its process was killed.

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
        async with self._database.write() as session:
            message = await repository.find_message(session, ask.message_id) if ask.message_id else None
            if ask.session_id is not None:
                found = await repository.find_session(session, ask.session_id)
                # A message that there is stays in its session: a new one would be empty.
                if found is None and message is None:
                    found = await repository.add_session(
                        session, self._new_session(caller, ask, ask.session_id)
                    )
                if found and (found.client_id, found.user_id) != (caller.client_id, caller.user_id):
                    raise SessionNotFound
            if message is None:
                message = self._new_message(caller, ask, model)
                message.kb_id = kb.id if kb else None
                message.position = await repository.next_position(session, ask.session_id)
                session.add(message)
                if recommended is not None:
                    await self._kb.questions.count_tap(session, recommended)
            elif (message.client_id, message.user_id) != (caller.client_id, caller.user_id):
                raise SessionNotFound
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


def _within(hits: list[Hit], room: int) -> list[Hit]:
    """The nearest hits that fit, and at least one: a passage the model does not see must not be cited."""
    fitting: list[Hit] = []
    for hit in hits:
        room -= history.estimate_tokens(hit.text)
        if room < 0 and fitting:
            break
        fitting.append(hit)
    return fitting
