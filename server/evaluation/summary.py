"""What a run comes to: each measure over the questions that can tell it, with how sure that is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from server.evaluation import metrics
from server.evaluation.gold import Asked
from server.evaluation.models import Result
from server.evaluation.statistics import mean_of

REFUSED = "not_found"
_MOST_TAGS = 50

# What one question is worth by one measure; None: it cannot tell.
Measure = Callable[[Asked, Result], float | None]


def _ranked(of: Callable[[Sequence[int | None]], float]) -> Measure:
    return lambda asked, result: of(result.ranks) if asked.has_place and result.ranks else None


def _recall(cutoff: int) -> Measure:
    return _ranked(lambda ranks: metrics.recall(ranks, cutoff))


def _hit(cutoff: int) -> Measure:
    return _ranked(lambda ranks: float(metrics.hit(ranks, cutoff)))


def _contains_gold(_asked: Asked, result: Result) -> float | None:
    return None if result.contains_gold is None else float(result.contains_gold)


def _citation_precision(_asked: Asked, result: Result) -> float | None:
    return metrics.citation_precision(result.cited, result.cited_gold or 0) if result.cited else None


def _verified_citations(_asked: Asked, result: Result) -> float | None:
    """Of the sentences that cite, those that their sources bear out: `server.chat.checking`."""
    return (result.verified or 0) / result.checked if result.checked else None


def _is_told(asked: Asked, result: Result) -> bool:
    return asked.answerable is not None and result.outcome not in (None, "failed")


def _refusal_precision(asked: Asked, result: Result) -> float | None:
    """Of what is refused, what had to be."""
    return float(not asked.answerable) if _is_told(asked, result) and result.outcome == REFUSED else None


def _refusal_recall(asked: Asked, result: Result) -> float | None:
    """Of what must be refused, what is."""
    return float(result.outcome == REFUSED) if _is_told(asked, result) and not asked.answerable else None


def _false_refusals(asked: Asked, result: Result) -> float | None:
    """Of what has an answer, what is refused: less is better."""
    return float(result.outcome == REFUSED) if _is_told(asked, result) and asked.answerable else None


def _right_decision(asked: Asked, result: Result) -> float | None:
    """Answered where there is an answer, and refused where there is none."""
    return float((result.outcome == REFUSED) != asked.answerable) if _is_told(asked, result) else None


MEASURES: Mapping[str, Measure] = {
    **{f"recall@{cutoff}": _recall(cutoff) for cutoff in metrics.CUTOFFS},
    f"mrr@{metrics.DEPTH}": _ranked(metrics.reciprocal_rank),
    f"ndcg@{metrics.DEPTH}": _ranked(metrics.ndcg),
    "answer_contains_gold": _contains_gold,
    "citation_precision": _citation_precision,
    "verified_citations": _verified_citations,
    "refusal_precision": _refusal_precision,
    "refusal_recall": _refusal_recall,
    "false_refusals": _false_refusals,
}
# Right or wrong, question by question: compared by McNemar's test.
DECISIONS: Mapping[str, Measure] = {
    **{f"hit@{cutoff}": _hit(cutoff) for cutoff in metrics.CUTOFFS},
    "answer_contains_gold": _contains_gold,
    "right_decision": _right_decision,
}
# The few that are told of each tag.
_OF_TAGS = ("recall@1", "recall@5", "mrr@10", "answer_contains_gold")


def values_of(measure: Measure, results: Sequence[Result]) -> list[float]:
    values = (measure(Asked.from_json(result.asked), result) for result in results)
    return [value for value in values if value is not None]


def summarise(results: Sequence[Result]) -> dict[str, Any]:
    """`values`: measure → value, low, high, n; measures that no question can tell are not there."""
    return {
        "questions": len(results),
        "ranked": sum(bool(result.ranks) for result in results),
        "answered": sum(result.outcome is not None for result in results),
        "failed": sum(result.outcome == "failed" for result in results),
        "values": _values(results, MEASURES),
        "rank_counts": _rank_counts(results),
        "tags": _by_tag(results),
        "milliseconds": _milliseconds(results),
        "tokens": _tokens(results),
    }


def _values(results: Sequence[Result], measures: Mapping[str, Measure]) -> dict[str, Any]:
    found = {name: mean_of(values_of(measure, results)) for name, measure in measures.items()}
    return {name: estimate.to_json() for name, estimate in found.items() if estimate is not None}


def _rank_counts(results: Sequence[Result]) -> list[int]:
    """Questions whose first gold hit has rank 1, 2, … 10; and last, those that have none among those."""
    counts = [0] * (metrics.DEPTH + 1)
    for result in results:
        if result.ranks:
            best = min((rank for rank in result.ranks if rank is not None), default=metrics.DEPTH + 1)
            counts[min(best, metrics.DEPTH + 1) - 1] += 1
    return counts


def _by_tag(results: Sequence[Result]) -> dict[str, Any]:
    tagged: dict[str, list[Result]] = {}
    for result in results:
        for tag in result.asked["tags"]:
            tagged.setdefault(tag, []).append(result)
    most = sorted(tagged, key=lambda tag: (-len(tagged[tag]), tag))[:_MOST_TAGS]
    measures = {name: MEASURES[name] for name in _OF_TAGS}
    return {tag: {"questions": len(tagged[tag]), "values": _values(tagged[tag], measures)} for tag in most}


def _milliseconds(results: Sequence[Result]) -> dict[str, Any]:
    steps: dict[str, list[float]] = {}
    for result in results:
        for step, spent in result.milliseconds.items():
            steps.setdefault(step, []).append(spent)
    told = {}
    for step, times in steps.items():
        p50, p95 = np.percentile(times, (50, 95))
        told[step] = {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}
    return told


def _tokens(results: Sequence[Result]) -> dict[str, int]:
    told = {"prompt_tokens": 0, "completion_tokens": 0}
    for result in results:
        for name in told:
            told[name] += (result.tokens or {}).get(name, 0)
    return told
