"""Shapes of requests and answers about evaluation. These paths are not the contract's: what is no field is refused."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from server.core.pagination import PageParams
from server.evaluation.question import (
    MAX_ANSWER,
    MAX_FILE_NAME,
    MAX_FILES,
    MAX_PASSAGE,
    MAX_QUESTION,
    MAX_TAG,
    MAX_TAGS,
)
from server.kb.schemas import Described, not_blank


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


Id32 = Annotated[str, Field(min_length=1, max_length=32)]
SetName = Annotated[str, Field(max_length=64), BeforeValidator(not_blank)]
QuestionText = Annotated[str, Field(max_length=MAX_QUESTION), BeforeValidator(not_blank)]
Files = Annotated[list[Annotated[str, Field(max_length=MAX_FILE_NAME)]], Field(max_length=MAX_FILES)]
Tags = Annotated[
    list[Annotated[str, Field(max_length=MAX_TAG), BeforeValidator(not_blank)]], Field(max_length=MAX_TAGS)
]
QuestionId = Annotated[int, Field(ge=1, le=2**31 - 1)]


# ── sets ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class CreateSet(_Body):
    knowledge_base_name: str
    name: SetName


class OfSet(_Body):
    set_id: Id32


class RenameSet(OfSet):
    name: SetName


class SetOut(Described):
    set_id: str
    name: str
    questions: int
    runs: int
    create_time: datetime


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class GoldFields(_Body):
    gold_answer: Annotated[str, Field(max_length=MAX_ANSWER)] | None = None
    """Words that a right answer has; several accepted ones stand apart by `||`."""
    gold_files: Files | None = None
    """Files that should be found."""
    gold_passage: Annotated[str, Field(max_length=MAX_PASSAGE)] | None = None
    """A part of the passage that answers it, in one of `gold_files` if there are any. It is found again when documents are
    cut anew."""
    answerable: bool | None = None
    """False: it must be refused. Left out: true when any gold is given, else not known."""
    tags: Tags | None = None

    def given(self) -> dict[str, Any]:
        """What is said, as `NewQuestion` takes it."""
        values = self.model_dump(include=set(GoldFields.model_fields), exclude_none=True)
        return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


class SaveQuestion(GoldFields):
    """A new question, or with `question_id` all that is to be said of one that is there."""

    set_id: Id32
    question_id: QuestionId | None = None
    question: QuestionText


class DeleteQuestions(OfSet):
    question_ids: Annotated[list[QuestionId], Field(min_length=1, max_length=2000)]


class TakeAnswer(GoldFields):
    """A rated answer becomes a question. What a liked one cites is its gold, unless files, a passage or `answerable` are given."""

    set_id: Id32
    message_id: Id32


class TakeHit(GoldFields):
    """A question with the passage that should be found for it."""

    set_id: Id32
    question: QuestionText
    chunk_id: Annotated[int, Field(ge=1, le=2**63 - 1)]


class QuestionOut(Described):
    question_id: int
    question: str
    gold_answer: str | None
    gold_files: list[str]
    gold_passage: str | None
    answerable: bool | None
    """Null: nobody has said; no measure counts it."""
    tags: list[str]
    origin: str
    """written, imported, liked, disliked or hit_test"""
    message_id: str | None
    create_time: datetime


class QuestionFilter(PageParams):
    set_id: Id32
    q: Annotated[str, Field(max_length=100)] = ""
    """Words of the question."""


class RatedFilter(PageParams):
    set_id: Id32
    rating: Literal["liked", "disliked"] = "disliked"
    """liked: 60 or more of 100."""


class RatedOut(Described):
    message_id: str
    query: str
    response: str
    score: int
    reason: str
    outcome: str | None
    taken: bool
    """The set has its question already."""
    time: datetime


class ImportForm(Described):
    set_id: str
    file: UploadFile
    """CSV with the columns question, gold_answer, gold_files, gold_passage, answerable and tags (or 问题, 标准答案, 出处文件,
    出处原文, 可回答, 标签), all but the first optional; UTF-8 or GBK. Several files and tags stand apart by `|`."""


class Deleted(BaseModel):
    deleted: int


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class TriedSettings(_Body):
    """Of `[retrieval]`, for one run, over what the knowledge base says."""

    words: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    fusion: Literal["score", "rank"] | None = None
    collapse: bool | None = None
    diversity: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] | None = None


class StartRun(_Body):
    set_id: Id32
    name: Annotated[str, Field(max_length=100)] = ""
    """What to call it, say `300/60 chunks`."""
    model_name: str | None = None
    """Who answers: `quote`, or a model of the configuration. Null: search only."""
    prompt_name: str = "default"
    top_k: Annotated[int, Field(ge=1, le=50)] = 3
    """Passages that an answer is made of; the search is measured to a depth of 10 at least."""
    score_threshold: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)] | None = None
    """Null: what the knowledge base was calibrated to, as for readers."""
    settings: TriedSettings = TriedSettings()
    """How to search, tried by this run alone; nothing of it is stored with the knowledge base."""
    tags: Tags = []
    """Only questions with one of these; empty: all."""
    accept_cost: bool = False
    """Without it, 409 `cost_not_accepted` tells what a language model's answers will take."""


class Progress(Described):
    run_id: str
    set_id: str
    name: str
    state: str
    """queued, running, done, failed or cancelled"""
    done: int
    total: int
    percent: int
    wish: dict[str, Any]
    """What it was asked for: top_k, threshold, model, prompt, tags, retrieval."""
    values: dict[str, Any]
    """Of one that is done: measure → value, low, high (95 %) and n."""
    error_code: str | None
    reason: str | None
    create_time: datetime
    start_time: datetime | None
    finish_time: datetime | None


class RunOut(Progress):
    knowledge_base_name: str
    set_name: str
    conditions: dict[str, Any] | None
    """What it ran on."""
    summary: dict[str, Any] | None
    """Of one that is done: questions, ranked, answered, failed, values, rank_counts (rank 1 … 10, and last: not found), tags,
    milliseconds (step → p50, p95), tokens, moved (documents changed meanwhile)."""


class ResultFilter(PageParams):
    only: Literal["", "answered", "partly", "not_found", "failed"] = ""
    """An outcome."""
    order: Literal["set", "worst"] = "set"
    """`worst`: what failed, was not found or was decided wrongly comes first, then what was found late."""


class HitOut(Described):
    rank: int
    chunk_id: int
    file_name: str
    place: str
    score: float
    is_gold: bool
    text: str
    """Its beginning."""


class ResultOut(Described):
    number: int
    question_id: int
    asked: dict[str, Any]
    """The question with its gold as it stood when the run began."""
    ranks: list[int | None]
    """Of each thing that should be found, the rank of its first hit; null: not found."""
    hits: list[HitOut]
    lost: dict[str, Any] | None
    """Where nothing of the gold is a hit: the best passage that is gold, what became of it (`outcome`: threshold, duplicate, rank …)
    and its ranks. Null: the search did not come upon one."""
    answer: str | None
    outcome: str | None
    contains_gold: bool | None
    cited: int | None
    cited_gold: int | None
    checked: int | None
    """Sentences that cite, as far as they can be checked against their sources."""
    verified: int | None
    error_code: str | None
    milliseconds: dict[str, float]


class CompareRuns(BaseModel):
    base: Id32
    other: Id32


class ComparisonOut(Described):
    base: RunOut
    other: RunOut
    pairs: int
    changed: int
    """Questions left out, as their gold is another one now."""
    unmatched: int
    """Questions that only one of the two has."""
    conditions: list[dict[str, Any]]
    """What the two ran on that differs: name, base, other."""
    values: dict[str, Any]
    """recall@k, mrr@10, ndcg@10, citation_precision → base, other, difference (value, low, high, p: randomisation test)."""
    decisions: dict[str, Any]
    """hit@k, answer_contains_gold, right_decision → base, other, mcnemar (gained, lost, p: exact)."""
    better: list[dict[str, Any]]
    """At most 200 of `better_total`: question_id, question, base and other (ranks, outcome, contains_gold)."""
    worse: list[dict[str, Any]]
    better_total: int
    worse_total: int
