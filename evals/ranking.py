"""The product's ranking over vectors and texts in memory, for evaluations that ask too often for its database.

The same functions in the same order as server/kb/retriever.py; evals/retrieval.py measures the product itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embeddings.base import Vectors
from server.core.chinese import fold
from server.kb import analysis, fusion, matching
from server.kb.fusion import Candidate
from server.kb.lexicon import Lexicon, analyse
from server.kb.matching import Shares

_DEPTH = 50
_LOOK_UPS = 2500


class Ranking:
    """Some texts as a knowledge base of one document."""

    def __init__(self, texts: Sequence[str], vectors: Vectors) -> None:
        self._folded, self._vectors = [fold(text) for text in texts], vectors
        self._texts = texts
        self._lexicon = Lexicon.empty().changed([], [analyse("kb", "document", texts)[1]])
        postings: dict[str, list[int]] = {}
        for number, text in enumerate(texts):
            for term in dict.fromkeys(analysis.terms(text)):
                postings.setdefault(term, []).append(number)
        self._postings = {term: np.array(numbers) for term, numbers in postings.items()}

    def nearest(self, question: str, vector: Vectors, count: int) -> list[Candidate]:
        """The best `count` texts, best first; `chunk_id` is the number of a text."""
        candidates, _ = self.candidates(question, vector)
        return fusion.choose(fusion.fuse(candidates, 0.5, "score"), count, collapse=True, diversity=0.0)

    def candidates(self, question: str, vector: Vectors) -> tuple[list[Candidate], list[Shares]]:
        """What both searches find, and how it matches."""
        distances = 2 - 2 * (self._vectors @ vector)
        wanted = analysis.question_terms(question)
        frequencies = self._lexicon.frequencies(wanted)
        idf = matching.idf(frequencies, self._lexicon.passages)
        found = {
            *np.argsort(distances, kind="stable")[:_DEPTH].tolist(),
            *self._look_up(wanted, frequencies, idf),
        }
        terms = [term for term, frequency in zip(wanted, frequencies, strict=True) if frequency]
        weights = [float(weight) for weight, frequency in zip(idf, frequencies, strict=True) if frequency]
        mean, deviation = float(distances.mean()), float(distances.std())
        numbers = sorted(found)
        matched = [matching.shares(terms, weights, self._folded[n], self._lexicon.average) for n in numbers]
        candidates = [
            Candidate(
                number,
                "kb",
                self._texts[number],
                float(distances[number]),
                fusion.nearness(float(distances[number]), mean, deviation),
                float(np.dot(matching.WEIGHTS, share)),
            )
            for number, share in zip(numbers, matched, strict=True)
        ]
        return candidates, matched

    def _look_up(
        self, wanted: Sequence[str], frequencies: NDArray[np.int64], idf: NDArray[np.float64]
    ) -> list[int]:
        shares = np.zeros(len(self._folded))
        budget = _LOOK_UPS
        for number in np.argsort(frequencies, kind="stable").tolist():
            if not frequencies[number] or not analysis.is_indexed(wanted[number]):
                continue
            if budget < _LOOK_UPS and frequencies[number] > budget:
                break
            budget -= int(frequencies[number])
            shares[self._postings[wanted[number]]] += idf[number]
        best: list[int] = np.argsort(-shares, kind="stable")[:_DEPTH].tolist()
        return [number for number in best if shares[number]]
