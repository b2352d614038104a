"""Measures what passages of a knowledge base are worth to questions, and keeps what follows (calibration.py)."""

import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.chinese import plain
from server.core.clock import Clock
from server.core.errors import Conflict, Invalid
from server.core.i18n import Text
from server.db.session import Database
from server.kb import fusion, question_repository, retrieval_repository
from server.kb.access import lock_own_kb, own_kb
from server.kb.anchors import searched_text, text_for_model
from server.kb.calibration import ENOUGH, Made, Measured, make_question, model_key, to_json
from server.kb.embedders import Embedders
from server.kb.hits import Within
from server.kb.models import KnowledgeBase
from server.kb.retrieval_repository import Sampled
from server.kb.retriever import Retriever
from server.kb.style import Style
from server.kb.visibility import PUBLIC

log = logging.getLogger(__name__)

# Distances are at most 4: whatever is found counts.
_ANYTHING = 4.0
# Passages that a question is compared with.
_COMPARED = 50
# Questions of people at most.
_ASKED = 300
_SEED = 20180701


class Calibrator:
    """Knowledge bases of callers who may change them."""

    def __init__(self, database: Database, embedders: Embedders, retriever: Retriever, clock: Clock) -> None:
        self._database, self._embedders, self._retriever, self._clock = database, embedders, retriever, clock
        self._running: set[str] = set()
        # Where people's questions are: session, knowledge base, how many at most. Other features add theirs.
        self.sources: list[Callable[[AsyncSession, str, int], Awaitable[list[str]]]] = [
            question_repository.list_unanswered
        ]

    async def calibrate(
        self,
        caller: Principal,
        name: str,
        count: int,
        tell: Callable[[int], object] = lambda _: None,
    ) -> dict[str, Any]:
        """Measure `count` questions, and keep what was found. `tell` hears of each that is done.

        Raises KBNotFound, Forbidden, Conflict, Invalid, EmbeddingUnavailable, EmbeddingMismatch.
        """
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            found = [await source(session, kb.id, _ASKED) for source in self.sources]
            passages = await retrieval_repository.sample_chunks(session, kb.id, 2 * count, _SEED)
        asked = list(dict.fromkeys(question for questions in found for question in questions))[:_ASKED]
        if kb.id in self._running:
            raise Conflict(
                Text("该知识库正在校准", "this knowledge base is being calibrated"), code="in_progress"
            )
        self._running.add(kb.id)
        try:
            style = replace(
                self._retriever.style(kb), fusion="score", collapse=False, diversity=0.0, rerank=""
            )
            measured = await self._measure(kb, style, passages, asked, count, tell)
        finally:
            self._running.discard(kb.id)
        if not measured.is_enough:
            raise Invalid(
                Text(
                    "可用的段落太少，无法校准：至少需要 20 个有两句以上的段落，或 30 个真实的问题（问题集、推荐问题）",
                    "too few passages to calibrate by: 20 of two sentences are needed, or 30 questions that people ask (question "
                    "sets, recommended ones)",
                )
            )
        return await self._keep(caller, name, kb, measured, style)

    async def _keep(
        self, caller: Principal, name: str, kb: KnowledgeBase, measured: Measured, style: Style
    ) -> dict[str, Any]:
        kept = to_json(kb, measured, style.words, f"{self._clock.now():%F}")
        async with self._database.write() as session:
            now = await lock_own_kb(session, caller, name)
            if now.id != kb.id or model_key(now) != model_key(kb):
                raise Conflict(
                    Text(
                        "知识库刚更换了向量模型，请重新校准",
                        "its embedding model has just changed; calibrate again",
                    ),
                    code="in_progress",
                )
            now.retrieval = (now.retrieval or {}) | {"calibration": kept}
        log.info("knowledge base calibrated", extra={"kb": kb.id, "floor": kept["floor"], "by": kept["by"]})
        return kept

    async def _measure(
        self,
        kb: KnowledgeBase,
        style: Style,
        passages: Sequence[Sampled],
        asked: Sequence[str],
        count: int,
        tell: Callable[[int], object],
    ) -> Measured:
        answerable, unanswerable, by_people = list[float](), list[float](), list[float]()
        for question in asked if len(asked) >= ENOUGH else []:
            hits, trace = await self._retriever.search(
                [kb], question, Within(PUBLIC), top_k=1, threshold=_ANYTHING, style=style
            )
            by_people += [max(one.fused for one in trace.candidates)] if hits else []
            tell(1)
        source = random.Random(_SEED)  # noqa: S311 (the same sample each time)
        for passage in passages:
            made = make_question(passage.text, str(passage.anchor.get("heading", "")), source)
            if made is not None and len(answerable) < count:
                own, others = await self._compare(kb, style, passage, made)
                answerable.append(own)
                unanswerable += others
                tell(1)
        return Measured(answerable, unanswerable, by_people)

    async def _compare(
        self, kb: KnowledgeBase, style: Style, passage: Sampled, made: Made
    ) -> tuple[float, list[float]]:
        """What the rest of its own passage is worth to a question, and the best of other files, if there are any."""
        hits, trace = await self._retriever.search(
            [kb], made.question, Within(PUBLIC), top_k=_COMPARED, threshold=_ANYTHING, style=style
        )
        scale = trace.scales[kb.id]
        # The heading is left out as well when it is the question.
        anchor = {
            key: value
            for key, value in passage.anchor.items()
            if key != "heading" or not str(value).endswith(made.question)
        }
        text = text_for_model(passage.file_name, anchor, made.rest)
        embedder = await self._embedders.of(kb)
        (vector,) = await self._embedders.embed_passages(embedder, [plain(text) if kb.is_plain else text])
        distance = float(2 - 2 * (vector @ scale.vector))
        rest = scale.judge(0, made.rest, searched_text(passage.file_name, anchor, made.rest), distance)
        documents = {hit.chunk_id: hit.document_id for hit in hits}
        others = [
            one.fused
            for one in trace.candidates
            if documents.get(one.chunk_id, passage.document_id) != passage.document_id
        ]
        return fusion.worth(rest, style.words), [max(others)] if others else []
