"""How an answer is made: what is looked up, what the model reads, and what it says."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from server.agent.knowledge import TITLE as KNOWLEDGE_TITLE
from server.agent.service import Agents
from server.chat import history
from server.chat.agent_steps import AgentSteps, cite, sources_of
from server.chat.citations import cite_file, cite_page, note_unread
from server.chat.condense import condense
from server.chat.events import Event, FinalAnswer, Source, Sources, TextDelta, ToolUse, Usage
from server.chat.preset import PresetModel
from server.chat.prompts import Grounded, Prompts
from server.chat.sources import places
from server.chat.turn import Turn
from server.chat.web import WebSearch
from server.core.i18n import Text
from server.core.threads import Lanes
from server.kb.hits import Hit
from server.kb.models import KnowledgeBase
from server.kb.service import KBService
from server.llm.base import ChatMessage, ChatModel, ModelRequest
from server.llm.gateway import Gateway
from server.llm.quote_model import QuoteModel
from server.llm.quoting import Passage

AnySource = TypeVar("AnySource", bound=Source)

# Tokens kept free for the answer when a request sets no max_tokens.
_ANSWER_ROOM = 1024
# Questions that are recommended after an answer, and seconds that its end waits for them.
_FOLLOW_UPS, _FOLLOW_UP_PATIENCE = 3, 0.3
# Passages that are named when none is near enough, and a squared distance that no two unit vectors have.
_NEAREST, _ANYTHING = 3, 4.1
NO_DOCS = "<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"
NO_DOCS_QUOTED = "<span style='color:red'>未找到相关文档</span>"


@dataclass(frozen=True, slots=True)
class Means:
    """What answers are made with. `address`: where readers reach this server, for the links of citations."""

    kb: KBService
    gateway: Gateway
    prompts: Prompts
    web: WebSearch
    agents: Agents
    lanes: Lanes
    address: str
    # What is said when the sources have no answer; and whether it is all that is said when there are none.
    refusal: Text
    only_from_sources: bool = False


class Steps:
    """Makes answers."""

    def __init__(self, means: Means) -> None:
        self._kb, self._agents, self._prompts = means.kb, means.agents, means.prompts
        self._lanes, self._address = means.lanes, means.address
        self._refusal, self._only_from_sources = means.refusal, means.only_from_sources
        self._agent = AgentSteps(means.agents, means.prompts, means.lanes, means.address)

    async def of(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """What was found, then what the model makes of it."""
        is_agent = turn.ask.mode == "agent_chat"
        if is_agent and turn.model.calls_tools:
            async with aclosing(self._agent.of(turn, self._room(turn))) as events:
                async for event in events:
                    yield event
            return
        hits = await self._find(turn)
        if is_agent:
            yield _search_of(turn, len(hits))
        if _is_grounded(turn):
            yield Sources(hits, turn.docs, turn.unread_names)
        if _is_grounded(turn) and not hits and not isinstance(turn.model, PresetModel):
            turn.told.outcome = "not_found"
            turn.told.nearest = await self._nearest(turn)
            if self._only_from_sources:
                turn.model = QuoteModel(self._refusal)
        async with self._following_up(turn), aclosing(self._say(turn, hits)) as said:
            async for event in said:
                yield event
        if is_agent:
            yield FinalAnswer(str(turn.told.text))

    async def _say(self, turn: Turn, hits: Sequence[Source]) -> AsyncGenerator[Event, None]:
        """The model's own part."""
        async with aclosing(turn.model.stream(await self._request(turn, hits))) as deltas:
            async for delta in deltas:
                if delta.usage is not None:
                    yield Usage(delta.usage.prompt, delta.usage.completion)
                if delta.not_found:
                    turn.told.outcome = "not_found"
                if delta.text:
                    yield TextDelta(delta.text)

    @asynccontextmanager
    async def _following_up(self, turn: Turn) -> AsyncIterator[None]:
        """While the answer is written, look for what may be asked next; the end hardly waits for it."""
        if turn.kb is None or not turn.ask.detached:
            yield
            return
        work = self._kb.related.find(turn.caller, turn.kb, turn.ask.query, _FOLLOW_UPS)
        found = asyncio.ensure_future(work)
        try:
            yield
            if (await asyncio.wait({found}, timeout=_FOLLOW_UP_PATIENCE))[0]:
                turn.told.follow_ups = found.result()
        finally:
            found.cancel()

    async def _find(self, turn: Turn) -> Sequence[Source]:
        if isinstance(turn.model, PresetModel):
            return []
        if turn.ask.mode == "agent_chat":
            return await self._find_everywhere(turn)
        if turn.pages is not None:
            pages = _within(turn.pages, self._room(turn))
            turn.trace = {"engine": turn.ask.search_engine_name, "pages": len(turn.pages)}
            turn.docs = [cite_page(number, page) for number, page in enumerate(pages, start=1)]
            turn.docs = turn.docs or [_no_docs(turn.model)]
            return pages
        return await self._find_in(turn, turn.kbs) if _is_grounded(turn) else []

    async def _find_in(self, turn: Turn, kbs: list[KnowledgeBase]) -> Sequence[Source]:
        ask = turn.ask
        if kbs:
            turn.question = await condense(ask.query, turn.rounds, turn.model)
        question = turn.question or ask.query
        hits, trace = await self._kb.search_all(
            kbs,
            question,
            viewer=turn.caller,
            top_k=ask.top_k,
            threshold=ask.score_threshold,
            filters=ask.filters,
        )
        trace.question = question if question != ask.query else None
        turn.trace = trace.to_json()
        hits = await self._kb.read_widely(kbs, _within(hits, self._room(turn)), self._spare(turn, hits))
        turn.docs = [cite_file(number, hit, self._address) for number, hit in enumerate(hits, start=1)]
        if not hits:
            turn.docs = [_no_docs(turn.model)]
            asked = [turn.kb, *turn.others] if turn.kb else []
            count = sum([await self._kb.count_unread(kb, turn.caller) for kb in asked])
            if count:
                turn.docs.append(f"还有 {count} 个文件正在处理，完成后请再问一次")
            turn.unread = count + len(turn.unread_names)
        turn.docs += note_unread(turn.unread_names)
        return hits

    async def _nearest(self, turn: Turn) -> list[dict[str, Any]]:
        """Where to look when nothing is near enough; only who stays to look is told."""
        if not turn.kbs or not turn.ask.detached:
            return []
        hits, _ = await self._kb.search_all(
            turn.kbs,
            turn.question or turn.ask.query,
            viewer=turn.caller,
            top_k=_NEAREST,
            threshold=_ANYTHING,
            filters=turn.ask.filters,
        )
        return places(hits)

    async def _find_everywhere(self, turn: Turn) -> Sequence[Source]:
        """For an agent whose model cannot call tools: what it would have looked up first, in all knowledge bases."""
        knowledge = await self._agents.toolbox.knowledge(turn.caller, turn.kbs)
        found = await knowledge.search(turn.ask.query) if knowledge.kbs else []
        count = len(_within([passage.source for passage in found], self._room(turn)))
        turn.docs = cite(found[:count], self._address) or [_no_docs(turn.model)]
        turn.docs += note_unread(turn.unread_names)
        return sources_of(found[:count])

    async def _request(self, turn: Turn, hits: Sequence[Source]) -> ModelRequest:
        """Prompt and history: the newest rounds that fit beside the passages."""
        ask = turn.ask
        if isinstance(turn.model, PresetModel):
            return ModelRequest(messages=[], question=ask.query)
        if not _is_grounded(turn):
            prompt = await self._lanes.run("templates", self._prompts.render_chat, ask.prompt_name, ask.query)
        else:
            kind: Grounded = "search_engine_chat" if turn.pages is not None else "knowledge_base_chat"
            # An agent's own templates are for those that call tools, and a chat's know of no passages.
            name = "default" if ask.mode in ("agent_chat", "llm_chat") else ask.prompt_name
            passages = [(number, hit.place("zh"), hit.reading) for number, hit in enumerate(hits, start=1)]
            refusal = self._refusal.in_language("en" if ask.query.isascii() else "zh")
            prompt = await self._lanes.run(
                "templates",
                lambda: self._prompts.render_grounded(name, ask.query, passages, kind, refusal=refusal),
            )
        room = turn.model.context_tokens - (ask.max_tokens or _ANSWER_ROOM)
        earlier = history.fit(turn.rounds, room - history.estimate_tokens(prompt))
        # What is quoted stands in what is cited, so that these are not widened.
        quotable = [
            Passage(
                number, hit.text, hit.score, hit.context, hit.strength if isinstance(hit, Hit) else math.nan
            )
            for number, hit in enumerate(hits, start=1)
        ]
        return ModelRequest(
            messages=[*earlier, ChatMessage("user", prompt)],
            question=turn.question or ask.query,
            passages=quotable if _is_grounded(turn) else None,
            unread=turn.unread,
            spelling=self._kb.spelling(turn.kbs, turn.question or ask.query),
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
        )

    def _spare(self, turn: Turn, hits: Sequence[Source]) -> int:
        """Characters that each hit may be read with: half of the room is kept for what was said before."""
        return self._room(turn) // 2 // max(1, len(hits))

    def _room(self, turn: Turn) -> int:
        """Tokens for passages: what the question and the answer leave."""
        ask = turn.ask
        answer = ask.max_tokens or _ANSWER_ROOM
        return turn.model.context_tokens - answer - history.estimate_tokens(ask.query)


def _is_grounded(turn: Turn) -> bool:
    """Is it answered from passages? A chat with a model is when files are attached to it."""
    return turn.ask.mode != "llm_chat" or turn.attached is not None


def _search_of(turn: Turn, count: int) -> ToolUse:
    """The one call of an agent that cannot call."""
    arguments = json.dumps({"query": turn.ask.query}, ensure_ascii=False)
    return ToolUse(
        "knowledge_search", KNOWLEDGE_TITLE, arguments, f"[1]…[{count}]" if count else "-", failed=False
    )


def _no_docs(model: ChatModel) -> str:
    return NO_DOCS_QUOTED if isinstance(model, QuoteModel) else NO_DOCS


def _within(hits: list[AnySource], room: int) -> list[AnySource]:
    """The nearest hits that fit, and at least one: a passage the model does not see must not be cited."""
    fitting: list[AnySource] = []
    for hit in hits:
        room -= history.estimate_tokens(hit.text)
        if room < 0 and fitting:
            break
        fitting.append(hit)
    return fitting
