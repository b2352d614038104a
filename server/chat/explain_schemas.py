"""Shapes of explanations: how a question came to its hits. Unknown fields are refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from server.kb.label_schemas import FiltersIn
from server.kb.schemas import Query, TopK, not_blank

Words = Annotated[str, Field(max_length=2000), BeforeValidator(not_blank)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _Described(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Said(_Strict):
    role: Literal["user", "assistant"]
    content: str


class SettingsIn(_Strict):
    """What to try instead of the knowledge base's settings, for this one search."""

    words: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight of the words against the meaning."""
    fusion: Literal["score", "rank"] | None = None
    collapse: bool | None = None
    diversity: Annotated[float, Field(ge=0, le=0.9)] | None = None


class ExpectedIn(_Strict):
    """What should have been found: one passage, a file, words that stand in a passage, or a file and words in it."""

    chunk_id: Annotated[int, Field(ge=1, le=2**62)] | None = None
    file_name: Words | None = None
    text: Words | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "ExpectedIn":
        if self.chunk_id is None and self.file_name is None and self.text is None:
            raise ValueError("give chunk_id, file_name or text")
        return self


class ExplainSearch(_Strict):
    knowledge_base_name: str
    query: Query
    top_k: TopK = 3
    score_threshold: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    history: Annotated[list[Said], Field(max_length=100)] = Field(default_factory=list)
    """What was said before: a follow-up is searched for with what it lacks."""
    filters: FiltersIn | None = None
    settings: SettingsIn | None = None
    expected: ExpectedIn | None = None


class FoundOut(_Described):
    """A candidate, and how it fared: ranks from 1."""

    chunk_id: int
    document_id: str | None
    """None: gone by now."""
    file_name: str | None
    place: str | None
    """Where in the file, in words."""
    anchor: dict[str, Any] | None
    """Where in the file: page, slide, sheet, range, row, heading."""
    text: str | None
    matched: list[tuple[int, int]]
    """[start, end) of the question's words in `text`, in code points."""
    outcome: str
    """hit, threshold (too far), duplicate (a better one says the same), rank (not among the first top_k), filter, depth (neither
    search came so far)."""
    rank: int | None
    fused: float
    score: float
    """Squared L2 distance: smaller is closer."""
    near: float
    """How many standard deviations closer than passages of this knowledge base are in general."""
    vector_rank: int | None
    words: float
    """How much of the question's words it has, 0 to 1."""
    word_rank: int | None
    rerank: float | None = None
    """What a reranker says, if there is one and it was among the best: larger is better."""
    rerank_rank: int | None = None
    embedded: bool = True
    """False: its file is being embedded, and only its words count; `score` is then that of passages in general."""


class WhyOut(_Described):
    found: bool
    reason: str
    """hit, unknown, not_ready, not_embedded, filter, depth, threshold, duplicate, rank, gone."""
    message: str
    """The same for people, with what would have to change."""
    candidate: FoundOut | None


class ExplanationOut(_Described):
    query: str
    question: str
    """What was searched for."""
    hits: list[FoundOut]
    candidates: list[FoundOut]
    """Hits and what was not taken, best first, thirty at most."""
    trace: dict[str, Any]
    """As it is kept with an answer: knowledge bases, milliseconds of each step, settings, the question's terms and how many passages
    have each, candidates."""
    expected: WhyOut | None


class TracedPassage(_Described):
    chunk_id: int
    file_name: str
    place: str
    """Where in the file, in words."""


class TraceOut(_Described):
    query: str
    trace: dict[str, Any]
    """How the search of an answer came to its sources; empty where nothing was searched."""
    passages: list[TracedPassage]
    """Where its candidates stand, of those that are there and that the caller may see today."""
