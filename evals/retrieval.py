"""Passage retrieval by the bundled embedding model alone.

    python evals/retrieval.py /path/to/cmrc2018_dev.json

A question counts as found at k when the paragraph that it was asked about is among the k nearest. Identical
paragraphs count once.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from embeddings import EmbedderConfig, load_embedder
from evals.datasets import embed_passages, embed_questions, nearest, read_squad

DEPTH = 10
CUTOFFS = (1, 3, 5, 10)


def main() -> None:
    """Read the arguments, embed, rank, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a data set in SQuAD form")
    dataset = read_squad(parser.parse_args().path)
    embedder = load_embedder(EmbedderConfig(name="e5-small", kind="bundled"))
    passages = embed_passages(embedder, dataset.passages)
    questions = embed_questions(embedder, [question.text for question in dataset.questions])
    order, _ = nearest(questions, passages, DEPTH)

    wanted = np.array([question.passage for question in dataset.questions])
    hits = order == wanted[:, None]
    reciprocal_ranks = (hits / np.arange(1, hits.shape[1] + 1)).sum(axis=1)
    print(f"{len(dataset.passages)} passages, {len(dataset.questions)} questions")
    for cutoff in CUTOFFS:
        print(f"R@{cutoff:<3} {hits[:, :cutoff].any(axis=1).mean():.3f}")
    print(f"MRR@{DEPTH} {reciprocal_ranks.mean():.3f}")


if __name__ == "__main__":
    main()
