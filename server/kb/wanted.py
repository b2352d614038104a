"""What a question looks for in all that is searched, what each of its terms weighs there, and how well a passage matches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.core.chinese import fold
from server.kb import analysis, matching
from server.kb.lexicon import Lexicon
from server.kb.style import Style
from server.kb.wording import SameWords


@dataclass(frozen=True, slots=True)
class Weights:
    """Of all terms that are wanted: how many passages have each, and what it weighs; and the usual length of passages."""

    counts: list[tuple[str, int]]
    values: NDArray[np.float64]
    average: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """The question's terms, and those of what says the same as words of it."""

    question: str
    terms: list[str]
    same: SameWords
    also: list[str]

    @classmethod
    def of(cls, question: str, style: Style) -> "Wanted":
        if not style.words:
            return cls(question, [], SameWords("", ()), [])
        terms = analysis.question_terms(question, style.stop_words)
        same = analysis.same_words(question, style.synonyms)
        also = dict.fromkeys(term for other in same.others for term in analysis.terms(other))
        return cls(question, terms, same, [term for term in also if term not in terms])

    @property
    def all(self) -> list[str]:
        return self.terms + self.also

    def weigh(self, lexicons: Sequence[Lexicon]) -> Weights:
        """What no passage has weighs nothing. A passage that says the same in another word has the word's terms."""
        found = np.zeros(len(self.all), np.int64)
        for lexicon in lexicons:
            found += lexicon.frequencies(self.all)
        passages = sum(lexicon.passages for lexicon in lexicons)
        length = sum(lexicon.length for lexicon in lexicons)
        counts = dict(zip(self.all, found.tolist(), strict=True))
        told = list(counts.items())
        for other, word in self.same.others.items():
            saying = min((counts[term] for term in analysis.terms(other)), default=0)
            for term in set(analysis.terms(word)) & counts.keys():
                counts[term] = min(passages, counts[term] + saying)
        frequencies = np.array(list(counts.values()), np.int64)
        values = np.where(frequencies > 0, matching.idf(frequencies, passages), 0.0)
        return Weights(told, values, length / passages if passages else 0.0)


@dataclass(frozen=True, slots=True)
class Matcher:
    """Compares passages with a question, by those of its terms that some passage has."""

    wanted: Wanted
    terms: list[str]
    weights: list[float]
    average: float

    @classmethod
    def of(cls, wanted: Wanted, weights: Weights) -> "Matcher":
        pairs = zip(wanted.terms, weights.values.tolist(), strict=False)
        known = {term: weight for term, weight in pairs if weight}
        return cls(wanted, list(known), list(known.values()), weights.average)

    def match(self, text: str) -> float:
        """0 to 1."""
        if not self.terms:
            return 0.0
        said = self.wanted.same.translate(fold(text))
        return matching.match(self.terms, self.weights, said, self.average)
