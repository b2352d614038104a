"""From a question to hits: embed, search, read, filter, merge. Each step is timed and counted in one trace per knowledge base."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embeddings import Embedder
from server.core.errors import KBNotFound
from server.core.i18n import Language
from server.core.threads import Lanes
from server.db.session import Database
from server.kb import repository
from server.kb.anchors import describe_context, describe_place
from server.kb.embedders import Embedders
from server.kb.indexes import Indexes, ModelChanged
from server.kb.models import Chunk, Document, KnowledgeBase

# Searches for one question, when what an index found is gone from SQL: each try sees a newer index.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that retrieval found.

    `score` is the squared L2 distance of unit vectors: 0 the same, 2 unrelated, smaller is closer. `anchor` says where
    in the file it stands: page, slide, sheet, range, row, heading. `session_id`: the conversation to which the file is
    attached, if it is.
    """

    chunk_id: int
    document_id: str
    file_name: str
    text: str
    anchor: dict[str, Any]
    score: float
    kb_id: str = ""
    kb_name: str = ""
    session_id: str | None = None

    @property
    def context(self) -> str:
        """What the passage is about: the file and the headings it stands under."""
        return describe_context(self.file_name, self.anchor)

    def place(self, language: Language) -> str:
        """Where to look it up, for people."""
        return describe_place(self.file_name, self.anchor, language)


@dataclass(slots=True)
class Trace:
    """How a search came to its hits; kept with the answer."""

    kb: str
    generation: int
    milliseconds: dict[str, float] = field(default_factory=dict)
    # Chunk id, score and what became of it: hit, threshold or gone.
    candidates: list[tuple[int, float, str]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - started) * 1000
            self.milliseconds[name] = round(self.milliseconds.get(name, 0.0) + spent, 2)

    def to_json(self) -> dict[str, Any]:
        return {
            "kb": self.kb,
            "generation": self.generation,
            "milliseconds": self.milliseconds,
            "candidates": [list(candidate) for candidate in self.candidates],
        }


class Retriever:
    """Searches knowledge bases."""

    def __init__(self, database: Database, embedders: Embedders, indexes: Indexes, lanes: Lanes) -> None:
        self._database, self._embedders, self._indexes, self._lanes = database, embedders, indexes, lanes

    async def search(
        self, kbs: Sequence[KnowledgeBase], question: str, *, top_k: int, threshold: float
    ) -> tuple[list[Hit], list[Trace]]:
        """Return up to `top_k` hits of them all with `score <= threshold`, closest first, and how each one's were found.

        Each is searched with its own embedding model. The same text of two knowledge bases is one hit.
        Raises EmbeddingUnavailable, EmbeddingMismatch, KBNotFound (deleted meanwhile).
        """
        asked = _Question(question)
        found = [await self._search(kb, asked, top_k, threshold) for kb in kbs]
        hits = [hits for hits, _ in found]
        return hits[0] if len(hits) == 1 else _merge(hits, top_k), [trace for _, trace in found]

    async def _search(
        self, kb: KnowledgeBase, question: "_Question", top_k: int, threshold: float
    ) -> tuple[list[Hit], Trace]:
        trace = Trace(kb.name, kb.generation)
        embedder, vector = await self._embed(kb, question, trace)
        newer: KnowledgeBase | None
        for _ in range(_TRIES):
            try:
                with trace.step("load"):
                    store = await self._indexes.get(kb, embedder)
            except ModelChanged:
                rows, found, newer = {}, [], await self._read_again(kb)
            else:
                with trace.step("search"):
                    found = await self._lanes.run("search", store.search_vector, vector, top_k)
                close = [chunk_id for chunk_id, score in found if score <= threshold]
                with trace.step("read"):
                    async with self._database.read() as session:
                        rows = await repository.load_chunks(session, close)
                newer = None if len(rows) == len(close) else await self._read_again(kb)
            if newer is None:
                break
            # A document was replaced or deleted since the index was loaded: look for what took its place.
            if newer.binding != kb.binding:
                embedder, vector = await self._embed(newer, question, trace)
            kb, trace.generation = newer, newer.generation
        return list(_hits(kb, found, rows, threshold, trace)), trace

    async def _embed(
        self, kb: KnowledgeBase, question: "_Question", trace: Trace
    ) -> tuple[Embedder, NDArray[np.float32]]:
        with trace.step("embed"):
            embedder = await self._embedders.of(kb)
            if embedder.name not in question.vectors:
                vector = await self._embedders.embed_question(embedder, question.text)
                question.vectors[embedder.name] = vector
            return embedder, question.vectors[embedder.name]

    async def _read_again(self, kb: KnowledgeBase) -> KnowledgeBase:
        """As it is now. Raises KBNotFound."""
        async with self._database.read() as session:
            found = await session.get(KnowledgeBase, kb.id)
        if found is None:
            raise KBNotFound(kb.name)
        return found


@dataclass(frozen=True, slots=True)
class _Question:
    """A question and what embedding models made of it, by name."""

    text: str
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)


def _merge(found: Sequence[list[Hit]], top_k: int) -> list[Hit]:
    """The closest of all; what was searched first comes first where they are equally close."""
    closest: dict[str, Hit] = {}
    for hit in sorted((hit for hits in found for hit in hits), key=lambda hit: hit.score):
        closest.setdefault(hit.text, hit)
    return list(closest.values())[:top_k]


def _hits(
    kb: KnowledgeBase,
    found: list[tuple[int, float]],
    rows: dict[int, tuple[Chunk, Document]],
    threshold: float,
    trace: Trace,
) -> Iterator[Hit]:
    """What of the candidates may be shown; the trace tells what became of each."""
    for chunk_id, score in found:
        outcome = "threshold" if score > threshold else "gone" if chunk_id not in rows else "hit"
        trace.candidates.append((chunk_id, round(score, 4), outcome))
        if outcome == "hit":
            chunk, document = rows[chunk_id]
            place = (document.id, document.file_name, chunk.text, chunk.anchor)
            yield Hit(chunk_id, *place, score, kb_id=kb.id, kb_name=kb.name, session_id=kb.session_id)
