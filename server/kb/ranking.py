"""What was found in each knowledge base becomes one order, and the first of it the hits. Plain functions; they block for
milliseconds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.core.chinese import plain
from server.kb import analysis, fusion
from server.kb.anchors import searched_text, text_for_model
from server.kb.fusion import Candidate
from server.kb.hits import Hit, Trace
from server.kb.indexes import Index
from server.kb.lexical_repository import StoredPassage
from server.kb.models import KnowledgeBase
from server.kb.scale import Scale
from server.kb.style import Style
from server.kb.views import View
from server.kb.wanted import Matcher


@dataclass(slots=True)
class Leg:
    """One of the knowledge bases that are searched, with the question as its model reads it."""

    kb: KnowledgeBase
    vector: NDArray[np.float32]
    index: Index
    # What of the index whoever asks may see.
    view: View
    # Passages that each of the two searches brings at most.
    depth: int
    # Of these passages only, and of these that are not embedded yet.
    among: NDArray[np.int64] | None = None
    unembedded: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    # False: one of the documents that are wanted has come since the index was brought up to date.
    is_current: bool = True
    spread: tuple[float, float] = (0.0, 0.0)
    # Passages that somebody asks after.
    expected: frozenset[int] = frozenset()
    # What each of the two finds, and what of it is there at this moment.
    near: list[tuple[int, float]] = field(default_factory=list)
    by_words: list[int] = field(default_factory=list)
    passages: dict[int, StoredPassage] = field(default_factory=dict)
    distances: dict[int, float] = field(default_factory=dict)

    @property
    def public_size(self) -> int:
        """Passages that everybody sees."""
        return len(self.index.store if self.view.public is None else self.view.public)

    def why_not(self, chunk_id: int) -> str:
        """Why a passage that was asked after is no candidate; empty if it is one."""
        if chunk_id not in self.expected:
            return ""
        is_wanted = self.among is None or chunk_id in self.among or chunk_id in self.unembedded
        if not is_wanted:
            return "filter"
        is_found = chunk_id in self.by_words or any(chunk_id == other for other, _ in self.near)
        return "" if is_found else "depth"


def nearest(leg: Leg) -> list[tuple[int, float]]:
    leg.spread = leg.index.store.spread(leg.vector, leg.view.public)
    return leg.index.store.search_vector(leg.vector, leg.depth, leg.among)


def rank(
    legs: Sequence[Leg],
    matcher: Matcher,
    style: Style,
    trace: Trace,
) -> tuple[bool, list[Candidate]]:
    """Candidates into the trace, best first. False when an index named what is not there any more, or lacks what is; and
    what was not found but is asked after. Blocks for milliseconds, as all of these do."""
    spreads = pooled(legs)
    candidates: list[Candidate] = []
    beside: list[Candidate] = []
    is_whole = True
    for leg in legs:
        distances = leg.distances
        scale = trace.scales[leg.kb.id] = Scale(leg.kb.id, leg.vector, spreads[leg.kb.id], matcher)
        farthest, _ = trace.limits[leg.kb.id]
        is_whole &= leg.is_current and leg.view.restricted is leg.index.restricted
        embedded = {chunk_id for chunk_id, stored in leg.passages.items() if stored.is_embedded}
        is_whole &= distances.keys() >= embedded and leg.passages.keys() >= {
            chunk_id for chunk_id, _ in leg.near
        }
        for chunk_id, stored in leg.passages.items():
            if chunk_id in distances or not stored.is_embedded:
                searched = searched_text(stored.file_name, stored.anchor, stored.text)
                if chunk_id in distances:
                    found = scale.judge(chunk_id, stored.text, searched, distances[chunk_id])
                else:
                    found = scale.judge_unembedded(chunk_id, stored.text, searched)
                found.outcome = leg.why_not(chunk_id) or ("threshold" if found.score > farthest else "")
                (beside if found.outcome in ("filter", "depth") else candidates).append(found)
    trace.candidates = fusion.fuse(candidates, style.words, style.fusion)
    for found in trace.candidates:
        least = trace.limits[found.kb_id][1]
        if not found.outcome and least is not None and found.fused < least:
            found.outcome = "threshold"
    return is_whole, beside


def texts(question: str, legs: Mapping[str, Leg], found: Sequence[Candidate]) -> list[str]:
    """The question, and what a model reads of each candidate: in one script."""
    texts = [plain(question)]
    for one in found:
        stored = legs[one.kb_id].passages[one.chunk_id]
        texts.append(plain(text_for_model(stored.file_name, stored.anchor, stored.text)))
    return texts


def choose(question: str, legs: Sequence[Leg], style: Style, top_k: int, trace: Trace) -> list[Hit]:
    chosen = fusion.choose(trace.candidates, top_k, collapse=style.collapse, diversity=style.diversity)
    by_kb = {leg.kb.id: leg for leg in legs}
    marks = analysis.highlighter(question, style.stop_words, style.synonyms)
    return [_hit(found, by_kb[found.kb_id], marks) for found in chosen]


def _hit(found: Candidate, leg: Leg, marks: Callable[[str], list[tuple[int, int]]]) -> Hit:
    stored = leg.passages[found.chunk_id]
    return Hit(
        found.chunk_id,
        stored.document_id,
        stored.file_name,
        stored.text,
        stored.anchor,
        found.score,
        leg.kb.id,
        leg.kb.name,
        leg.kb.session_id,
        found.strength,
        tuple(marks(stored.text)),
    )


def pooled(legs: Sequence[Leg]) -> dict[str, tuple[float, float]]:
    """Mean and deviation of distances for each knowledge base, over all that share its model: their hits are compared."""
    pooled = {}
    for leg in legs:
        same = [other for other in legs if other.kb.binding == leg.kb.binding]
        sizes = np.array([other.public_size for other in same], dtype=float)
        if not sizes.sum():
            pooled[leg.kb.id] = (0.0, 0.0)
            continue
        means = np.array([other.spread[0] for other in same])
        squares = np.array([other.spread[1] ** 2 for other in same]) + means**2
        mean = float(sizes @ means / sizes.sum())
        pooled[leg.kb.id] = (mean, max(0.0, float(sizes @ squares / sizes.sum()) - mean**2) ** 0.5)
    return pooled
