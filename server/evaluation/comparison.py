"""Two runs over the same questions: what the second does better and worse, and whether that is more than chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.evaluation.conditions import flat
from server.evaluation.gold import Asked
from server.evaluation.metrics import ndcg
from server.evaluation.models import Result
from server.evaluation.statistics import mcnemar, mean_of, paired_difference
from server.evaluation.summary import DECISIONS, MEASURES, Measure

# Questions that are told of each kind.
MOST = 200
# Compared by their means; those of one question each are decisions, and those of few questions are not paired.
_PAIRED = (
    "recall@1",
    "recall@3",
    "recall@5",
    "recall@10",
    "mrr@10",
    "ndcg@10",
    "citation_precision",
    "verified_citations",
)


@dataclass(frozen=True, slots=True)
class Pair:
    """One question in both runs."""

    asked: Asked
    before: Result
    after: Result


@dataclass(frozen=True, slots=True)
class Pairs:
    """`changed`: questions whose gold is another one now; `unmatched`: those that only one of the runs has."""

    pairs: list[Pair]
    changed: int
    unmatched: int


def pair(before: Sequence[Result], after: Sequence[Result]) -> Pairs:
    """By the questions' ids, as long as they ask for the same."""
    first, second = ({row.question_id: row for row in rows} for rows in (before, after))
    both = [number for number in first if number in second]
    pairs = []
    for number in both:
        asked, now = Asked.from_json(first[number].asked), Asked.from_json(second[number].asked)
        if _without_tags(asked) == _without_tags(now):
            pairs.append(Pair(now, first[number], second[number]))
    return Pairs(pairs, len(both) - len(pairs), len(first) + len(second) - 2 * len(both))


def _without_tags(asked: Asked) -> dict[str, Any]:
    return asked.to_json() | {"tags": ()}


def compare(found: Pairs, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """`before`, `after`: what the runs ran on. What cannot be told of these questions is not there."""
    better: list[Pair] = []
    worse: list[Pair] = []
    for one in found.pairs:
        change = _change(one)
        if change:
            (better if change > 0 else worse).append(one)
    return {
        "pairs": len(found.pairs),
        "changed": found.changed,
        "unmatched": found.unmatched,
        "conditions": list(_other_conditions(before, after)),
        "values": {name: told for name, told in _values(found.pairs) if told},
        "decisions": {name: told for name, told in _decisions(found.pairs) if told},
        "better": [_tell(one) for one in better[:MOST]],
        "worse": [_tell(one) for one in worse[:MOST]],
        "better_total": len(better),
        "worse_total": len(worse),
    }


def _both(measure: Measure, pairs: Sequence[Pair]) -> tuple[list[float], list[float]]:
    """Of the questions that both runs can tell."""
    values = ((measure(one.asked, one.before), measure(one.asked, one.after)) for one in pairs)
    told = [(first, second) for first, second in values if first is not None and second is not None]
    return [first for first, _ in told], [second for _, second in told]


def _values(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    for name in _PAIRED:
        first, second = _both(MEASURES[name], pairs)
        base, other = mean_of(first), mean_of(second)
        if base is not None and other is not None:
            difference = paired_difference(first, second)
            yield name, {"base": base.to_json(), "other": other.to_json(), "difference": difference.to_json()}


def _decisions(pairs: Sequence[Pair]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    for name, measure in DECISIONS.items():
        first, second = _both(measure, pairs)
        base, other = mean_of(first), mean_of(second)
        if base is not None and other is not None:
            test = mcnemar([value == 1 for value in first], [value == 1 for value in second])
            yield name, {"base": base.to_json(), "other": other.to_json(), "mcnemar": test.to_json()}


def _change(one: Pair) -> int:
    """1 when the second run did better by this question, -1 when worse: by its hits first, then by its answer."""
    pairs = [(ndcg(one.before.ranks), ndcg(one.after.ranks))] if one.before.ranks and one.after.ranks else []
    for name in ("answer_contains_gold", "right_decision"):
        before, after = DECISIONS[name](one.asked, one.before), DECISIONS[name](one.asked, one.after)
        if before is not None and after is not None:
            pairs.append((before, after))
    for first, second in pairs:
        if abs(first - second) > 1e-9:
            return 1 if second > first else -1
    return 0


def _tell(one: Pair) -> dict[str, Any]:
    return {"question_id": one.after.question_id, "question": one.asked.question} | {
        name: {"ranks": result.ranks, "outcome": result.outcome, "contains_gold": result.contains_gold}
        for name, result in (("base", one.before), ("other", one.after))
    }


def _other_conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    first, second = dict(flat(before)), dict(flat(after))
    for name in sorted(first.keys() | second.keys()):
        if first.get(name) != second.get(name):
            yield {"name": name, "base": first.get(name), "other": second.get(name)}
