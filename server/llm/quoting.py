"""The answerer that needs no language model: it quotes the sentences of the hits that answer the question.

First, evidence over all passages decides whether the answer is there at all; if not, nothing is quoted. Then every
sentence gets a score from how much of the question it and its surroundings repeat, and from whether it holds what was
asked for (a date, a number …). Scores become shares of belief, and the best sentences are quoted until they hold
enough of it: one short sentence for a clear case, several for a doubtful one. Text is only ever copied: nothing is
invented, and nothing that a passage says is obeyed.

Selecting sentences by weighted word overlap is the classical baseline: Yu et al., Deep Learning for Answer Sentence
Selection, 2014, arXiv:1412.1632. The weights were fitted by evals/fit_quote.py; evals/quote.py measures them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from server.llm.evidence import (
    LONGEST_UNIT,
    Evidence,
    Unit,
    UnitFeatures,
    candidates,
    cut,
    describe,
    take_apart,
    weigh,
)
from server.llm.sentences import Span

# Most characters quoted in one answer.
BUDGET = 200
# Sentences are added until they hold this share of belief.
ENOUGH_BELIEF = 0.8
# What is believed this much less than the best is not worth adding, however doubtful the best is.
WORTH_ADDING = 0.12
# Two sentences with no more than this many characters of white space between them are quoted as one.
GAP = 2

# Found by evals/fit_quote.py on the tuning half of CMRC 2018 dev, as whole paragraphs and as chunks, but for `named` and
# `missing`: it has no tables, and hardly asks for amounts by name. Those are set so that they settle it.
UNIT_WEIGHTS = UnitFeatures(
    coverage=5.0,
    characters=4.2,
    previous=1.5,
    following=1.7,
    earlier=4.5,
    answer_type=1.3,
    first=0.5,
    length=-0.3,
    nearness=4.5,
    named=10.0,
)
EVIDENCE_WEIGHTS = Evidence(coverage=6.0, characters=3.0, lead=6.9, standing=0.19, missing=-6.0, named=5.0)
# Of questions that the passages cannot answer, nine in ten are refused, and of the others one in forty. Passages found by words
# always share words with the question, so this asks for more than distances alone would.
EVIDENCE_NEEDED = 7.7


@dataclass(frozen=True, slots=True)
class Passage:
    """One hit. `distance` is the squared L2 distance of unit vectors: smaller is closer. `strength` is what the search makes of it
    altogether: larger is better.

    `context` says what the passage is about: its file and the headings above it. It is matched and never quoted.
    """

    number: int
    text: str
    distance: float
    context: str = ""
    strength: float = math.nan


@dataclass(frozen=True, slots=True)
class Quote:
    """Consecutive sentences copied from the passage with that number, or rows of a table there under its header.

    `score` is the belief in them, 0 to 1.
    """

    passage: int
    text: str
    score: float


def quote(
    question: str,
    passages: Sequence[Passage],
    *,
    budget: int = BUDGET,
    needed: float = EVIDENCE_NEEDED,
    fold: Callable[[str], str] = str,
) -> list[Quote]:
    """Quote what answers the question, at most `budget` characters in all; an empty list means "not in there".

    The best passage comes first, its sentences in reading order. More `needed` evidence means more refusals. `fold`
    brings question and passages to one spelling for matching only (Traditional to Simplified Chinese, say): what is
    quoted stays as it was.
    """
    asked = take_apart(question, fold)
    if budget < 1 or not asked.terms:
        return []
    texts, contexts = [passage.text for passage in passages], [passage.context for passage in passages]
    units = candidates(asked, cut(asked, texts, min(LONGEST_UNIT, budget), fold, contexts))
    distances = [passage.distance for passage in passages]
    evidence = weigh(asked, units, distances, [passage.strength for passage in passages])
    if not units or _dot(EVIDENCE_WEIGHTS, evidence) < needed:
        return []
    beliefs = _pool(
        units, _softmax([_dot(UNIT_WEIGHTS, features) for features in describe(asked, units, distances)])
    )
    return _quotes(passages, units, beliefs, _choose(units, beliefs, budget))


def _dot(weights: Sequence[float], features: Sequence[float]) -> float:
    return sum(weight * feature for weight, feature in zip(weights, features, strict=True))


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _pool(units: Sequence[Unit], beliefs: Sequence[float]) -> list[float]:
    """Chunks overlap: what is said twice is believed in one place only, where it is whole, or believed most."""
    best: dict[str, int] = {}
    for index, unit in enumerate(units):
        if unit.text not in best or beliefs[index] > beliefs[best[unit.text]]:
            best[unit.text] = index
    pooled = [0.0] * len(units)
    for index, unit in enumerate(units):
        if index == 0 or units[index - 1].passage != unit.passage:  # a chunk may begin inside a sentence
            whole = (other for other in units if len(other.text) > len(unit.text))
            text = next((other.text for other in whole if other.text.endswith(unit.text)), unit.text)
        else:
            text = unit.text
        pooled[best[text]] += beliefs[index]
    return pooled


def _choose(units: Sequence[Unit], beliefs: Sequence[float], budget: int) -> list[int]:
    """The most believed units until they hold enough belief or the budget is spent, best first.

    Chunks overlap: what a chosen unit already says adds to the belief in it, and is not quoted twice. A unit that ends
    in a colon brings what it leads to, a row the head of its table.
    """
    chosen: list[int] = []
    ranked = sorted(range(len(units)), key=lambda i: (-beliefs[i], i))
    belief = 0.0
    for index in ranked:
        if belief >= ENOUGH_BELIEF or beliefs[index] < WORTH_ADDING * beliefs[ranked[0]]:
            break
        if index not in chosen and not any(units[index].text in units[other].text for other in chosen):
            if _length(units, [*chosen, index]) > budget:
                break
            chosen.append(index)
            for follower in _led_to(units, index):
                if follower not in chosen and _length(units, [*chosen, follower]) <= budget:
                    chosen.append(follower)
        belief += beliefs[index]
    return chosen


def _led_to(units: Sequence[Unit], index: int) -> Iterator[int]:
    """What a unit that ends in a colon leads to: the table or list after it, or else the one unit after it."""
    if not units[index].leads_in:
        return
    for follower in range(index + 1, len(units)):
        is_other = units[follower].passage != units[index].passage
        if is_other or (follower > index + 1 and not units[follower].is_listed):
            return
        yield follower
        if not units[follower].is_listed:
            return


def _length(units: Sequence[Unit], chosen: Sequence[int]) -> int:
    """How many characters the chosen units take, with what stands above them and what is put between them."""
    spans = {(units[index].passage, span) for index in chosen for span in _spans(units[index])}
    return sum(end - start for _, (start, end) in spans) + GAP * (len(spans) - 1)


def _spans(unit: Unit) -> list[Span]:
    return [unit.head, unit.span] if unit.head else [unit.span]


def _quotes(
    passages: Sequence[Passage], units: Sequence[Unit], beliefs: Sequence[float], chosen: Sequence[int]
) -> list[Quote]:
    """One quote for units that follow one another or stand in one table; the best passage first, in reading order."""
    believed: dict[int, float] = {}
    for index in chosen:
        believed[units[index].passage] = believed.get(units[index].passage, 0.0) + beliefs[index]
    order = sorted(believed, key=lambda passage: (-believed[passage], passage))
    quotes = []
    for passage in order:
        here = sorted(index for index in chosen if units[index].passage == passage)
        for run in _runs(units, here):
            text = _text(passages[passage].text, [units[index] for index in run])
            belief = sum(beliefs[index] for index in run)
            quotes.append(Quote(passages[passage].number, text, round(belief, 4)))
    return quotes


def _runs(units: Sequence[Unit], chosen: Sequence[int]) -> list[list[int]]:
    """Group the chosen units of a passage that follow one another without a gap, or stand under one head."""
    runs: list[list[int]] = []
    for index in chosen:
        if runs and _adjoin(units[runs[-1][-1]], units[index]):
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _adjoin(one: Unit, other: Unit) -> bool:
    if one.head and one.head == other.head:
        return True
    return (other.head or other.span)[0] - one.span[1] <= GAP


def _text(text: str, run: Sequence[Unit]) -> str:
    """The units of a run as they stand in the passage, with the head of their table; rows between them are left out."""
    spans = sorted({span for unit in run for span in _spans(unit)})
    joined = [spans[0]]
    for start, end in spans[1:]:
        if start - joined[-1][1] <= GAP:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return "\n".join(text[start:end] for start, end in joined)
