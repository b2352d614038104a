"""Shapes of how a knowledge base is searched. Unknown fields are refused."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from server.core.chinese import fold
from server.kb.fusion import Method
from server.kb.schemas import Described

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _word(value: str) -> str:
    word = " ".join(value.split())
    # As it is compared: some letters are nothing but a mark on the one before.
    if not any(map(str.isalnum, fold(word))):
        raise ValueError("must have a letter or a digit")
    return word


Word = Annotated[str, Field(max_length=30), AfterValidator(_word)]
Synonyms = Annotated[list[Word], Field(min_length=2, max_length=20)]


class UpdateRetrieval(Described):
    """What is left out stays; null is the server's setting again."""

    model_config = ConfigDict(extra="forbid")

    knowledge_base_name: str
    words: Share | None = None
    """Weight of the words against the meaning."""
    fusion: Method | None = None
    """How the two become one order."""
    collapse: bool | None = None
    """Of passages that say the same, only the best is a hit."""
    diversity: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] | None = None
    """Above 0, hits are preferred that differ from those before them."""
    stop_words: Annotated[list[Word], Field(max_length=200)] | None = None
    """Words that say nothing here, such as the company's name; a question's other words count."""
    synonyms: Annotated[list[Synonyms], Field(max_length=300)] | None = None
    """Groups of words that say the same here."""
    rerank: Annotated[str, Field(max_length=64)] | None = None
    """A `[rerank.NAME]`, which reads the best passages; empty: none."""
    candidates: Annotated[int, Field(ge=2, le=100)] | None = None
    """How many of them it orders."""
    threshold: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)] | None = None
    """The largest distance that counts, where a request gives no `score_threshold`."""
    expand: Annotated[int, Field(ge=0, le=8000)] | None = None
    """Characters up to which a hit is read together with its neighbours under the same heading; 0: alone."""
    calibration: None = None
    """Null forgets what was measured."""


class Calibrate(Described):
    model_config = ConfigDict(extra="forbid")

    knowledge_base_name: str
    count: Annotated[int, Field(ge=50, le=1000)] = 200
    """Questions to make of passages; each takes a fraction of a second."""


class CalibrationOut(Described):
    """What was measured. Worth is how well a passage fits a question by meaning and words."""

    floor: float
    """What a passage must be worth to count, where a request gives no `score_threshold`."""
    by: Literal["questions", "sentences"]
    """Recommended questions, when there are thirty, or else sentences that were left out of their passages."""
    words: float
    embed_model: str
    generation: int
    measured_at: str
    counts: dict[str, int]
    answerable: dict[str, float]
    """Percentiles of what its passage was worth to a sentence that was left out of it."""
    unanswerable: dict[str, float]
    """… and the best of all other files."""
    asked: dict[str, float]
    """… and the best of all to a recommended question."""
    refused: float | None
    """The share of those sentences that find nothing in other files now."""


class RetrievalOut(Described):
    own: dict[str, Any]
    """What this knowledge base says itself."""
    effective: dict[str, Any]
    """What holds for it."""
    calibration: CalibrationOut | None
    rerankers: list[str]
    """The `[rerank.NAME]` that are set up: the model is there, or the service has its key."""
    is_calibrated: bool
    """False where it was measured with another embedding model or another weight of words, and does not hold."""
