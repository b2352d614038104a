"""What a model is that reads a question and a passage together, and says how well the one answers the other."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CrossEncoderConfig:
    """`path` is a folder of sentence-transformers; `max_length` is in tokens, 0 leaves it to the model."""

    name: str
    path: Path
    max_length: int = 0
    batch_size: int = 8
    device: str = "cpu"
    threads: int = 0


class RerankError(Exception):
    """A model cannot be loaded, or did not score. The words are for the log."""


class CrossEncoderModel(ABC):
    """Scores passages. Synchronous, and takes long: call it from a worker thread."""

    @abstractmethod
    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """A number per passage, larger is better. Raises RerankError."""


def check_scores(scores: Sequence[float], wanted: int) -> list[float]:
    """Raises RerankError unless there is one finite number for each."""
    if len(scores) != wanted:
        raise RerankError(f"{len(scores)} scores for {wanted} passages")
    if not all(map(math.isfinite, scores)):
        raise RerankError("scores that are no numbers")
    return list(scores)
