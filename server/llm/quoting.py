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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.llm.evidence import LONGEST_UNIT, Evidence, Unit, UnitFeatures, cut, describe, take_apart, weigh

# Most characters quoted in one answer.
BUDGET = 200
# Sentences are added until they hold this share of belief.
ENOUGH_BELIEF = 0.8
# Two sentences with no more than this many characters of white space between them are quoted as one.
GAP = 2

# Found by evals/fit_quote.py on the tuning half of CMRC 2018 dev, as whole paragraphs and as chunks.
UNIT_WEIGHTS = UnitFeatures(
    coverage=5.0,
    characters=4.7,
    previous=1.5,
    following=1.9,
    earlier=5.1,
    answer_type=1.3,
    first=0.6,
    length=-0.3,
)
EVIDENCE_WEIGHTS = Evidence(coverage=5.7, characters=3.1, lead=9.7)
# Refuses six in seven questions that dense retrieval cannot answer, and one in forty that it can. 6.0 would be nine in
# ten and one in twenty-five, but people ask in words of their own more often than CMRC's questions do. Passages found
# by words as well as by meaning always share words with the question: add 0.7 for them.
EVIDENCE_NEEDED = 5.0


@dataclass(frozen=True, slots=True)
class Passage:
    """One hit. `distance` is the squared L2 distance of unit vectors: smaller is closer.

    `context` says what the passage is about: its file and the headings above it. It is matched and never quoted.
    """

    number: int
    text: str
    distance: float
    context: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """Consecutive sentences copied from the passage with that number; `score` is the belief in them, 0 to 1."""

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
    units = cut(asked, texts, min(LONGEST_UNIT, budget), fold, contexts)
    evidence = weigh(asked, units, [passage.distance for passage in passages])
    if not units or _dot(EVIDENCE_WEIGHTS, evidence) < needed:
        return []
    beliefs = _softmax([_dot(UNIT_WEIGHTS, features) for features in describe(asked, units)])
    chosen = _choose(units, beliefs, budget)
    # Best first, so that the first mention of a passage is its place in the answer.
    order = list(
        dict.fromkeys(units[index].passage for index in sorted(chosen, key=lambda i: (-beliefs[i], i)))
    )
    runs = sorted(_runs(units, chosen), key=lambda run: order.index(units[run[0]].passage))
    return [_quote(passages, units, beliefs, run) for run in runs]


def _dot(weights: Sequence[float], features: Sequence[float]) -> float:
    return sum(weight * feature for weight, feature in zip(weights, features, strict=True))


def _softmax(scores: Sequence[float]) -> list[float]:
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _choose(units: Sequence[Unit], beliefs: Sequence[float], budget: int) -> list[int]:
    """The most believed units until they hold enough belief or the budget is spent, in reading order.

    Chunks overlap: what a chosen unit already says adds to the belief in it, and is not quoted twice.
    """
    chosen: list[int] = []
    belief, left = 0.0, budget
    for index in sorted(range(len(units)), key=lambda i: (-beliefs[i], i)):
        if belief >= ENOUGH_BELIEF:
            break
        if not any(units[index].text in units[other].text for other in chosen):
            start, end = units[index].span
            left -= end - start + (GAP if chosen else 0)
            if left < 0:
                break
            chosen.append(index)
        belief += beliefs[index]
    return sorted(chosen)


def _runs(units: Sequence[Unit], chosen: Sequence[int]) -> list[list[int]]:
    """Group the chosen units that follow one another without a gap."""
    runs: list[list[int]] = []
    for index in chosen:
        if runs and _adjoin(units, runs[-1][-1], index):
            runs[-1].append(index)
        else:
            runs.append([index])
    return runs


def _adjoin(units: Sequence[Unit], one: int, other: int) -> bool:
    if other != one + 1 or units[one].passage != units[other].passage:
        return False
    return units[other].span[0] - units[one].span[1] <= GAP


def _quote(
    passages: Sequence[Passage], units: Sequence[Unit], beliefs: Sequence[float], run: Sequence[int]
) -> Quote:
    passage = passages[units[run[0]].passage]
    text = passage.text[units[run[0]].span[0] : units[run[-1]].span[1]]
    return Quote(passage.number, text, round(sum(beliefs[index] for index in run), 4))
