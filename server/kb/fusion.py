"""Two opinions on the same passages, by meaning and by words, become one order. Plain functions.

By scores: how many standard deviations a passage is nearer than passages in general, plus how much of the question it says; both
mean the same whatever the knowledge base, so that hits of several can be compared. A weighted sum of normalised scores beats ranks
where one of the two is much better than the other (Bruch et al., An Analysis of Fusion Functions for Hybrid Retrieval, TOIS 2023).
By ranks: reciprocal rank fusion (Cormack et al., SIGIR 2009), which asks nothing of the scores.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Method = Literal["score", "rank"]

# What one standard deviation of distance and a whole match by words count, with equal weights. Fitted by evals/fit_fusion.py.
NEAR_WEIGHT, WORDS_WEIGHT = 1.6, 23.0
# Passages vary at least this much in distance (squared L2): in a small knowledge base hardly any would be there to tell.
SMALLEST_SPREAD = 0.02
_RANK_CONSTANT = 10
# Passages that share so much of their terms say the same.
_DUPLICATE = 0.9
# … if they are long: a word more or less changes what a short one says.
_LONG = 60
_WORD = re.compile(r"[A-Za-z0-9]+")


@dataclass(slots=True)
class Candidate:
    """A passage that one of the two found. `score`: its distance, `near`: that in standard deviations, `words`: 0 to 1.

    One that is not embedded yet has no distance: it is taken to be as far as passages are in general, and its words decide.
    """

    chunk_id: int
    kb_id: str
    text: str
    score: float
    near: float
    words: float = 0.0
    fused: float = 0.0
    outcome: str = ""
    # Ranks within each of the two and altogether, from 1.
    vector_rank: int | None = None
    word_rank: int | None = None
    rank: int | None = None
    # What a reranker says, and the rank by that among those that it was given.
    rerank: float | None = None
    rerank_rank: int | None = None
    is_embedded: bool = True

    @property
    def order(self) -> tuple[bool, int]:
        """What was reranked comes first, in that order."""
        return self.rerank_rank is None, self.rerank_rank or self.rank or 0

    @property
    def strength(self) -> float:
        """What both opinions together make of it, whatever weights a knowledge base gives them."""
        return NEAR_WEIGHT * self.near + WORDS_WEIGHT * self.words


def nearness(score: float, mean: float, deviation: float) -> float:
    """How many standard deviations nearer than usual."""
    return (mean - score) / max(deviation, SMALLEST_SPREAD)


def fuse(candidates: Sequence[Candidate], weight: float, method: Method) -> list[Candidate]:
    """Best first. `weight` is that of the words, 0 to 1; with 0 the nearest comes first, as without words."""
    by_distance = sorted(
        (found for found in candidates if found.is_embedded),
        key=lambda found: (found.score, found.chunk_id),
    )
    by_words = sorted(
        (found for found in candidates if found.words > 0), key=lambda found: (-found.words, found.chunk_id)
    )
    for rank, found in enumerate(by_distance, start=1):
        found.vector_rank = rank
    for rank, found in enumerate(by_words, start=1):
        found.word_rank = rank
    for found in candidates:
        found.fused = _by_rank(found, weight) if method == "rank" else worth(found, weight)
    ranked = sorted(candidates, key=lambda found: (-found.fused, found.score, found.chunk_id))
    for rank, found in enumerate(ranked, start=1):
        found.rank = rank
    return ranked


def place(
    others: Sequence[Candidate], ranked: Sequence[Candidate], weight: float, method: Method
) -> list[Candidate]:
    """Candidates that were not found, with the ranks that they would have; those that were keep theirs."""
    for found in others:
        if found.is_embedded:
            found.vector_rank = 1 + sum(other.score < found.score for other in ranked if other.is_embedded)
        if found.words > 0:
            found.word_rank = 1 + sum(other.words > found.words for other in ranked)
        found.fused = _by_rank(found, weight) if method == "rank" else worth(found, weight)
        found.rank = 1 + sum(other.fused > found.fused for other in ranked)
    return sorted(others, key=lambda found: (found.rank or 0, found.chunk_id))


def worth(found: Candidate, weight: float) -> float:
    """By scores: comparable between questions, too."""
    return 2 * ((1 - weight) * NEAR_WEIGHT * found.near + weight * WORDS_WEIGHT * found.words)


def _by_rank(found: Candidate, weight: float) -> float:
    near = 1 / (_RANK_CONSTANT + found.vector_rank) if found.vector_rank else 0.0
    words = 1 / (_RANK_CONSTANT + found.word_rank) if found.word_rank else 0.0
    return 2 * ((1 - weight) * near + weight * words)


def reorder(ranked: Sequence[Candidate], scores: Mapping[int, float]) -> list[Candidate]:
    """Those that a reranker has scored, by id, in its order; behind them the others in theirs."""
    first = sorted(
        (found for found in ranked if found.chunk_id in scores), key=lambda found: -scores[found.chunk_id]
    )
    for rank, found in enumerate(first, start=1):
        found.rerank, found.rerank_rank = scores[found.chunk_id], rank
    return [*first, *(found for found in ranked if found.chunk_id not in scores)]


def choose(ranked: Sequence[Candidate], count: int, *, collapse: bool, diversity: float) -> list[Candidate]:
    """The best `count`; the others' outcomes say why not.

    `collapse` leaves out what says the same as a better one. `diversity` above 0 prefers what differs from the chosen
    (Carbonell and Goldstein, The Use of MMR, SIGIR 1998).
    """
    words_of, worths = _Vocabularies(), _worths(ranked)
    # How many of the chosen each was compared with, and what it is like the most.
    likest: dict[int, tuple[int, float]] = {}

    def likeness_to_chosen(found: Candidate) -> float:
        known, most = likest.get(found.chunk_id, (0, 0.0))
        most = max([most, *(words_of.likeness(found, other) for other in chosen[known:])])
        likest[found.chunk_id] = len(chosen), most
        return most

    left, chosen = [found for found in ranked if not found.outcome], list[Candidate]()
    while left and len(chosen) < count:
        best = left[0]
        if diversity and chosen:
            top, low = worths[left[0].chunk_id], worths[left[min(len(left), 3 * count) - 1].chunk_id]
            scale = (top - low) or 1.0
            best = max(
                left[: 3 * count],
                key=lambda found: (
                    (1 - diversity) * (worths[found.chunk_id] - low) / scale
                    - diversity * likeness_to_chosen(found)
                ),
            )
        left.remove(best)
        if collapse and any(words_of.are_the_same(best, other) for other in chosen):
            best.outcome = "duplicate"
            continue
        best.outcome = "hit"
        chosen.append(best)
    for found in left:
        found.outcome = "rank"
    return chosen


def _worths(ranked: Sequence[Candidate]) -> dict[int, float]:
    """By what they were ordered: a reranker's scores, behind which all others are worth the same, or what was fused."""
    reranked = [found.rerank for found in ranked if found.rerank is not None]
    if not reranked:
        return {found.chunk_id: found.fused for found in ranked}
    low = min(reranked)
    return {found.chunk_id: low if found.rerank is None else found.rerank for found in ranked}


class _Vocabularies:
    """The pairs of characters of passages, a bit for each, and their words and numbers: taken apart once."""

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}
        self._pairs: dict[int, tuple[int, frozenset[str]]] = {}

    def _of(self, found: Candidate) -> tuple[int, frozenset[str]]:
        if found.chunk_id not in self._pairs:
            text = "".join(found.text.split())
            pairs = self._in_bits(set(map("".join, pairwise(text))))
            self._pairs[found.chunk_id] = (pairs, frozenset(_WORD.findall(found.text)))
        return self._pairs[found.chunk_id]

    def _in_bits(self, pairs: Iterable[str]) -> int:
        numbers = [self._bits.setdefault(pair, len(self._bits)) for pair in pairs]
        octets = bytearray(max(numbers, default=0) // 8 + 1)
        for number in numbers:
            octets[number // 8] |= 1 << number % 8
        return int.from_bytes(octets, "little")

    def likeness(self, one: Candidate, other: Candidate) -> float:
        """Jaccard's coefficient; two without pairs are alike."""
        mine, theirs = self._of(one)[0], self._of(other)[0]
        return (mine & theirs).bit_count() / (mine | theirs).bit_count() if mine or theirs else 1.0

    def are_the_same(self, one: Candidate, other: Candidate) -> bool:
        """Do both say the same? What differs in a number or a name does not, and of short ones every character counts."""
        if one.text == other.text:
            return True
        is_long = min(len(one.text), len(other.text)) >= _LONG
        return is_long and self._of(one)[1] == self._of(other)[1] and self.likeness(one, other) >= _DUPLICATE
