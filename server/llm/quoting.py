"""The answerer that needs no language model: it quotes the sentences of the hits that answer the question.

Every piece of the passages gets a score from how much of the question it and its surroundings repeat, and from whether
it holds what was asked for (a date, a number …). The scores become shares of belief, and the best pieces are quoted
until they hold enough of it: one short sentence for a clear case, several for a doubtful one. Before that, evidence
over all passages decides whether the answer is there at all; if not, nothing is quoted.

Selecting answer sentences by weighted overlap: Yu et al., Deep Learning for Answer Sentence Selection, 2014,
arXiv:1412.1632 (their baseline, and ours). The weights were fitted by evals/fit_quote.py.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from server.llm.question_types import answer_type, without_fillers
from server.llm.sentences import Span, split
from server.llm.terms import normalise, singles, terms, vocabulary, weight

# Most characters quoted in one answer.
BUDGET = 200
# Longest piece that is never cut, in characters.
LONGEST_PIECE = 120
# Pieces are added until they hold this share of belief.
ENOUGH_BELIEF = 0.8
# Two pieces with no more than this many characters of white space between them are quoted as one.
_GAP = 2
# How much farther the third nearest passage is than the nearest tells whether one stands out (the ratio test of
# Lowe, Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004: it needs no absolute threshold, which
# would differ between embedding models). More than a logarithm of 0.3 tells no more.
_RIVAL = 2
_CLEAR_LEAD = 0.3
# A lead that speaks neither for nor against, for a single passage.
_NEUTRAL_LEAD = 0.15


@dataclass(frozen=True, slots=True)
class Passage:
    """One hit. `distance` is the squared L2 distance of unit vectors: smaller is closer."""

    number: int
    text: str
    distance: float


@dataclass(frozen=True, slots=True)
class Quote:
    """Consecutive sentences copied from the passage with that number; `score` is the belief in them, 0 to 1."""

    passage: int
    text: str
    score: float


class UnitFeatures(NamedTuple):
    """What speaks for one piece; all but the last three are shares of the question's weight."""

    coverage: float  # terms in the piece, weighted by how few pieces have them
    characters: float  # single characters in the piece
    previous: float  # terms that the piece lacks and the one before has
    following: float  # the same for the one after
    earlier: float  # terms that the piece lacks and any earlier piece of the passage has
    answer_type: float  # 1 if it holds what is asked for
    first: float  # 1 for the first piece of a passage: it introduces the topic
    length: float  # logarithm of the number of characters


class Evidence(NamedTuple):
    """What speaks for an answer being in the passages at all."""

    coverage: float  # best share of the question's squared term weights in one passage
    characters: float  # best share of its characters in one piece
    lead: float  # how far the nearest passage stands out


# Found by evals/fit_quote.py.
UNIT_WEIGHTS = UnitFeatures(5.2, 4.5, 1.6, 2.2, 5.0, 1.4, 0.6, -0.4)
EVIDENCE_WEIGHTS = Evidence(5.2, 3.6, 11.0)
EVIDENCE_NEEDED = 6.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart: its text, and its terms and single characters with their weights."""

    text: str
    terms: Mapping[str, float]
    characters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a passage; `words` is its vocabulary, `found` the question's terms in it."""

    passage: int
    span: Span
    text: str
    words: frozenset[str]
    found: frozenset[str]


def quote(
    question: str,
    passages: Sequence[Passage],
    *,
    budget: int = BUDGET,
    fold: Callable[[str], str] = normalise,
) -> list[Quote]:
    """Quote what answers the question, at most `budget` characters in all; an empty list means "not in there".

    Best passage first, and in reading order within a passage. `fold` brings question and passages to one spelling for
    matching only (say, Traditional to Simplified Chinese); what is quoted is never changed.
    """
    asked = take_apart(question, fold)
    units = cut(asked, passages, min(LONGEST_PIECE, budget), fold) if budget > 0 else []
    if not asked.terms or not units or judge(asked, passages, units) < EVIDENCE_NEEDED:
        return []
    beliefs = _softmax([dot(UNIT_WEIGHTS, features) for features in describe(asked, units)])
    chosen = _choose(units, beliefs, budget)
    return _join(passages, units, beliefs, chosen)


def take_apart(question: str, fold: Callable[[str], str] = normalise) -> Asked:
    """Find what the question is about. Words that only ask, or stand everywhere, count for nothing."""
    text = normalise(fold(question))
    found = dict.fromkeys(terms(without_fillers(text)))
    characters = dict.fromkeys(single for term in found for single in singles(term))
    return Asked(
        text, {term: weight(term) for term in found}, {single: weight(single) for single in characters}
    )


def cut(
    asked: Asked,
    passages: Sequence[Passage],
    longest: int = LONGEST_PIECE,
    fold: Callable[[str], str] = normalise,
) -> list[Unit]:
    """Cut all passages into units."""
    units = []
    for index, passage in enumerate(passages):
        for start, end in split(passage.text, longest):
            text = normalise(fold(passage.text[start:end]))
            words = frozenset(vocabulary(text))
            units.append(Unit(index, (start, end), text, words, words & asked.terms.keys()))
    return units


def judge(asked: Asked, passages: Sequence[Passage], units: Sequence[Unit]) -> float:
    """How much speaks for the answer being in the passages."""
    return dot(EVIDENCE_WEIGHTS, weigh(asked, passages, units))


def weigh(asked: Asked, passages: Sequence[Passage], units: Sequence[Unit]) -> Evidence:
    """The evidence over all passages."""
    found: list[set[str]] = [set() for _ in passages]
    for unit in units:
        found[unit.passage] |= unit.found
    squared = {term: value * value for term, value in asked.terms.items()}
    return Evidence(
        coverage=max(_share(present, squared) for present in found),
        characters=max(_share(unit.words, asked.characters) for unit in units),
        lead=_lead([passage.distance for passage in passages]),
    )


def describe(asked: Asked, units: Sequence[Unit]) -> Iterator[UnitFeatures]:
    """The features of each unit."""
    kind = answer_type(asked.text)
    local = _local_weights(asked, units)
    earlier: set[str] = set()
    for index, unit in enumerate(units):
        before = units[index - 1] if index and units[index - 1].passage == unit.passage else None
        after = (
            units[index + 1]
            if units[index + 1 : index + 2] and units[index + 1].passage == unit.passage
            else None
        )
        earlier = earlier | before.found if before else set()
        yield UnitFeatures(
            coverage=_share(unit.found, local),
            characters=_share(unit.words, asked.characters),
            previous=_share(before.found - unit.found, local) if before else 0.0,
            following=_share(after.found - unit.found, local) if after else 0.0,
            earlier=_share(earlier - unit.found, asked.terms),
            answer_type=float(kind is not None and _holds(kind.answers, unit.text, asked.text)),
            first=float(before is None),
            length=math.log(len(unit.text) + 1),
        )


def dot(weights: Sequence[float], features: Sequence[float]) -> float:
    """Weigh the features."""
    return sum(a * b for a, b in zip(weights, features, strict=True))


def _local_weights(asked: Asked, units: Sequence[Unit]) -> dict[str, float]:
    """The weights of the terms that occur, times BM25's idf over the units: what all pieces share tells none apart.

    Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
    """
    counts = Counter(term for unit in units for term in unit.found)
    total = len(units)
    return {
        term: asked.terms[term] * math.log(1 + (total - count + 0.5) / (count + 0.5))
        for term, count in counts.items()
    }


def _share(present: set[str] | frozenset[str], weights: Mapping[str, float]) -> float:
    """The part of the whole weight that the present ones carry."""
    total = sum(weights.values())
    return sum(value for key, value in weights.items() if key in present) / total if total else 0.0


def _lead(distances: Sequence[float]) -> float:
    usable = sorted(distance for distance in distances if 0 < distance < math.inf)
    if len(usable) < min(2, len(distances)) or len(usable) < 2:
        return _NEUTRAL_LEAD
    return min(_CLEAR_LEAD, math.log(usable[min(_RIVAL, len(usable) - 1)] / usable[0]))


def _holds(answers: re.Pattern[str], unit: str, question: str) -> bool:
    """True if the unit has something of that type that the question does not already say."""
    return any(match.group() not in question for match in answers.finditer(unit))


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _choose(units: Sequence[Unit], beliefs: Sequence[float], budget: int) -> list[int]:
    """The most believed units until they hold enough belief or the budget is spent, in reading order."""
    chosen: list[int] = []
    belief, left = 0.0, budget
    for index in sorted(range(len(units)), key=lambda i: (-beliefs[i], i)):
        start, end = units[index].span
        left -= end - start + (_GAP if chosen else 0)
        if left < 0 or belief >= ENOUGH_BELIEF:
            break
        chosen.append(index)
        belief += beliefs[index]
    return sorted(chosen)


def _join(
    passages: Sequence[Passage], units: Sequence[Unit], beliefs: Sequence[float], chosen: Sequence[int]
) -> list[Quote]:
    """Make quotes; neighbours become one, and the passage with the most believed unit comes first."""
    runs: list[list[int]] = []
    for index in chosen:
        if runs and _adjoin(units, runs[-1][-1], index):
            runs[-1].append(index)
        else:
            runs.append([index])
    best: dict[int, float] = {}
    for index in chosen:
        best[units[index].passage] = max(best.get(units[index].passage, 0.0), beliefs[index])
    runs.sort(key=lambda run: -best[units[run[0]].passage])
    return [_quote(passages, units, beliefs, run) for run in runs]


def _adjoin(units: Sequence[Unit], one: int, other: int) -> bool:
    if other != one + 1 or units[one].passage != units[other].passage:
        return False
    return units[other].span[0] - units[one].span[1] <= _GAP


def _quote(
    passages: Sequence[Passage], units: Sequence[Unit], beliefs: Sequence[float], run: Sequence[int]
) -> Quote:
    passage = passages[units[run[0]].passage]
    text = passage.text[units[run[0]].span[0] : units[run[-1]].span[1]]
    return Quote(passage.number, text, round(sum(beliefs[index] for index in run), 4))
