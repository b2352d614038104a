"""From a question to hits: embed, search by meaning and by words, fuse, filter. Each step is timed and told in one trace."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.core.chinese import plain
from server.core.errors import KBNotFound, StoreUnavailable
from server.core.i18n import Text
from server.core.settings import Settings
from server.core.threads import Lanes
from server.db.session import Database
from server.kb import analysis, document_repository, fusion, lexical_repository, repository, routing
from server.kb.calibration import floor_of
from server.kb.embedders import Embedders
from server.kb.fusion import Candidate
from server.kb.hits import Hit, Trace, Within
from server.kb.indexes import Indexes, ModelChanged
from server.kb.lexicon import sum_frequencies, token
from server.kb.models import KnowledgeBase
from server.kb.ranking import Leg, choose, nearest, rank, texts
from server.kb.rerankers.base import RerankFailed
from server.kb.reranking import Rerankers
from server.kb.style import Style
from server.kb.vectorstores.base import SlotMissing
from server.kb.visibility import Viewer
from server.kb.wanted import Matcher, Wanted, Weights

# Searches for one question, when what an index found is gone from SQL: each try sees a newer index.
_TRIES = 8
# Passages that each of the two searches brings, or twice as many as there may be hits.
_DEPTH = 50
# Passages that the text index may name for one question: the rarest terms come first, until that many have them.
_LOOK_UPS = 2500
_MISSING = Text(
    "向量库里没有该知识库的向量，正在重新写入，请稍后再试",
    "the vectors of this knowledge base are missing on their server and are written again; try again in a moment",
)


class Retriever:
    """Searches knowledge bases."""

    def __init__(
        self,
        database: Database,
        embedders: Embedders,
        indexes: Indexes,
        lanes: Lanes,
        rerankers: Rerankers,
        settings: Settings,
    ) -> None:
        self._database, self._embedders, self.indexes, self._lanes = database, embedders, indexes, lanes
        self.rerankers, self._settings = rerankers, settings

    async def search(
        self,
        kbs: Sequence[KnowledgeBase],
        question: str,
        within: Within,
        *,
        top_k: int,
        threshold: float | None = None,
        style: Style | None = None,
        expected: frozenset[int] = frozenset(),
    ) -> tuple[list[Hit], Trace]:
        """Return up to `top_k` hits of them all with `score <= threshold`, best first, and how they were found.

        Without a threshold, what each knowledge base was calibrated to decides what counts. What the viewer does not see changes
        nothing; filters are not for what is attached to a conversation.

        `style`: instead of the knowledge base's own. `expected`: passages of the first one whose way the trace tells too, however
        far they are; the hits are the same.

        Each is searched with its own embedding model, and all in one style (Style.of); of many, those that fit best (routing.py). What says the same is one hit.
        Raises EmbeddingUnavailable, EmbeddingMismatch, StoreUnavailable, KBNotFound (deleted meanwhile).
        """
        trace = Trace({})
        if not kbs:
            return [], trace
        style = style or self.style(*kbs)
        trace.style = {"words": style.words, "fusion": style.fusion} | (
            {"filters": within.filters.to_json()} if within.filters else {}
        )
        limits = trace.limits = {kb.id: self._limits(kb, style, threshold) for kb in kbs}
        if floors := {kb.name: limits[kb.id][1] for kb in kbs if limits[kb.id][1] is not None}:
            trace.style["floor"] = floors
        wanted = Wanted.of(question, style)
        trace.synonyms = wanted.same.others
        kbs, asked, depth = list(kbs), _Question(question), max(_DEPTH, 2 * top_k)
        legs: list[Leg] = []
        beside: list[Candidate] = []
        for tries_left in reversed(range(_TRIES)):
            trace.kbs = {kb.name: kb.generation for kb in kbs}
            try:
                opened = [await self._open(kb, asked, within, depth, trace) for kb in kbs]
                legs = [leg for leg in opened if leg is not None]
                for leg in legs[:1]:
                    leg.expected = expected
                weights = wanted.weigh([lexicon for leg in legs for lexicon in leg.view.lexicons])
                trace.terms = weights.counts
                legs = await self._route(legs, wanted, weights, style, trace)
                for leg in legs:
                    with self._telling(leg.kb):
                        await self._find(leg, wanted.all, weights.values, within.viewer, trace)
            except SlotMissing as missing:
                if not tries_left:
                    raise StoreUnavailable(_MISSING, code="vector_store_filling", retry_after=5) from missing
                kbs = await self._read_again(kbs)
                continue
            with trace.step("fuse"):
                matcher = Matcher.of(wanted, weights)
                is_whole, beside = await self._lanes.run("search", rank, legs, matcher, style, trace)
            if is_whole and None not in opened:
                break
            # A document was replaced, deleted or hidden since the index was loaded: look for what took its place.
            kbs = await self._read_again(kbs)
        if style.rerank:
            with trace.step("rerank"):
                await self._rerank(legs, question, style, trace)
        with trace.step("fuse"):
            hits = await self._lanes.run("search", choose, question, legs, style, top_k, trace)
            trace.candidates += fusion.place(beside, trace.candidates, style.words, style.fusion)
        return hits, trace

    def _limits(self, kb: KnowledgeBase, style: Style, threshold: float | None) -> tuple[float, float | None]:
        """The largest distance that counts, and the least worth."""
        if threshold is not None:
            return threshold, None
        own = (kb.retrieval or {}).get("threshold", self._settings.kb.score_threshold)
        return own, floor_of(kb, style.words) if style.fusion == "score" else None

    async def _rerank(self, legs: Sequence[Leg], question: str, style: Style, trace: Trace) -> None:
        """Have a model order the best once more; if it does not, the order is what it was, and the trace says why."""
        best = [found for found in trace.candidates if not found.outcome][: style.candidates]
        trace.rerank = {"name": style.rerank, "outcome": "done", "candidates": len(best)}
        if not self._may_rerank(legs, style.rerank):
            trace.rerank["outcome"] = "mixed"
        elif len(best) > 1:
            by_kb = {leg.kb.id: leg for leg in legs}
            read = await self._lanes.run("search", texts, question, by_kb, best)
            try:
                scores = await self.rerankers.score(style.rerank, read[0], read[1:])
            except RerankFailed as error:
                trace.rerank["outcome"] = error.reason
            else:
                by_id = dict(zip((found.chunk_id for found in best), scores, strict=True))
                trace.candidates = fusion.reorder(trace.candidates, by_id)

    def _may_rerank(self, legs: Sequence[Leg], name: str) -> bool:
        """Passages are sent to a service only where their own knowledge base says so."""
        return not self.rerankers.is_remote(name) or all(
            leg.kb is legs[0].kb or self.style(leg.kb).rerank == name for leg in legs
        )

    def style(self, *kbs: KnowledgeBase) -> Style:
        """How they are searched together."""
        return Style.of(self._settings.retrieval, self._settings.rerank, *kbs)

    async def _open(
        self,
        kb: KnowledgeBase,
        question: "_Question",
        within: Within,
        depth: int,
        trace: Trace,
    ) -> Leg | None:
        """None when its embedding model has just changed."""
        with trace.step("embed"):
            embedder = await self._embedders.of(kb)
            text = plain(question.text) if kb.is_plain else question.text
            if (embedder.name, text) not in question.vectors:
                vector = await self._embedders.embed_question(embedder, text)
                question.vectors[embedder.name, text] = vector
            vector = question.vectors[embedder.name, text]
        try:
            with trace.step("load"), self._telling(kb):
                index = await self.indexes.get(kb)
                view = await self.indexes.view(kb, index, within.viewer)
        except ModelChanged:
            return None
        leg = Leg(kb, vector, index, view, depth, view.among)
        waiting = index.unembedded.keys() - view.hidden
        if within.filters and kb.session_id is None:
            with trace.step("filter"):
                async with self._database.read() as session:
                    documents = await document_repository.filter_documents(session, kb.id, within.filters)
                    if not index.knows(documents):
                        generation = await repository.get_generation(session, kb.id)
                        leg.is_current = generation is None or index.generation >= generation
                leg.among = await self.indexes.chunks_of(index, documents - view.hidden)
                waiting &= documents
        leg.unembedded = index.unembedded_of(waiting)
        return leg

    async def _route(
        self, legs: list[Leg], wanted: Wanted, weights: Weights, style: Style, trace: Trace
    ) -> list[Leg]:
        """Of many, those that are worth a search; the trace names the others. Raises SlotMissing, StoreUnavailable."""
        if len(legs) <= routing.MOST:
            return legs
        with trace.step("route"):
            for leg in legs:
                with self._telling(leg.kb):
                    await self._lanes.run(leg.index.store.lane, routing.look, leg)
            chosen = await self._lanes.run("search", routing.best, legs, wanted, weights, style.words)
        left = [leg.kb.name for leg in legs if leg not in chosen]
        trace.style["passed_over"] = left
        trace.kbs = {name: generation for name, generation in trace.kbs.items() if name not in left}
        return chosen

    async def _find(
        self, leg: Leg, wanted: Sequence[str], weights: NDArray[np.float64], viewer: Viewer, trace: Trace
    ) -> None:
        """Search by meaning and by words at the same time, and read what both bring. Raises SlotMissing, StoreUnavailable."""
        lane = leg.index.store.lane
        with trace.step("search"):
            leg.near, leg.by_words = await asyncio.gather(
                self._lanes.run(lane, nearest, leg), self._look_up(leg, wanted, weights)
            )
        ids = list(dict.fromkeys([*(chunk_id for chunk_id, _ in leg.near), *leg.by_words, *leg.expected]))
        with trace.step("read"):
            async with self._database.read() as session:
                leg.passages = await lexical_repository.load_passages(session, ids, viewer, leg.kb.client_id)
        leg.distances = dict(leg.near)
        missing = [
            chunk_id
            for chunk_id, stored in leg.passages.items()
            if stored.is_embedded and chunk_id not in leg.distances
        ]
        if missing:
            # The true distances of what only its words brought.
            among = np.array(missing, dtype=np.int64)
            with trace.step("search"):
                leg.distances |= await self._lanes.run(
                    lane, leg.index.store.search_vector, leg.vector, len(missing), among
                )

    async def _look_up(self, leg: Leg, wanted: Sequence[str], weights: NDArray[np.float64]) -> list[int]:
        """The passages that have most of the question's rare terms."""
        frequencies = sum_frequencies(leg.view.lexicons, wanted)
        chosen: list[int] = []
        budget = _LOOK_UPS
        for number in np.argsort(frequencies, kind="stable").tolist():
            if not frequencies[number] or not analysis.is_indexed(wanted[number]):
                continue
            if chosen and frequencies[number] > budget:
                break
            budget -= int(frequencies[number])
            chosen.append(number)
        if not chosen:
            return []
        async with self._database.read() as session:
            tokens = [token(leg.kb.id, wanted[number]) for number in chosen]
            found = await lexical_repository.look_up(session, tokens, _LOOK_UPS, leg.view.hidden)
        if leg.among is not None:
            found = found[np.isin(found[:, 1], np.concatenate([leg.among, leg.unembedded]))]
        ids, places = np.unique(found[:, 1], return_inverse=True)
        shares = np.bincount(places, weights[np.array(chosen)][found[:, 0]], len(ids))
        best: list[int] = ids[np.lexsort((ids, -shares))[: leg.depth]].tolist()
        return best

    @contextmanager
    def _telling(self, kb: KnowledgeBase) -> Iterator[None]:
        """Somebody must know when a server has nothing of a knowledge base."""
        try:
            yield
        except SlotMissing:
            self.indexes.lost(kb)
            raise

    async def _read_again(self, kbs: Sequence[KnowledgeBase]) -> list[KnowledgeBase]:
        """As they are now. Raises KBNotFound."""
        found = []
        async with self._database.read() as session:
            for kb in kbs:
                newer = await session.get(KnowledgeBase, kb.id)
                if newer is None:
                    raise KBNotFound(kb.name)
                found.append(newer)
        return found


@dataclass(frozen=True, slots=True)
class _Question:
    """A question and what embedding models made of it, by their names and what they read."""

    text: str
    vectors: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)
