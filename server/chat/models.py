"""Tables: conversations."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.db.base import MARIADB, Base, Id, LongText, UTCDateTime


class Session(Base):
    """A conversation of one caller: a user of a client, or one of its api keys (`key:<id>`)."""

    __tablename__ = "session"
    __table_args__ = (
        Index("ix_session_client_id_user_id_created_at", "client_id", "user_id", "created_at"),
        MARIADB,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"))
    user_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(20), default="")
    mode: Mapped[str] = mapped_column(String(20), default="LLM")
    param: Mapped[dict[str, Any]] = mapped_column(JSON)
    # When its owner pinned it; None: not pinned.
    pinned_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Message(Base):
    """One question and its answer. Without a session it is kept for its asker all the same."""

    __tablename__ = "message"
    __table_args__ = (
        ForeignKeyConstraint(["session_id"], ["session.id"], ondelete="CASCADE"),
        Index("ix_message_session_id_created_at", "session_id", "created_at"),
        Index("ix_message_client_id_user_id", "client_id", "user_id"),
        Index("ix_message_client_id_kb_id_feedback_at", "client_id", "kb_id", "feedback_at"),
        MARIADB,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[str] = mapped_column(String(64))
    session_id: Mapped[str | None] = mapped_column(Id)
    # Counts the messages of a session, since clocks have been known to stand still.
    position: Mapped[int] = mapped_column(default=0)
    # Which knowledge base was asked. Without a foreign key: the conversation outlives it.
    kb_id: Mapped[str | None] = mapped_column(Id, default=None)
    chat_type: Mapped[str] = mapped_column(String(50))
    model: Mapped[str] = mapped_column(String(64))
    query: Mapped[str] = mapped_column(LongText)
    response: Mapped[str] = mapped_column(LongText, default="")
    # The citations as they were shown.
    docs: Mapped[list[str]] = mapped_column(JSON)
    # How retrieval came to its hits.
    trace: Mapped[dict[str, Any]] = mapped_column(JSON)
    # The passages it is made of, as `sources.to_json` has them; None: not known (yet).
    sources: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # What readers are told beside the text: stage, tools, tokens, checks, why it failed. `Telling.progress`.
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # writing | done | cut (the reader went away or was disabled, stopped it, or the process was killed) | failed
    state: Mapped[str] = mapped_column(String(16), default="writing")
    # How often it was answered: who wrote an earlier answer stores nothing over a later one.
    attempt: Mapped[int] = mapped_column(default=1)
    # While it is being written: when its process has to have said again that it lives.
    writing_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    # For the process that writes it.
    stop_wanted: Mapped[bool] = mapped_column(default=False)
    # answered | partly | not_found, once it is done.
    outcome: Mapped[str | None] = mapped_column(String(16), default=None)
    # Questions that are recommended to whoever asked this one.
    follow_ups: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True), default=None)
    error_code: Mapped[str | None] = mapped_column(String(32), default=None)
    # What its asker thinks of the answer, 0 to 100, and why.
    feedback_score: Mapped[int | None] = mapped_column(default=None)
    feedback_reason: Mapped[str] = mapped_column(String(255), default="")
    feedback_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
