"""How one search weighs the passages of one knowledge base."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.kb import fusion
from server.kb.fusion import Candidate
from server.kb.wanted import Matcher

# What is told as the distance of a passage that is not embedded, where no other is either: neither near nor far.
_UNKNOWN = 1.0


@dataclass(frozen=True, slots=True)
class Scale:
    """The question, as the knowledge base's model and its words read it."""

    kb_id: str
    vector: NDArray[np.float32]
    # Mean and deviation of distances.
    spread: tuple[float, float]
    matcher: Matcher

    def judge(self, chunk_id: int, text: str, searched: str, distance: float) -> Candidate:
        """`searched`: what the passage is found by (anchors.searched_text)."""
        near = fusion.nearness(distance, *self.spread)
        return Candidate(chunk_id, self.kb_id, text, distance, near, self.matcher.match(searched))

    def judge_unembedded(self, chunk_id: int, text: str, searched: str) -> Candidate:
        """By its words alone: as far as any."""
        mean, _ = self.spread
        words = self.matcher.match(searched)
        return Candidate(
            chunk_id, self.kb_id, text, mean or _UNKNOWN, near=0.0, words=words, is_embedded=False
        )
