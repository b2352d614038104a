"""Where and how a search is done, what it brings, and what it tells of how it came to that."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from server.core.i18n import Language
from server.kb.anchors import describe_context, describe_place, question_of
from server.kb.filters import Filters
from server.kb.fusion import Candidate
from server.kb.scale import Scale
from server.kb.visibility import Viewer


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that retrieval found.

    `score` is the squared L2 distance of unit vectors: 0 the same, 2 unrelated, smaller is closer. `anchor` says where
    in the file it stands: page, slide, sheet, range, row, heading. `session_id`: the conversation to which the file is
    attached, if it is. `strength`: what both searches together make of it (fusion.Candidate). `marks`: where the question's
    words stand in the text, each a first character and the one after the last.
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
    strength: float = math.nan
    marks: tuple[tuple[int, int], ...] = ()
    # The passage with its neighbours, where it is read with them (widening.py).
    read: str = ""

    @property
    def reading(self) -> str:
        """What a model reads of it; of an answer that somebody wrote, the question too."""
        said = self.read or self.text
        question = question_of(self.anchor)
        return f"{question}\n{said}" if question else said

    @property
    def context(self) -> str:
        """What the passage is about: the file, the headings it stands under, and the question that it answers."""
        context, question = describe_context(self.file_name, self.anchor), question_of(self.anchor)
        return f"{context} > {question}" if question else context

    def place(self, language: Language) -> str:
        """Where to look it up, for people."""
        return describe_place(self.file_name, self.anchor, language)


@dataclass(frozen=True, slots=True)
class Within:
    """Whose documents a search looks at: those that the viewer sees, and of these what the filters ask for."""

    viewer: Viewer
    filters: Filters | None = None


@dataclass(slots=True)
class Trace:
    """How a search came to its hits; kept with the answer, and the same in a hit test."""

    # By name, the generation each was searched at.
    kbs: dict[str, int]
    # What was searched for, when that is not what was asked.
    question: str | None = None
    milliseconds: dict[str, float] = field(default_factory=dict)
    style: dict[str, Any] = field(default_factory=dict)
    # What was taken for words of the question, and those.
    synonyms: dict[str, str] = field(default_factory=dict)
    # The question's terms, and how many passages have each.
    terms: list[tuple[str, int]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    # The reranker's name and what became of it, when there is one: done, or why not.
    rerank: dict[str, Any] | None = None
    # What counts, by knowledge bases' ids: the largest distance, and the least that is worth it; not told.
    limits: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    # How the passages of each knowledge base were weighed, by its id; not told.
    scales: dict[str, Scale] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - started) * 1000
            self.milliseconds[name] = round(self.milliseconds.get(name, 0.0) + spent, 2)

    def to_json(self, limit: int = 30) -> dict[str, Any]:
        """`limit`: candidates that are told, best first."""
        told: dict[str, Any] = {
            "kbs": self.kbs,
            "milliseconds": self.milliseconds,
            "style": self.style,
            "terms": [list(pair) for pair in self.terms],
            "synonyms": self.synonyms,
            "candidates": [_told(found) for found in self.candidates[:limit]],
        }
        if self.rerank is not None:
            told["rerank"] = self.rerank
        return told if self.question is None else told | {"question": self.question}


def _told(found: Candidate) -> dict[str, Any]:
    told = {
        "chunk": found.chunk_id,
        "outcome": found.outcome,
        "rank": found.rank,
        "fused": round(found.fused, 3),
        "score": round(found.score, 4),
        "near": round(found.near, 3),
        "vector_rank": found.vector_rank,
        "words": round(found.words, 3),
        "word_rank": found.word_rank,
    }
    if not found.is_embedded:
        told["embedded"] = False
    if found.rerank is not None:
        told |= {"rerank": round(found.rerank, 4), "rerank_rank": found.rerank_rank}
    return told
