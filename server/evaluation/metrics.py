"""What one question is worth, by the ranks of what should have been found. Pure functions; a rank counts from 1, None is
not found, and each thing counts once, at its first hit."""

import math
from collections.abc import Sequence

Ranks = Sequence[int | None]
CUTOFFS = (1, 3, 5, 10)
DEPTH = 10


def recall(ranks: Ranks, cutoff: int) -> float:
    """The share of what should be found that stands among the first `cutoff` hits.

    Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, §8.3 (recall), cut off as in §8.4.
    """
    return sum(rank is not None and rank <= cutoff for rank in ranks) / len(ranks)


def hit(ranks: Ranks, cutoff: int) -> bool:
    """Is anything that should be found among the first `cutoff` hits? Also called success at k."""
    return any(rank is not None and rank <= cutoff for rank in ranks)


def reciprocal_rank(ranks: Ranks, cutoff: int = DEPTH) -> float:
    """One over the rank of the first thing found, 0 when none is among the first `cutoff`. Its mean is MRR.

    Voorhees, The TREC-8 Question Answering Track Report, 1999.
    """
    best = min((rank for rank in ranks if rank is not None), default=None)
    return 1 / best if best is not None and best <= cutoff else 0.0


def ndcg(ranks: Ranks, cutoff: int = DEPTH) -> float:
    """Discounted cumulative gain over the best possible one, with a gain of 1 for each thing and a discount of log2(1 + rank).

    Järvelin and Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, ACM TOIS 20(4), 2002.
    """
    gained = sum(1 / math.log2(1 + rank) for rank in ranks if rank is not None and rank <= cutoff)
    best = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(ranks), cutoff) + 1))
    return gained / best


def citation_precision(cited: int, cited_gold: int) -> float:
    """The share of the sources an answer cites that are what it should cite.

    After Gao et al., Enabling Large Language Models to Generate Text with Citations, EMNLP 2023 (arXiv:2305.14627), with the
    editor's gold in place of a model that judges entailment.
    """
    return cited_gold / cited
