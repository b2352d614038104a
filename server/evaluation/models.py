"""Tables: question sets of knowledge bases, their questions, runs over them, and what became of each question."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db.base import MARIADB, Base, Id, LongText, UTCDateTime


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Origin(StrEnum):
    """Where a question comes from."""

    WRITTEN = "written"
    IMPORTED = "imported"
    LIKED = "liked"
    DISLIKED = "disliked"
    HIT_TEST = "hit_test"


class QuestionSet(Base):
    """Questions with what should be found and said; they go with their knowledge base."""

    __tablename__ = "evaluation_set"
    __table_args__ = (UniqueConstraint("kb_id", "name"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kb_id: Mapped[str] = mapped_column(ForeignKey("knowledge_base.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class GoldQuestion(Base):
    """One question of a set. What is found is right by its file and its words, never by a passage's id: those change when
    documents are cut anew."""

    __tablename__ = "evaluation_question"
    # Runs are compared question by question: an id is never used twice.
    __table_args__ = (UniqueConstraint("set_id", "question_key"), {"sqlite_autoincrement": True, **MARIADB})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    set_id: Mapped[str] = mapped_column(ForeignKey("evaluation_set.id", ondelete="CASCADE"))
    question: Mapped[str] = mapped_column(LongText)
    # core.questions.question_key
    question_key: Mapped[str] = mapped_column(String(64))
    # Words that a right answer has; several accepted ones stand apart by `|`.
    gold_answer: Mapped[str | None] = mapped_column(LongText, default=None)
    gold_files: Mapped[list[str]] = mapped_column(JSON, default=list)
    # A part of the passage that answers it.
    gold_passage: Mapped[str | None] = mapped_column(LongText, default=None)
    # False: the knowledge base has no answer, and none must be given. None: nobody has said.
    answerable: Mapped[bool | None] = mapped_column(default=None)
    tags: Mapped[list[str]] = mapped_column(JSON, default=list)
    origin: Mapped[str] = mapped_column(String(16), default=Origin.WRITTEN)
    # The message that it comes from.
    message_id: Mapped[str | None] = mapped_column(Id, default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Run(Base):
    """One go through a set. A worker holds it by a lease that it renews while it is alive."""

    __tablename__ = "evaluation_run"
    __table_args__ = (Index("ix_evaluation_run_state_lease_until", "state", "lease_until"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    set_id: Mapped[str] = mapped_column(ForeignKey("evaluation_set.id", ondelete="CASCADE"), index=True)
    # What somebody calls it, say "300/60 chunks".
    name: Mapped[str] = mapped_column(String(100), default="")
    # Who asks its questions: `user_id` of the set's client.
    asked_by: Mapped[str] = mapped_column(String(64))
    # What was asked for: `runs.Wish`.
    wish: Mapped[dict[str, Any]] = mapped_column(JSON)
    # What it ran on: `conditions.py`. None: it has not begun.
    conditions: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # What came out: `summary.py`. None: it is not done.
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    state: Mapped[str] = mapped_column(String(16), default=RunState.QUEUED)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    # Times that it was taken since it last moved forward.
    attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    error_code: Mapped[str | None] = mapped_column(String(32), default=None)
    error_text: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    @property
    def percent(self) -> int:
        """How much of it is done; 100 only of what has come to its end."""
        if self.state == RunState.DONE:
            return 100
        return 99 * self.done // self.total if self.total else 0

    @property
    def is_over(self) -> bool:
        return self.state in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


class Result(Base):
    """What became of one question. It is there from the run's beginning, with the question as it stood then."""

    __tablename__ = "evaluation_result"

    run_id: Mapped[str] = mapped_column(ForeignKey("evaluation_run.id", ondelete="CASCADE"), primary_key=True)
    # From 1, in the order of the set.
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Without a foreign key: the question may be deleted, and what it showed stays.
    question_id: Mapped[int] = mapped_column()
    # `gold.Asked` as JSON.
    asked: Mapped[dict[str, Any]] = mapped_column(JSON)
    # None: not yet.
    measured_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    # Of each thing that should be found, the rank of the first hit that has it; None where there is none.
    ranks: Mapped[list[int | None]] = mapped_column(JSON, default=list)
    # What was found: chunk_id, file_name, place, score, rank, is_gold, text (its beginning).
    hits: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    # Where nothing of the gold is among the hits: what became of the best passage that is gold (threshold, duplicate, rank …),
    # and its ranks; None: the search did not even consider one.
    lost: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    answer: Mapped[str | None] = mapped_column(LongText, default=None)
    # answered | partly | not_found, as the reader would be told; failed: there was no answer.
    outcome: Mapped[str | None] = mapped_column(String(16), default=None)
    error_code: Mapped[str | None] = mapped_column(String(32), default=None)
    contains_gold: Mapped[bool | None] = mapped_column(default=None)
    # Sources that the answer cites, and those of them that are gold.
    cited: Mapped[int | None] = mapped_column(default=None)
    cited_gold: Mapped[int | None] = mapped_column(default=None)
    # Sentences that cite and could be checked against their sources, and those that are borne out: `chat.checking`.
    checked: Mapped[int | None] = mapped_column(default=None)
    verified: Mapped[int | None] = mapped_column(default=None)
    # Tokens of the answer, as the provider counted them: prompt_tokens, completion_tokens.
    tokens: Mapped[dict[str, int] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # The search's own steps, `search` in all, `answer`.
    milliseconds: Mapped[dict[str, float]] = mapped_column(JSON, default=dict)
