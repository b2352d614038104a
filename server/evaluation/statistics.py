"""How sure a mean is, and whether two runs over the same questions differ by more than chance. Pure functions."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the normal distribution: 95 % lie within.
_Z = 1.959963984540054
_RESAMPLES = 4000
# Up to so many differences every way to flip their signs is tried, 2^12 of them; above, so many drawn by lot.
_EXACT, _FLIPS = 12, 9999
# Numbers in memory at once.
_PORTION = 2_000_000
# Results are the same in every process.
_SEED = 20240229

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` questions, with the interval that holds the true one with 95 %."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger the mean of the second is than that of the first; `p`: how often chance alone would do as much."""

    value: float
    low: float
    high: float
    p: float
    n: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class McNemar:
    """`gained`: questions that only the second run got right; `lost`: only the first. `p` is exact and two-sided."""

    gained: int
    lost: int
    p: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def wilson(successes: int, n: int) -> Estimate:
    """A share and its score interval, good for few questions and for shares near 0 and 1.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927; recommended by Brown, Cai and
    DasGupta, Interval Estimation for a Binomial Proportion, Statistical Science 16(2), 2001.
    """
    share, square = successes / n, _Z**2
    center = (share + square / (2 * n)) / (1 + square / n)
    half = _Z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    low = 0.0 if not successes else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return Estimate(share, low, high, n)


def bootstrap(values: Sequence[float]) -> Estimate:
    """A mean and its percentile interval over resampled questions.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, §13.3.
    """
    given = np.asarray(values, dtype=np.float64)
    low, high = _percentiles(_resampled_means(given))
    return Estimate(float(given.mean()), low, high, len(given))


def mean_of(values: Sequence[float]) -> Estimate | None:
    """By Wilson where every value is 0 or 1, by the bootstrap otherwise; None of nothing."""
    if not values:
        return None
    if all(value in (0, 1) for value in values):
        return wilson(int(sum(values)), len(values))
    return bootstrap(values)


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> McNemar:
    """The exact test on the questions where two runs differ: were both equally good, each would win half of those.

    McNemar, Note on the Sampling Error of the Difference Between Correlated Proportions or Percentages, Psychometrika 12,
    1947; exact by the binomial distribution, as in Dietterich, Approximate Statistical Tests, Neural Computation 10(7), 1998.
    """
    pairs = list(zip(before, after, strict=True))
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    n = gained + lost
    # In whole numbers, as 2 ** n may be larger than any float; each binomial coefficient from the one before.
    tail, term = 0, 1
    for k in range(min(gained, lost) + 1):
        tail += term
        term = term * (n - k) // (k + 1)
    return McNemar(gained, lost, min(1.0, 2 * tail / 2**n) if n else 1.0)


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """The mean difference with its bootstrap interval, and Fisher's randomisation test on its sign.

    Smucker, Allan and Carterette, A Comparison of Statistical Significance Tests for Information Retrieval Evaluation,
    CIKM 2007, which finds both fit for means of per-question measures.
    """
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    low, high = _percentiles(_resampled_means(differences))
    return Difference(float(differences.mean()), low, high, _randomisation(differences), len(differences))


def _randomisation(differences: Floats) -> float:
    """How often the mean is as far from 0 when each question's two values may have changed places."""
    moved = differences[differences != 0]
    observed, tolerance = abs(moved.sum()), 1e-12
    if not len(moved):
        return 1.0
    if len(moved) <= _EXACT:
        flips = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1) * 2 - 1
        return float(np.mean(np.abs(flips @ moved) >= observed - tolerance))
    generator = np.random.default_rng(_SEED)
    as_far, step = 0, max(1, _PORTION // len(moved))
    for start in range(0, _FLIPS, step):
        flips = generator.integers(0, 2, (min(step, _FLIPS - start), len(moved))) * 2 - 1
        as_far += int((np.abs(flips @ moved) >= observed - tolerance).sum())
    return (as_far + 1) / (_FLIPS + 1)


def _resampled_means(values: Floats) -> Floats:
    generator = np.random.default_rng(_SEED)
    means, step = [], max(1, _PORTION // len(values))
    for start in range(0, _RESAMPLES, step):
        drawn = generator.integers(0, len(values), (min(step, _RESAMPLES - start), len(values)))
        means.append(values[drawn].mean(axis=1))
    return np.concatenate(means)


def _percentiles(means: Floats) -> tuple[float, float]:
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
