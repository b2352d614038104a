"""Of many knowledge bases, the few that a question is likely to be about.

Each is worth what its best passage could be worth: as near as its nearest passage is, with all of the question's words that it
has anywhere (cf. CORI, Callan et al., SIGIR 1995, which weighs collections by their words alone).
"""

from collections.abc import Sequence

from server.kb import fusion
from server.kb.fusion import Candidate
from server.kb.lexicon import sum_frequencies
from server.kb.ranking import Leg, pooled
from server.kb.wanted import Wanted, Weights

# Knowledge bases that are searched in full for one question.
MOST = 5


def look(leg: Leg) -> None:
    """How near is its nearest passage? Blocks for a search."""
    leg.spread = leg.index.store.spread(leg.vector, leg.view.public)
    leg.near = leg.index.store.search_vector(leg.vector, 1, leg.among)


def best(legs: Sequence[Leg], wanted: Wanted, weights: Weights, share: float) -> list[Leg]:
    """The `MOST` that are worth most, in the order in which they were given: the first, which somebody chose, and what is
    attached to a conversation are always among them. `share`: what words count against meaning."""
    spreads = pooled(legs)
    total = float(weights.values.sum()) or 1.0

    def worth(leg: Leg) -> float:
        if not leg.near and not len(leg.unembedded):
            return float("-inf")
        distance = leg.near[0][1] if leg.near else 0.0
        near = fusion.nearness(distance, *spreads[leg.kb.id]) if leg.near else 0.0
        there = sum_frequencies(leg.view.lexicons, wanted.all) > 0
        words = float(weights.values[there].sum()) / total
        return fusion.worth(Candidate(0, leg.kb.id, "", distance, near, words), share)

    kept = {leg.kb.id for leg in legs if leg is legs[0] or leg.kb.session_id}
    others = sorted((leg for leg in legs if leg.kb.id not in kept), key=worth, reverse=True)
    kept |= {leg.kb.id for leg in others[: MOST - len(kept)]}
    return [leg for leg in legs if leg.kb.id in kept]
