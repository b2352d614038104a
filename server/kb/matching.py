"""How much of a question a passage says, and how close together: one number between 0 and 1.

Three shares of the question's weight, where a term weighs what BM25 gives it for being rare (Robertson and Zaragoza, The
Probabilistic Relevance Framework: BM25 and Beyond, 2009): BM25 itself, the terms that are there at all, and those that stand
within one window, as they do in the sentence that answers (Tao and Zhai, An Exploration of Proximity Measures in Information
Retrieval, SIGIR 2007). The weights were fitted by evals/fit_fusion.py.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.kb.analysis import places


class Shares(NamedTuple):
    """Parts of the question's weight: by BM25, of what is there at all, of what stands within a window."""

    bm25: float
    coverage: float
    nearness: float


WEIGHTS = Shares(0.22, 0.29, 0.49)
# Characters between the first and the last term of a window: about a sentence.
WINDOW = 25
_K1, _B = 1.2, 0.75

Weights = NDArray[np.float64]


def idf(frequencies: NDArray[np.int64], passages: int) -> Weights:
    """What terms weigh that so many of all passages have."""
    weights: Weights = np.log1p((passages - frequencies + 0.5) / (frequencies + 0.5))
    return weights


def match(wanted: Sequence[str], weights: Sequence[float], folded: str, average: float) -> float:
    """The share of the question's weight that a folded passage has; `average` is the usual length of passages."""
    found = shares(wanted, weights, folded, average)
    return sum(weight * share for weight, share in zip(WEIGHTS, found, strict=True))


def shares(wanted: Sequence[str], weights: Sequence[float], folded: str, average: float) -> Shares:
    """The three of them."""
    total = sum(weights)
    if not total:
        return Shares(0.0, 0.0, 0.0)
    found = places(wanted, folded)
    counts: dict[int, int] = {}
    for _, _, number in found:
        counts[number] = counts.get(number, 0) + 1
    norm = _K1 * (1 - _B + _B * len(folded) / average) if average else _K1
    bm25 = coverage = 0.0
    for number, count in counts.items():
        bm25 += weights[number] * count / (count + norm)
        coverage += weights[number]
    return Shares(bm25 / total, coverage / total, _nearness(found, weights) / total)


def _nearness(found: Sequence[tuple[int, int, int]], weights: Sequence[float]) -> float:
    """The most weight of different terms that begin within one window."""
    best = current = 0.0
    inside = [0] * len(weights)
    first = 0
    for start, _, number in found:
        if not inside[number]:
            current += weights[number]
        inside[number] += 1
        while found[first][0] < start - WINDOW:
            left = found[first][2]
            inside[left] -= 1
            if not inside[left]:
                current -= weights[left]
            first += 1
        if current > best:
            best = current
    return best
