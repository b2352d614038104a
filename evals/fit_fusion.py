"""Find the weights in server/kb/fusion.py and server/kb/matching.py from the tuning halves of both data sets.

    python -m evals.fit_fusion [--data FOLDER]

A conditional logit over the candidates of each question, as in evals/fit_quote.py: which of them is the passage that was asked
about? It prints what the held-out halves make of the weights, too.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from evals.datasets import half_of_articles, read_squad
from evals.fit_quote import fit_choice
from evals.product import WHOLE
from evals.ranking import Ranking
from evals.retrieval import ROOT
from evals.vectors import bundled, embed_all
from server.core.chinese import plain
from server.kb.anchors import searched_text
from server.kb.splitters import cut_text

Numbers = NDArray[np.float64]
# One question: features of its candidates, which of them is right, and whether its article is in the tuning half.
Case = tuple[Numbers, Numbers, bool]


def cases(path: Path) -> list[Case]:
    """All questions of a data set whose passage is among the candidates."""
    dataset, model = read_squad(path), bundled()
    bare = [cut_text(text, WHOLE)[0] for text in dataset.passages]
    texts = [searched_text(f"{number}.txt", {}, text) for number, text in enumerate(bare)]
    ranking = Ranking(texts, embed_all(model, [plain(text) for text in bare], is_query=False))
    tuning = half_of_articles(dataset.articles)
    found = []
    for question in tqdm(dataset.questions, desc=path.stem):
        candidates, matched = ranking.candidates(question.text, model.embed_question(plain(question.text)))
        features = np.array([[one.near, *shares] for one, shares in zip(candidates, matched, strict=True)])
        right = np.array([float(one.chunk_id == question.passage) for one in candidates])
        found.append((features, right, dataset.articles[question.passage] in tuning))
    return found


def recall(found: list[Case], weights: Numbers, at: int) -> float:
    """The share of questions whose passage is among the best `at`."""
    hits = [
        right[np.argsort(-(features @ weights), kind="stable")[:at]].any() for features, right, _ in found
    ]
    return float(np.mean(hits))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "retrieval")
    data = parser.parse_args().data
    sets = {name: cases(data / f"{name}_dev.json") for name in ("cmrc2018", "drcd")}
    chosen = [
        (features, right)
        for found in sets.values()
        for features, right, tuning in found
        if tuning and right.any()
    ]
    weights = fit_choice(chosen)
    words = weights[1:].sum()
    print(
        f"NEAR_WEIGHT = {weights[0]:.2f}, WORDS_WEIGHT = {words:.1f}, WEIGHTS =",
        (weights[1:] / words).round(2).tolist(),
    )
    for name, found in sets.items():
        for part, some in (("all", found), ("held out", [case for case in found if not case[2]])):
            print(f"{name}, {part}: R@1 {recall(some, weights, 1):.4f}, R@5 {recall(some, weights, 5):.4f}")


if __name__ == "__main__":
    main()
