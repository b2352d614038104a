"""How an answer is made: what is looked up, what the model reads, and what it says."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from server.chat import history
from server.chat.citations import cite_file, cite_page
from server.chat.events import Event, Source, Sources, TextDelta, Usage
from server.chat.prompts import Grounded, Prompts
from server.chat.turn import Turn
from server.chat.web import WebSearch
from server.core.threads import Lanes
from server.kb.service import KBService
from server.llm.base import ChatMessage, ChatModel, ModelRequest
from server.llm.gateway import Gateway
from server.llm.quote_model import QuoteModel
from server.llm.quoting import Passage

AnySource = TypeVar("AnySource", bound=Source)

# Tokens kept free for the answer when a request sets no max_tokens.
_ANSWER_ROOM = 1024
NO_DOCS = "<span style='color:red'>未找到相关文档,该回答为大模型自身能力解答！</span>"
NO_DOCS_QUOTED = "<span style='color:red'>未找到相关文档</span>"


@dataclass(frozen=True, slots=True)
class Means:
    """What answers are made with. `address`: where readers reach this server, for the links of citations."""

    kb: KBService
    gateway: Gateway
    prompts: Prompts
    web: WebSearch
    lanes: Lanes
    address: str


class Steps:
    """Makes answers."""

    def __init__(self, means: Means) -> None:
        self._kb, self._prompts, self._lanes, self._address = (
            means.kb,
            means.prompts,
            means.lanes,
            means.address,
        )

    async def of(self, turn: Turn) -> AsyncGenerator[Event, None]:
        """What was found, then what the model makes of it."""
        hits = await self._find(turn)
        if turn.kb is not None or turn.pages is not None:
            yield Sources(hits, turn.docs)
        async with aclosing(turn.model.stream(await self._request(turn, hits))) as deltas:
            async for delta in deltas:
                if delta.usage is not None:
                    yield Usage(delta.usage.prompt, delta.usage.completion)
                if delta.text:
                    yield TextDelta(delta.text)

    async def _find(self, turn: Turn) -> Sequence[Source]:
        if turn.pages is not None:
            pages = _within(turn.pages, self._room(turn))
            turn.trace = {"engine": turn.ask.search_engine_name, "pages": len(turn.pages)}
            turn.docs = [cite_page(number, page) for number, page in enumerate(pages, start=1)]
            turn.docs = turn.docs or [_no_docs(turn.model)]
            return pages
        if turn.kb is None:
            return []
        ask = turn.ask
        hits, trace = await self._kb.search_in(
            turn.kb, ask.query, top_k=ask.top_k, threshold=ask.score_threshold
        )
        turn.trace = trace.to_json()
        hits = _within(hits, self._room(turn))
        if hits:
            numbered = enumerate(hits, start=1)
            turn.docs = [cite_file(number, turn.kb.name, hit, self._address) for number, hit in numbered]
            return hits
        turn.docs = [_no_docs(turn.model)]
        turn.unread = await self._kb.count_unread(turn.kb)
        if turn.unread:
            turn.docs.append(f"还有 {turn.unread} 个文件正在处理，完成后请再问一次")
        return hits

    async def _request(self, turn: Turn, hits: Sequence[Source]) -> ModelRequest:
        """Prompt and history: the newest rounds that fit beside the passages."""
        ask, room = turn.ask, self._room(turn)
        if ask.mode == "llm_chat":
            prompt = await self._lanes.run("io", self._prompts.render_chat, ask.prompt_name, ask.query)
        else:
            kind: Grounded = "search_engine_chat" if turn.pages is not None else "knowledge_base_chat"
            room -= sum(history.estimate_tokens(hit.text) for hit in hits)
            sources = [(number, hit.place("zh"), hit.text) for number, hit in enumerate(hits, start=1)]
            prompt = await self._lanes.run(
                "io", self._prompts.render_grounded, ask.prompt_name, ask.query, sources, kind
            )
        earlier = history.fit(turn.rounds, room)
        passages = [
            Passage(number, hit.text, hit.score, hit.context) for number, hit in enumerate(hits, start=1)
        ]
        return ModelRequest(
            messages=[*earlier, ChatMessage("user", prompt)],
            question=ask.query,
            passages=None if ask.mode == "llm_chat" else passages,
            unread=turn.unread,
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
        )

    def _room(self, turn: Turn) -> int:
        """Tokens for passages and history: what the question and the answer leave."""
        ask = turn.ask
        answer = ask.max_tokens or _ANSWER_ROOM
        return turn.model.context_tokens - answer - history.estimate_tokens(ask.query)


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
