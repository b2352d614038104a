"""One question of a run: through the product's own search, and through what answers readers."""

import time
from dataclasses import dataclass
from typing import Any

from server.auth.principal import Principal
from server.chat.aside import Asides
from server.chat.turn import Ask, Turn
from server.core.errors import (
    AppError,
    EmbeddingMismatch,
    EmbeddingUnavailable,
    ModelNotFound,
    PromptNotFound,
)
from server.db.session import Database
from server.evaluation.gold import Asked, cited_numbers
from server.evaluation.metrics import DEPTH
from server.evaluation.wish import Wish
from server.kb.hits import Hit, Trace
from server.kb.lexical_repository import load_passages
from server.kb.models import KnowledgeBase
from server.kb.service import KBService

# Hits that are kept of each question, characters of each, and of the answer.
_KEPT, _BEGINNING, _LONGEST_ANSWER = 10, 160, 20_000
# What fails for every question alike, so that the run fails with it.
_FATAL = (EmbeddingMismatch, EmbeddingUnavailable, ModelNotFound, PromptNotFound)


@dataclass(frozen=True, slots=True)
class _Source:
    file_name: str
    text: str


class Asking:
    """Asks them."""

    def __init__(self, database: Database, kb: KBService, asides: Asides) -> None:
        self._database, self._kb, self._asides = database, kb, asides

    async def measure(self, kb: KnowledgeBase, caller: Principal, wish: Wish, asked: Asked) -> dict[str, Any]:
        """The columns of `Result` that tell what became of it. Raises what would fail for every other question too."""
        started = time.perf_counter()
        hits, trace = await self._kb.search_in(
            kb, asked.question, viewer=caller, top_k=max(DEPTH, wish.top_k), threshold=wish.threshold
        )
        spent = trace.milliseconds | {"search_total": _since(started)}
        ranks = asked.ranks(hits)
        measured = {"ranks": ranks, "hits": _keep(hits, asked), "milliseconds": spent}
        if ranks and not any(ranks):
            measured["lost"] = await self._find_lost(kb, caller, asked, trace)
        if wish.model is None:
            return measured
        started = time.perf_counter()
        try:
            turn = await self._asides.answer(caller, kb, _ask(kb, wish, asked))
        except _FATAL:
            raise
        except AppError as error:
            return measured | {"outcome": "failed", "error_code": error.code}
        spent["answer_total"] = _since(started)
        return measured | _judge(asked, turn)

    async def _find_lost(
        self, kb: KnowledgeBase, caller: Principal, asked: Asked, trace: Trace
    ) -> dict[str, Any] | None:
        """Of the candidates that became no hits, the best one that is gold, and what became of it."""
        async with self._database.read() as session:
            ids = [found.chunk_id for found in trace.candidates]
            stored = await load_passages(session, ids, caller, kb.client_id)
        for found in trace.candidates:
            if found.chunk_id in stored and asked.items(stored[found.chunk_id]):
                return {
                    "chunk_id": found.chunk_id,
                    "file_name": stored[found.chunk_id].file_name,
                    "outcome": found.outcome,
                    "rank": found.rank,
                    "vector_rank": found.vector_rank,
                    "word_rank": found.word_rank,
                    "score": round(found.score, 4),
                }
        return None


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def _keep(hits: list[Hit], asked: Asked) -> list[dict[str, Any]]:
    return [
        {
            "rank": rank,
            "chunk_id": hit.chunk_id,
            "file_name": hit.file_name,
            "anchor": hit.anchor,
            "score": round(hit.score, 4),
            "is_gold": asked.has_place and bool(asked.items(hit)),
            "text": hit.text[:_BEGINNING],
        }
        for rank, hit in enumerate(hits[:_KEPT], start=1)
    ]


def _ask(kb: KnowledgeBase, wish: Wish, asked: Asked) -> Ask:
    return Ask(
        query=asked.question,
        mode="knowledge_base_chat",
        knowledge_base_name=kb.name,
        model_name=wish.model,
        prompt_name=wish.prompt,
        # The same question is to have the same answer tomorrow.
        temperature=0.0,
        top_k=wish.top_k,
        score_threshold=wish.threshold,
    )


def _judge(asked: Asked, turn: Turn) -> dict[str, Any]:
    text, told = str(turn.told.text), turn.told
    judged: dict[str, Any] = {"answer": text[:_LONGEST_ANSWER], "outcome": told.outcome, "tokens": told.usage}
    # What stands in another language than its source cannot be told.
    checks = [check for check in told.checks or [] if check["reason"] != "language"]
    judged |= {"checked": len(checks), "verified": sum(check["verified"] for check in checks)}
    if asked.has_words:
        judged["contains_gold"] = asked.is_in(text)
    if asked.has_place:
        sources = [_Source(one["file_name"], one["text"]) for one in told.sources or []]
        cited = cited_numbers(text, len(sources))
        judged["cited"] = len(cited)
        judged["cited_gold"] = sum(bool(number and asked.items(sources[number - 1])) for number in cited)
    return judged
