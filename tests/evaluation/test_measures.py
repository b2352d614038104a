"""Measures and tests of significance, against values by hand and by scipy (noted where they stand)."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.evaluation import metrics, statistics
from server.evaluation.models import Result
from server.evaluation.summary import summarise


@pytest.mark.parametrize(
    ("ranks", "recalls", "mrr", "ndcg"),
    [
        ([1], (1, 1, 1, 1), 1.0, 1.0),
        ([2], (0, 1, 1, 1), 1 / 2, 1 / math.log2(3)),
        ([4], (0, 0, 1, 1), 1 / 4, 1 / math.log2(5)),
        ([10], (0, 0, 0, 1), 1 / 10, 1 / math.log2(11)),
        ([11], (0, 0, 0, 0), 0.0, 0.0),
        ([None], (0, 0, 0, 0), 0.0, 0.0),
        ([1, 2], (0.5, 1, 1, 1), 1.0, 1.0),
        # (1/log2(2) + 1/log2(5)) / (1/log2(2) + 1/log2(3)) = 1.43068 / 1.63093
        ([1, 4], (0.5, 0.5, 1, 1), 1.0, 0.87722),
        ([3, None, 2], (0, 2 / 3, 2 / 3, 2 / 3), 1 / 2, (0.5 + 0.63093) / (1 + 0.63093 + 0.5)),
    ],
)
def test_measures_of_one_question(ranks, recalls, mrr, ndcg) -> None:
    assert tuple(metrics.recall(ranks, cutoff) for cutoff in metrics.CUTOFFS) == recalls
    assert tuple(metrics.hit(ranks, cutoff) for cutoff in metrics.CUTOFFS) == tuple(x > 0 for x in recalls)
    assert metrics.reciprocal_rank(ranks) == pytest.approx(mrr)
    assert metrics.ndcg(ranks) == pytest.approx(ndcg, abs=1e-5)


@given(
    st.lists(
        st.one_of(st.none(), st.integers(1, 30)), min_size=1, max_size=8, unique_by=lambda x: x or object()
    )
)
def test_measures_are_shares_and_a_better_rank_is_never_worse(ranks: list[int | None]) -> None:
    found = [metrics.recall(ranks, cutoff) for cutoff in metrics.CUTOFFS]
    assert sorted(found) == found
    better = [rank - 1 if rank and rank > 1 and rank - 1 not in ranks else rank for rank in ranks]
    for measure in (metrics.reciprocal_rank, metrics.ndcg):
        assert 0 <= measure(ranks) <= measure(better) + 1e-12 <= 1 + 1e-9


def test_citation_precision() -> None:
    assert metrics.citation_precision(4, 3) == 0.75


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # scipy.stats.binomtest(8, 10).proportion_ci(method="wilson")
        (8, 10, 0.4901624715, 0.9433178485),
        # Brown, Cai and DasGupta: an interval at the edges, where the usual one has no width.
        (0, 10, 0.0, 0.2775327999),
        (10, 10, 0.7224672001, 1.0),
        (1, 1, 0.2065493143, 1.0),
        (450, 1000, 0.4194153841, 0.4809672918),
    ],
)
def test_wilson(successes: int, n: int, low: float, high: float) -> None:
    found = statistics.wilson(successes, n)
    assert (found.value, found.n) == (successes / n, n)
    assert found.low == pytest.approx(low, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)


def _pairs(gained: int, lost: int, same: int = 7) -> tuple[list[bool], list[bool]]:
    before = [False] * gained + [True] * lost + [True] * same
    return before, [True] * gained + [False] * lost + [True] * same


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [
        # scipy.stats.binomtest(lost, gained + lost).pvalue
        (9, 1, 0.021484375),
        (1, 9, 0.021484375),
        (5, 0, 0.0625),
        (6, 0, 0.03125),
        (5, 5, 1.0),
        (0, 0, 1.0),
        (15, 5, 0.04138946533203125),
    ],
)
def test_mcnemar(gained: int, lost: int, p: float) -> None:
    found = statistics.mcnemar(*_pairs(gained, lost))
    assert (found.gained, found.lost) == (gained, lost)
    assert found.p == pytest.approx(p)


def test_mcnemar_of_thousands_of_questions() -> None:
    """2 ** 4000 is no float."""
    assert statistics.mcnemar(*_pairs(2000, 2000)).p == 1.0
    assert 0 < statistics.mcnemar(*_pairs(2100, 1900)).p < 0.002


def test_a_paired_difference() -> None:
    few = statistics.paired_difference([0.1, 0.5, 0.2, 0.3], [0.4, 0.6, 0.9, 0.3])
    # Three questions moved, all up: two of the eight ways to flip their signs are as far from 0.
    assert few.value == pytest.approx(0.275)
    assert (few.p, few.n) == (0.25, 4)
    assert few.low <= 0.275 <= few.high
    same = statistics.paired_difference([0.5, 1.0], [0.5, 1.0])
    assert (same.value, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    before = [n % 10 / 10 for n in range(200)]
    better = statistics.paired_difference(
        before, [value + 0.05 + n % 7 / 100 for n, value in enumerate(before)]
    )
    assert better.p == 1e-4
    assert 0.07 < better.low < better.value < better.high < 0.09
    noise = [(-1) ** n * 0.1 for n in range(200)]
    chance = statistics.paired_difference(
        before, [value + step for value, step in zip(before, noise, strict=True)]
    )
    assert chance.p > 0.9
    assert chance.low < 0 < chance.high


def test_intervals_hold_the_mean_about_as_often_as_they_say() -> None:
    """Of many samples of a known mean, 95 % of the intervals should hold it."""
    import numpy as np

    generator = np.random.default_rng(5)
    held = 0
    for _ in range(60):
        found = statistics.bootstrap(
            generator.choice([1.0, 0.5, 1 / 3, 0.0], 80, p=[0.6, 0.2, 0.1, 0.1]).tolist()
        )
        held += found.low <= 0.6 + 0.1 + 0.1 / 3 <= found.high
    assert held >= 53


def test_a_mean_of_nothing_is_none() -> None:
    assert statistics.mean_of([]) is None
    assert statistics.mean_of([1.0, 0.0]) == statistics.wilson(1, 2)
    told = statistics.mean_of([0.5, 0.5])
    assert told is not None
    assert (told.value, told.low, told.high) == (0.5, 0.5, 0.5)


def _result(number: int, **fields) -> Result:
    asked: dict[str, object] = {
        "question": "?",
        "gold_answer": None,
        "gold_files": [],
        "gold_passage": None,
        "answerable": None,
        "tags": [],
    }
    asked |= {name: fields.pop(name) for name in asked if name in fields}
    defaults: dict[str, object] = {
        "ranks": [],
        "milliseconds": {},
        "tokens": None,
        "outcome": None,
        "contains_gold": None,
        "cited": None,
        "checked": None,
    }
    return Result(run_id="r", number=number, asked=asked, **defaults | fields)


def test_a_summary_counts_what_can_tell_and_nothing_else() -> None:
    place = {"gold_files": ["a"], "answerable": True}
    found = summarise(
        [
            _result(
                1,
                **place,
                ranks=[1],
                outcome="answered",
                contains_gold=True,
                cited=2,
                cited_gold=1,
                checked=4,
                verified=3,
            ),
            _result(2, **place, ranks=[4], outcome="partly", contains_gold=False, cited=1, cited_gold=1),
            _result(3, **place, ranks=[None], outcome="not_found", cited=0, cited_gold=0),
            _result(4, answerable=False, outcome="not_found"),
            _result(5, answerable=False, outcome="answered"),
            _result(6, answerable=False, outcome="failed"),
            _result(7, outcome="not_found"),  # nobody has said what should become of it
            _result(8, outcome="answered", tags=["x"]),
        ]
    )
    values = {name: (round(told["value"], 4), told["n"]) for name, told in found["values"].items()}
    assert values == {
        "recall@1": (0.3333, 3),
        "recall@3": (0.3333, 3),
        "recall@5": (0.6667, 3),
        "recall@10": (0.6667, 3),
        "mrr@10": (round((1 + 1 / 4) / 3, 4), 3),
        "ndcg@10": (round((1 + 1 / math.log2(5)) / 3, 4), 3),
        "answer_contains_gold": (0.5, 2),
        "citation_precision": (0.75, 2),
        "verified_citations": (0.75, 1),
        "refusal_precision": (0.5, 2),
        "refusal_recall": (0.5, 2),
        "false_refusals": (0.3333, 3),
    }
    assert (found["questions"], found["ranked"], found["answered"], found["failed"]) == (8, 3, 8, 1)
    assert found["rank_counts"] == [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert found["tags"] == {"x": {"questions": 1, "values": {}}}


@pytest.mark.full
def test_they_agree_with_sklearn_and_scipy() -> None:
    import numpy as np
    from scipy.stats import binomtest, permutation_test
    from sklearn.metrics import ndcg_score

    generator = np.random.default_rng(3)
    for _ in range(50):
        items = int(generator.integers(1, 4))
        ranks = sorted(generator.choice(np.arange(1, 15), items, replace=False).tolist())
        relevance = [[float(rank in ranks) for rank in range(1, 15)]]
        scores = [[-float(rank) for rank in range(1, 15)]]
        assert metrics.ndcg(ranks) == pytest.approx(ndcg_score(relevance, scores, k=10))
    for successes, n in ((3, 17), (99, 100), (0, 5)):
        interval = binomtest(successes, n).proportion_ci(method="wilson")
        found = statistics.wilson(successes, n)
        assert found.low == pytest.approx(interval.low)
        assert found.high == pytest.approx(interval.high)
    for gained, lost in ((3, 11), (20, 20), (7, 1)):
        assert statistics.mcnemar(*_pairs(gained, lost)).p == pytest.approx(
            binomtest(lost, gained + lost).pvalue
        )
    before = generator.random(60)
    after = before + generator.normal(0.05, 0.2, 60)
    test = permutation_test((after - before,), np.mean, permutation_type="samples", rng=generator)
    assert statistics.paired_difference(before.tolist(), after.tolist()).p == pytest.approx(
        test.pvalue, abs=0.02
    )
