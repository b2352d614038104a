"""Find the weights in server/llm/quoting.py from the tuning half of a data set.

    python evals/fit_quote.py /path/to/cmrc2018_dev.json

Which piece to quote: a conditional logit over the pieces of one question's hits, which is what the softmax in the
answerer assumes (McFadden, Conditional Logit Analysis of Qualitative Choice Behavior, 1974). Whether to quote:
logistic regression between a knowledge base that holds the article and one that does not. Both are fitted on whole
passages and on chunks together, by Newton's method, with a small penalty on large weights. What it prints for `named`
and `missing` means nothing: running text has neither records nor tables.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evals.datasets import Question
from evals.quote import Corpus, KnowledgeBase, load_corpus
from server.llm.evidence import Evidence, Unit, UnitFeatures, cut, describe, take_apart, weigh
from server.llm.quoting import Passage

Numbers = NDArray[np.float64]
# Value, gradient and Hessian of what is to be made small.
Objective = Callable[[Numbers], tuple[float, Numbers, Numbers]]

TOP_K = 3
PENALTY = 1.0
# The needed evidence is set so that this share of the unanswerable questions of the tuning half is refused.
REFUSED_RIGHTLY = 0.905
STEPS = 50
SMALLEST_STEP = 1e-4


def main() -> None:
    """Fit on the file's tuning half and print the constants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a data set in SQuAD form")
    path = parser.parse_args().path
    corpora = [load_corpus(path, chunked=chunked) for chunked in (False, True)]
    choices = [choice for corpus in corpora for choice in unit_choices(corpus)]
    print("UNIT_WEIGHTS =", UnitFeatures(*fit_choice(choices).round(1).tolist()))

    answerable = [evidence(corpus, base) for corpus in corpora for base in ("all", "own half")]
    unanswerable = [evidence(corpus, "other half") for corpus in corpora]
    weights = fit_logistic(np.vstack(answerable), np.vstack(unanswerable)).round(2)
    print("EVIDENCE_WEIGHTS =", Evidence(*weights.tolist()))
    print(f"EVIDENCE_NEEDED = {np.quantile(unanswerable[0] @ weights, REFUSED_RIGHTLY):.1f}")


def unit_choices(corpus: Corpus) -> list[tuple[Numbers, Numbers]]:
    """For each tuning question with an answer among its hits: features of all units, and which ones are right."""
    choices = []
    for question, passages in _tuning_cases(corpus, "all"):
        asked = take_apart(question.text)
        units = cut(asked, [passage.text for passage in passages])
        right = np.array([_is_right(corpus, question, passages, unit) for unit in units], dtype=np.float64)
        if right.any():
            choices.append(
                (
                    np.array(list(describe(asked, units, [passage.distance for passage in passages]))),
                    right / right.sum(),
                )
            )
    return choices


def evidence(corpus: Corpus, base: KnowledgeBase) -> Numbers:
    """The evidence for each tuning question."""
    rows = []
    for question, passages in _tuning_cases(corpus, base):
        asked = take_apart(question.text)
        units = cut(asked, [passage.text for passage in passages])
        distances = [passage.distance for passage in passages]
        rows.append(weigh(asked, units, distances, [passage.strength for passage in passages]))
    return np.array(rows)


def _tuning_cases(corpus: Corpus, base: KnowledgeBase) -> list[tuple[Question, list[Passage]]]:
    hits = corpus.hits(base, TOP_K)
    cases = zip(corpus.dataset.questions, hits, corpus.tuning_questions, strict=True)
    return [(question, passages) for question, passages, tuning in cases if tuning]


def _is_right(corpus: Corpus, question: Question, passages: list[Passage], unit: Unit) -> bool:
    """True if the unit touches an answer in the passage that the question was asked about."""
    passage = passages[unit.passage]
    if corpus.origins[passage.number] != question.passage:
        return False
    start, end = unit.span
    reach = [
        passage.text[max(0, start - len(answer) + 1) : end + len(answer) - 1] for answer in question.answers
    ]
    return any(answer in text for answer, text in zip(question.answers, reach, strict=True))


def fit_choice(choices: list[tuple[Numbers, Numbers]]) -> Numbers:
    """Weights under which the softmax over each question's units comes nearest to the right ones."""
    features = np.vstack([rows for rows, _ in choices])
    right = np.concatenate([shares for _, shares in choices])
    sizes = np.array([len(shares) for _, shares in choices])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    owner = np.repeat(np.arange(len(sizes)), sizes)

    def objective(weights: Numbers) -> tuple[float, Numbers, Numbers]:
        scores = features @ weights
        scores -= np.maximum.reduceat(scores, starts)[owner]
        totals = np.add.reduceat(np.exp(scores), starts)[owner]
        beliefs = np.exp(scores) / totals
        means = np.add.reduceat(beliefs[:, None] * features, starts)
        loss = float(-(right * (scores - np.log(totals))).sum())
        return loss, features.T @ (beliefs - right), (features.T * beliefs) @ features - means.T @ means

    return _minimise(objective, features.shape[1])


def fit_logistic(positive: Numbers, negative: Numbers) -> Numbers:
    """Weights of a logistic regression; its intercept is left out, since the threshold is set apart."""
    features = np.vstack([positive, negative])
    features = np.hstack([features, np.ones((len(features), 1))])
    labels = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])

    def objective(weights: Numbers) -> tuple[float, Numbers, Numbers]:
        scores = features @ weights
        beliefs = 1 / (1 + np.exp(-scores))
        loss = float((np.logaddexp(0, scores) - labels * scores).sum())
        return loss, features.T @ (beliefs - labels), (features.T * (beliefs * (1 - beliefs))) @ features

    return _minimise(objective, features.shape[1])[:-1]


def _minimise(objective: Objective, size: int) -> Numbers:
    """Newton's method, with steps halved until they help."""

    def penalised(weights: Numbers) -> tuple[float, Numbers, Numbers]:
        loss, gradient, hessian = objective(weights)
        return (
            loss + PENALTY / 2 * float(weights @ weights),
            gradient + PENALTY * weights,
            hessian + PENALTY * np.eye(size),
        )

    weights = np.zeros(size)
    loss, gradient, hessian = penalised(weights)
    for _ in range(STEPS):
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while scale > SMALLEST_STEP and penalised(weights - scale * step)[0] >= loss:
            scale /= 2
        weights = weights - scale * step
        loss, gradient, hessian = penalised(weights)
        if np.abs(scale * step).max() < SMALLEST_STEP:
            break
    return weights


if __name__ == "__main__":
    main()
