"""What speaks for a piece of text answering a question, in a few plain numbers. The weights stand in quoting.py."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from server.llm.quantities import quantities, ranges
from server.llm.question_types import answer_type, attribute, without_fillers
from server.llm.sentences import Span, is_item, leads_in, split
from server.llm.synonyms import between_words, synonyms
from server.llm.terms import is_abridged, normalise, singles, terms, vocabulary, weight

# Longest piece that is not cut further, in characters.
LONGEST_UNIT = 120

# The nearest passage is compared with this many-th nearest.
_RIVAL = 3
# A lead of this much is clear; more tells no more (logarithm of a ratio of squared distances).
_CLEAR_LEAD = 0.3
# Speaks neither for nor against: for a single passage, or unknown distances.
_NEUTRAL_LEAD = 0.15
# Speaks neither for nor against, where nothing is known of how strong the others are.
_NEUTRAL_STANDING = 8.0
# Chunks that share a line of so many characters follow one another.
_SHORTEST_OVERLAP = 10
# Farther than this is far (logarithm of a ratio of squared distances).
_FAR = 1.0
# Where cells end that are whole names, what stands in front of a cell of a record, and how a record looks.
_CELL_END = re.compile(r"[\n|;,、/()《》]|[和与及或]")
_LABEL = re.compile(r"^[^:]{1,30}: ")
_LABELS = re.compile(r"(?:^|\n|; )([^\n:;]{1,30}): ")
# A passage that has no more than this of what is asked does not speak of it.
_MOST = 0.5
# A record is about the topic if it has this part of what its labels do not say.
_TOPIC_PART = 0.25
_FIELD = re.compile(r"(?:^|\n)[^\n:]{1,30}: ")
# Rounding may bring the distance of equal vectors to zero or below.
_SMALLEST_DISTANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Asked:
    """A question taken apart: its text, and its terms and single characters with their weights.

    `quantities` are those terms that are numbers of something, `attribute` those that name what is asked of the topic
    (`amount`: how much of it), `synonyms` those that other words may stand for.
    """

    text: str
    terms: Mapping[str, float]
    characters: Mapping[str, float]
    quantities: Sequence[tuple[str, float, str]]
    attribute: Mapping[str, float]
    amount: bool
    synonyms: Sequence[tuple[Set[str], Set[str]]]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of the passage with that index: where it stands, its text in one spelling, and what is in it.

    `vocabulary` is all of its terms and characters, `found` the question's terms among them, `topic` those that stand
    above the whole passage, in the name of its file and the headings it is under. `head` is what a row of a table or
    an item of a list must be read with: the header or caption, or the sentence ending in a colon that leads to it.
    """

    passage: int
    span: Span
    head: Span | None
    is_row: bool
    is_listed: bool
    text: str
    vocabulary: Set[str]
    found: Set[str]
    topic: Set[str]

    @property
    def leads_in(self) -> bool:
        """True if it ends in a colon: the units after it are what it says."""
        return leads_in(self.text)

    @property
    def is_record(self) -> bool:
        """True for what consists of cells."""
        return self.is_row or _FIELD.search(self.text) is not None


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
    nearness: float  # 0 in the nearest passage, less in others: minus the logarithm of the ratio of distances
    named: float  # share of the question's weight in cells that stand whole in the question: the row it names


class Evidence(NamedTuple):
    """What speaks for the answer being in the passages at all."""

    coverage: float  # best share of the question's squared term weights in one passage: rare terms count most
    characters: float  # best share of its characters in one unit
    lead: float  # how clearly the nearest passage stands out
    standing: float  # how far the strongest passage stands above its rival
    missing: (
        float  # share of the amount asked for (工资 in …的工资是多少) that the best passage has no word of
    )
    named: float  # best share of its terms in cells that stand whole in the question: the row it names


def take_apart(question: str, fold: Callable[[str], str] = str) -> Asked:
    """Find what the question is about; words that only ask count for nothing."""
    text = normalise(fold(question))
    found = dict.fromkeys(_terms_of(text))
    characters = dict.fromkeys(single for term in found for single in singles(term))
    return Asked(
        text,
        {term: weight(term) for term in found},
        {single: weight(single) for single in characters},
        [quantity for quantity in quantities(text) if quantity[0] in found],
        {term: weight(term) for term in _terms_of(attribute(text)) if term in found},
        "多少" in text,
        [(set(terms(word)) & found.keys(), others) for word, others in synonyms(text).items()],
    )


def _terms_of(question: str) -> list[str]:
    return terms(between_words(without_fillers(question)))


def cut(
    asked: Asked,
    texts: Sequence[str],
    longest: int = LONGEST_UNIT,
    fold: Callable[[str], str] = str,
    contexts: Sequence[str] = (),
) -> list[Unit]:
    """Cut all passages into units. A first line that only repeats the end of the context is a heading, not a unit."""
    return [
        unit
        for index, text in enumerate(texts)
        for unit in _cut_one(
            asked,
            index,
            text,
            contexts[index] if contexts else "",
            normalise(fold(_continued(texts, index, longest))),
            longest,
            fold,
        )
    ]


def _cut_one(
    asked: Asked, index: int, text: str, context: str, table: str, longest: int, fold: Callable[[str], str]
) -> Iterator[Unit]:
    """The units of one passage; `table` is the head of the table that it begins inside of."""
    body = _after_heading(text, context)
    context = normalise(fold(context))
    topic = _found(asked, context, vocabulary(context))
    # The sentence ending in a colon that leads to what is listed now: its place and its text.
    lead: tuple[Span | None, str] = (None, "")
    for piece in split(text[body:], longest):
        span, head = _moved(piece.span, body), piece.head and _moved(piece.head, body)
        folded = normalise(fold(text[slice(*span)]))
        is_listed = piece.is_row or is_item(folded)
        if not is_listed:
            lead = (span, f"{folded}\n") if leads_in(folded) else (None, "")
        if head is not None:
            table = normalise(fold(text[slice(*head)])) + "\n"
        elif not piece.is_row:
            table = ""
        if is_listed and not piece.is_row:
            head = lead[0]
        above = (lead[1] if is_listed else "") + table
        words = vocabulary(above + folded)
        found = _found(asked, folded, words, above)
        yield Unit(index, span, head, piece.is_row, is_listed, folded, words, found, topic)


def _continued(texts: Sequence[str], index: int, longest: int) -> str:
    """The head of the table that the passage begins inside of, if another one ends with the same line."""
    line = texts[index].partition("\n")[0].strip()
    if len(line) < _SHORTEST_OVERLAP:
        return ""
    before = next((text for other, text in enumerate(texts) if other != index and text.endswith(line)), "")
    last = next(reversed(split(before, longest)), None)
    return before[slice(*last.head)] + "\n" if last and last.head else ""


def _moved(span: Span, offset: int) -> Span:
    return span[0] + offset, span[1] + offset


def _found(asked: Asked, text: str, words: Set[str], above: str = "") -> set[str]:
    """The question's terms among the words of a text and what is read above it.

    Shortened words, synonyms and ranges that hold a number count; a number of something else does not.
    """
    whole = above + text
    found = words & asked.terms.keys()
    found |= {term for term in asked.terms.keys() - found if is_abridged(term, whole)}
    for word, others in asked.synonyms:
        if any(other in whole for other in others):
            found |= word
    for term, value, measure in asked.quantities:
        limits = [limit for limit in ranges(text) or ranges(above) if limit.measure == measure]
        counted = {kind for _, number, kind in quantities(whole) if number == value}
        if any(limit.holds(value, measure) for limit in limits):
            found.add(term)
        elif limits or (counted and measure not in counted):
            found.discard(term)
    return found


def _after_heading(text: str, context: str) -> int:
    """Where the text goes on behind its heading; 0 when there is none or nothing follows."""
    line, _, rest = text.partition("\n")
    heading = line.strip("# ")
    return len(line) + 1 if heading and context.endswith(heading) and rest.strip() else 0


def candidates(asked: Asked, units: Sequence[Unit]) -> list[Unit]:
    """The units without those of records that are about something else, or do not say what is asked.

    A record says in few words what it is about; running text may use other words, so it always stays.
    """
    return [
        unit
        for passage in _passages(units)
        if not _is_record(passage) or (_has_topic(asked, passage) and _missing(asked, passage) < _MOST)
        for unit in passage
    ]


def _passages(units: Sequence[Unit]) -> list[list[Unit]]:
    return [list(group) for _, group in groupby(units, key=lambda unit: unit.passage)]


def _is_record(passage: Sequence[Unit]) -> bool:
    return all(unit.is_record for unit in passage)


def _found_in(passage: Sequence[Unit]) -> set[str]:
    return set().union(*(unit.found | unit.topic for unit in passage))


def _has_topic(asked: Asked, passage: Sequence[Unit]) -> bool:
    """True unless the labels of a record are all that the question speaks of: the phone of somebody else."""
    labels = "\n".join(label for unit in passage for label in _LABELS.findall(unit.text))
    named = _found(asked, labels, vocabulary(labels))
    topic = {term: value for term, value in asked.terms.items() if term not in named}
    return (
        not named
        or not topic
        or _share(_found_in(passage), topic) >= _TOPIC_PART
        or any(_named(asked, unit) for unit in passage)
    )


def _missing(asked: Asked, passage: Sequence[Unit]) -> float:
    """How much of what is asked of the topic (工资 in 主任的工资是多少) a passage has no word of."""
    return 1 - _share(_found_in(passage), asked.attribute) if asked.attribute else 0.0


def weigh(
    asked: Asked, units: Sequence[Unit], distances: Sequence[float], strengths: Sequence[float]
) -> Evidence:
    """The evidence over all passages, of which distances and strengths are given; zero without terms or units."""
    squared = {term: value * value for term, value in asked.terms.items()}
    passages = _passages(units)
    shares = [_share(_found_in(passage), squared) for passage in passages]
    coverage = max(shares, default=0.0)
    best = [passage for passage, share in zip(passages, shares, strict=True) if share == coverage]
    missing = min((_missing(asked, passage) for passage in best), default=0.0)
    return Evidence(
        coverage=coverage,
        characters=max((_share(unit.vocabulary, asked.characters) for unit in units), default=0.0),
        lead=_lead(distances, {unit.passage for unit in units}),
        standing=_standing(strengths),
        # Texts call an amount by its name; a reason, a place or a person is often told without the word.
        missing=missing if asked.amount else 0.0,
        named=max((_share(_named(asked, unit), asked.terms) for unit in units), default=0.0),
    )


def describe(asked: Asked, units: Sequence[Unit], distances: Sequence[float]) -> Iterator[UnitFeatures]:
    """The features of each unit, in order."""
    nearness = _nearness(distances)
    kind = answer_type(asked.text)
    local = _local_weights(asked, units)
    earlier: set[str] = set()
    for index, unit in enumerate(units):
        is_first = index == 0 or units[index - 1].passage != unit.passage
        is_last = index == len(units) - 1 or units[index + 1].passage != unit.passage
        before = set() if is_first else units[index - 1].found
        after = set() if is_last else units[index + 1].found
        earlier = set(unit.topic) if is_first else earlier | before
        if unit.is_row:  # its neighbours speak of something else
            before = after = set()
        yield UnitFeatures(
            coverage=_share(unit.found, local),
            characters=_share(unit.vocabulary, asked.characters),
            previous=_share(before - unit.found, local),
            following=_share(after - unit.found, local),
            earlier=_share(earlier - unit.found, asked.terms),
            answer_type=float(kind is not None and _holds_new(kind.answers, unit.text, asked.text)),
            first=float(is_first),
            length=math.log(len(unit.text) + 1),
            nearness=nearness[unit.passage],
            named=_share(_named(asked, unit), asked.terms),
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


def _lead(distances: Sequence[float], there: Set[int]) -> float:
    """How much farther away a rival is than the nearest passage that is there.

    A ratio needs no absolute threshold, which would differ between embedding models: the ratio test of Lowe,
    Distinctive Image Features from Scale-Invariant Keypoints, IJCV 2004.
    """
    ranked = sorted(max(distance, _SMALLEST_DISTANCE) for distance in distances if math.isfinite(distance))
    if len(ranked) == 1 or len(ranked) < len(distances) or not there:
        return _NEUTRAL_LEAD
    nearest = max(_SMALLEST_DISTANCE, min(distances[index] for index in there))
    return max(0.0, min(_CLEAR_LEAD, math.log(ranked[:_RIVAL][-1] / nearest)))


def _standing(strengths: Sequence[float]) -> float:
    """How much stronger than its rival the strongest passage is: where nothing answers, several are about as weak."""
    ranked = sorted((strength for strength in strengths if math.isfinite(strength)), reverse=True)
    if len(ranked) < max(2, len(strengths)):
        return _NEUTRAL_STANDING
    return ranked[0] - ranked[:_RIVAL][-1]


def _nearness(distances: Sequence[float]) -> list[float]:
    """How much farther away than the nearest each passage is; nothing is known of distances that are no numbers."""
    if not all(math.isfinite(distance) for distance in distances):
        return [0.0] * len(distances)
    nearest = max(_SMALLEST_DISTANCE, min(distances, default=1.0))
    return [-min(_FAR, math.log(max(distance, nearest) / nearest)) for distance in distances]


def _named(asked: Asked, unit: Unit) -> set[str]:
    """The question's terms in cells that it says whole, and its numbers that lie in the ranges of a record.

    销售 names the row of 销售, not that of 市场销售部; 12年 names 满10年不满20年.
    """
    if not unit.is_record:
        return set()
    cells = [_LABEL.sub("", cell).strip() for cell in _CELL_END.split(unit.text)]
    named = {term for cell in cells if len(cell) > 1 and cell in asked.text for term in terms(cell)}
    limits = ranges(unit.text)
    for term, value, measure in asked.quantities:
        if any(limit.holds(value, measure) for limit in limits):
            named.add(term)
    return named & asked.terms.keys()


def _holds_new(answers: re.Pattern[str], unit: str, question: str) -> bool:
    """True if the unit has something of that kind that the question does not already say."""
    return any(match.group() not in question for match in answers.finditer(unit))
