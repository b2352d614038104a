"""What speaks for a piece of text answering a question, in a few plain numbers. The weights stand in quoting.py."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from server.llm.question_types import answer_type, without_fillers
from server.llm.sentences import Span, split
from server.llm.terms import normalise, singles, terms, vocabulary, weight

# Longest piece that is not cut further, in characters.
LONGEST_UNIT = 120

# The nearest passage is compared with this many-th nearest.
_RIVAL = 3
# A lead of this much is clear; more tells no more (logarithm of a ratio of squared distances).
_CLEAR_LEAD = 0.3
# Speaks neither for nor against: for a single passage, or unknown distances.
_NEUTRAL_LEAD = 0.15
# Rounding may bring the distance of equal vectors to zero or below.
_SMALLEST_DISTANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart: its text, and its terms and single characters with their weights."""

    text: str
    terms: Mapping[str, float]
    characters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the passage with that index: where it stands, its text in one spelling, and what is in it.

    `vocabulary` is all of its terms and characters, `found` the question's terms among them, `topic` those that stand
    above the whole passage, in the name of its file and the headings it is under.
    """

    passage: int
    span: Span
    text: str
    vocabulary: Set[str]
    found: Set[str]
    topic: Set[str]


class UnitFeatures(NamedTuple):
    """What speaks for one unit. The first five are shares of the question's weight."""

    coverage: float  # terms in the unit; terms that few units have count more
    characters: float  # single characters in the unit
    previous: float  # terms that it lacks and the unit before has
    following: float  # terms that it lacks and the unit after has
    earlier: float  # terms that it lacks and any earlier unit of the passage has: what it is about
    answer_type: float  # 1 if it holds the kind of thing that is asked for
    first: float  # 1 for the first unit of a passage, which often introduces its topic
    length: float  # logarithm of the number of characters


class Evidence(NamedTuple):
    """What speaks for the answer being in the passages at all."""

    coverage: float  # best share of the question's squared term weights in one passage: rare terms count most
    characters: float  # best share of its characters in one unit
    lead: float  # how clearly the nearest passage stands out


def take_apart(question: str, fold: Callable[[str], str] = str) -> Asked:
    """Find what the question is about; words that only ask count for nothing."""
    text = normalise(fold(question))
    found = dict.fromkeys(terms(without_fillers(text)))
    characters = dict.fromkeys(single for term in found for single in singles(term))
    return Asked(
        text, {term: weight(term) for term in found}, {single: weight(single) for single in characters}
    )


def cut(
    asked: Asked,
    texts: Sequence[str],
    longest: int = LONGEST_UNIT,
    fold: Callable[[str], str] = str,
    contexts: Sequence[str] = (),
) -> list[Unit]:
    """Cut all passages into units. A first line that only repeats the end of the context is a heading, not a unit."""
    units = []
    for index, text in enumerate(texts):
        context = contexts[index] if contexts else ""
        topic = vocabulary(normalise(fold(context))) & asked.terms.keys()
        body = _after_heading(text, context)
        for start, end in split(text[body:], longest):
            span = (body + start, body + end)
            folded = normalise(fold(text[span[0] : span[1]]))
            words = vocabulary(folded)
            units.append(Unit(index, span, folded, words, words & asked.terms.keys(), topic))
    return units


def _after_heading(text: str, context: str) -> int:
    """Where the text goes on behind its heading; 0 when there is none or nothing follows."""
    line, _, rest = text.partition("\n")
    heading = line.strip("# ")
    return len(line) + 1 if heading and context.endswith(heading) and rest.strip() else 0


def weigh(asked: Asked, units: Sequence[Unit], distances: Sequence[float]) -> Evidence:
    """The evidence over all passages; zero without terms or units."""
    found: dict[int, set[str]] = {}
    for unit in units:
        found.setdefault(unit.passage, set(unit.topic)).update(unit.found)
    squared = {term: value * value for term, value in asked.terms.items()}
    return Evidence(
        coverage=max((_share(present, squared) for present in found.values()), default=0.0),
        characters=max((_share(unit.vocabulary, asked.characters) for unit in units), default=0.0),
        lead=_lead(distances),
    )


def describe(asked: Asked, units: Sequence[Unit]) -> Iterator[UnitFeatures]:
    """The features of each unit, in order."""
    kind = answer_type(asked.text)
    local = _local_weights(asked, units)
    earlier: set[str] = set()
    for index, unit in enumerate(units):
        is_first = index == 0 or units[index - 1].passage != unit.passage
        is_last = index == len(units) - 1 or units[index + 1].passage != unit.passage
        before = set() if is_first else units[index - 1].found
        after = set() if is_last else units[index + 1].found
        earlier = set(unit.topic) if is_first else earlier | before
        yield UnitFeatures(
            coverage=_share(unit.found, local),
            characters=_share(unit.vocabulary, asked.characters),
            previous=_share(before - unit.found, local),
            following=_share(after - unit.found, local),
            earlier=_share(earlier - unit.found, asked.terms),
            answer_type=float(kind is not None and _holds_new(kind.answers, unit.text, asked.text)),
            first=float(is_first),
            length=math.log(len(unit.text) + 1),
        )


def _local_weights(asked: Asked, units: Sequence[Unit]) -> dict[str, float]:
    """The weights of the terms that occur, times BM25's idf over the units: what all of them share tells none apart.

    Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
    """
    counts = Counter(term for unit in units for term in sorted(unit.found))
    total = len(units)
    return {
        term: asked.terms[term] * math.log(1 + (total - count + 0.5) / (count + 0.5))
        for term, count in counts.items()
    }


def _share(present: Set[str], weights: Mapping[str, float]) -> float:
    """The part of the whole weight that the present ones carry."""
    total = sum(weights.values())
    return sum(value for key, value in weights.items() if key in present) / total if total else 0.0


def _lead(distances: Sequence[float]) -> float:
    """How much farther away a rival is than the nearest passage.

    A ratio needs no absolute threshold, which would differ between embedding models: the ratio test of Lowe,
    Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004.
    """
    ranked = sorted(max(distance, _SMALLEST_DISTANCE) for distance in distances if math.isfinite(distance))
    if len(ranked) == 1 or len(ranked) < len(distances):
        return _NEUTRAL_LEAD
    return min(_CLEAR_LEAD, math.log(ranked[:_RIVAL][-1] / ranked[0])) if ranked else _NEUTRAL_LEAD


def _holds_new(answers: re.Pattern[str], unit: str, question: str) -> bool:
    """True if the unit has something of that kind that the question does not already say."""
    return any(match.group() not in question for match in answers.finditer(unit))
