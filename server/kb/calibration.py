"""What a passage must be worth in one knowledge base to count as found: measured on questions, some of them made of passages.

A question made of a passage is one of its sentences, matched with what is left of the passage without it. That is harder than
what people ask, since the answer itself is missing: see docs/decisions/23-calibrated-threshold.md for what follows from it.
"""

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.kb.models import KnowledgeBase

# People's questions that are enough to go by; one in a hundred of them may be lost.
ENOUGH, _LOST = 30, 0.01
# A tenth less than the rarest of them says: others may be rarer.
_SLACK = 0.1
# Of sentences that were left out, so many find their passage less well than what is asked for.
_MADE = 0.5
# … and as many must there be.
FEWEST = 20
_PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)

_SENTENCE = re.compile(r"[^。！？!?\n]+[。！？!?\n]*")
_SHORTEST, _LONGEST, _LEFT = 8, 60, 20
_END = "。！？!?；; \t\n"


@dataclass(frozen=True, slots=True)
class Made:
    """A question made of a passage, and what is left of that."""

    question: str
    rest: str


def make_question(text: str, heading: str, source: random.Random) -> Made | None:
    """One of the passage's sentences; or its heading, when it has none to spare; None when it has neither."""
    whole = list(_SENTENCE.finditer(text))
    fit = [found for found in whole if _SHORTEST <= len(found[0].strip()) <= _LONGEST]
    if len(whole) > 1 and fit:
        chosen = source.choice(fit)
        rest = (text[: chosen.start()] + text[chosen.end() :]).strip()
        if len(rest) >= _LEFT:
            return Made(chosen[0].strip(_END), rest)
    subject = heading.rpartition(" > ")[2].strip()
    rest = text.replace(subject, "").strip() if subject else ""
    return Made(subject, rest) if len(subject) > 1 and len(rest) >= _LEFT else None


@dataclass(frozen=True, slots=True)
class Measured:
    """What passages were worth: to questions that they answer, to the same ones where nothing does, and to people's."""

    answerable: Sequence[float]
    unanswerable: Sequence[float]
    asked: Sequence[float]

    @property
    def is_enough(self) -> bool:
        return len(self.asked) >= ENOUGH or len(self.answerable) >= FEWEST

    @property
    def floor(self) -> float:
        """The least that counts."""
        if len(self.asked) >= ENOUGH:
            rarest = float(np.quantile(self.asked, _LOST, method="lower"))
            return round(rarest - _SLACK * abs(rarest), 3)
        return round(float(np.quantile(self.answerable, _MADE)), 3)

    def refused(self) -> float | None:
        """The share of questions that nothing answers which find nothing."""
        return (
            round(float(np.mean(np.array(self.unanswerable) < self.floor)), 4) if self.unanswerable else None
        )


def to_json(kb: KnowledgeBase, measured: Measured, words: float, day: str) -> dict[str, Any]:
    """What the knowledge base keeps: the floor, and what it was measured on."""
    return {
        "floor": measured.floor,
        "by": "questions" if len(measured.asked) >= ENOUGH else "sentences",
        "words": words,
        "model": model_key(kb),
        "embed_model": kb.embed_model,
        "generation": kb.generation,
        "measured_at": day,
        "counts": {"made": len(measured.answerable), "asked": len(measured.asked)},
        "answerable": _percentiles(measured.answerable),
        "unanswerable": _percentiles(measured.unanswerable),
        "asked": _percentiles(measured.asked),
        "refused": measured.refused(),
    }


def floor_of(kb: KnowledgeBase, words: float) -> float | None:
    """None when it was never measured, or with another model or another weight of words."""
    kept = (kb.retrieval or {}).get("calibration")
    if kept is None or kept["model"] != model_key(kb) or kept["words"] != words:
        return None
    return float(kept["floor"])


def model_key(kb: KnowledgeBase) -> str:
    """The model that its vectors come from."""
    return hashlib.sha256(json.dumps(kb.binding, sort_keys=True).encode()).hexdigest()[:16]


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    found = np.percentile(values, _PERCENTILES)
    return {str(at): round(float(value), 3) for at, value in zip(_PERCENTILES, found, strict=True)}
