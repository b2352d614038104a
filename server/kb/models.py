"""Tables: knowledge bases, their documents and chunks, the jobs that read documents, recommended questions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from server.core.questions import question_key
from server.db.base import MARIADB, Base, Id, LongText, UTCDateTime

BigId = BigInteger().with_variant(Integer(), "sqlite")


class DocumentState(StrEnum):
    """What an editor sees. Only a `ready` document is searched; a `stored` one waits for someone to ask for it."""

    STORED = "stored"
    WAITING = "waiting"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"


class Slot(StrEnum):
    """Which version of a file a document row is. Per file name there is at most one of each."""

    LIVE = "live"  # the one that is shown and searched
    NEXT = "next"  # its replacement, not ready yet
    REBUILD = "rebuild"  # itself under another embedding model, until all documents are ready and change over at once


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobKind(StrEnum):
    INGEST = "ingest"  # asked for by an upload
    ATTACH = "attach"  # the same for a file of a conversation: somebody sits and waits for it
    REPAIR = "repair"  # the document's segment was lost


class KnowledgeBase(Base):
    """A named collection of documents of one client, bound to one embedding model."""

    __tablename__ = "knowledge_base"
    __table_args__ = (UniqueConstraint("client_id", "name"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(64))
    zh_name: Mapped[str] = mapped_column(String(64), default="")
    info: Mapped[str] = mapped_column(String(200), default="")
    # Readers of every client see a shared one.
    shared: Mapped[bool] = mapped_column(default=False, index=True)
    vector_store: Mapped[str] = mapped_column(String(16), default="faiss")
    embed_model: Mapped[str] = mapped_column(String(64))
    # embeddings.Fingerprint as JSON: vectors of another model are never mixed in.
    fingerprint: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Grows with every change that search must see; each process compares it before it answers.
    generation: Mapped[int] = mapped_column(default=0)
    # What its documents are cut by when they do not say; what is missing here is the server's setting.
    chunking: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # The change of its embedding model that is going on: model, fingerprint and chunking of the documents' new versions.
    rebuild: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # Hidden: it holds the files that somebody attached to this conversation and goes with it. Without a foreign key, since
    # SQLite would not tell of one that came later; `attachments` deletes both in one commit.
    session_id: Mapped[str | None] = mapped_column(Id, index=True, unique=True, default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @property
    def binding(self) -> tuple[str, dict[str, Any]]:
        """What its vectors come from; those of another one are not comparable."""
        return self.embed_model, self.fingerprint

    def rebuilt(self) -> "KnowledgeBase":
        """What reading one of the new versions needs of it, as it will be. Belongs to no session."""
        assert self.rebuild is not None
        model, fingerprint = self.rebuild["model"], self.rebuild["fingerprint"]
        return KnowledgeBase(
            id=self.id, client_id=self.client_id, name=self.name, embed_model=model, fingerprint=fingerprint
        )


class Document(Base):
    """One version of one file."""

    __tablename__ = "document"
    # NULL slots are not compared, so any number of old versions may wait for their removal.
    __table_args__ = (
        UniqueConstraint("kb_id", "name_key", "slot"),
        Index("ix_document_kb_id_state", "kb_id", "state"),
        MARIADB,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kb_id: Mapped[str] = mapped_column(ForeignKey("knowledge_base.id", ondelete="CASCADE"))
    file_name: Mapped[str] = mapped_column(String(255))
    # The name folded for comparison: `A.TXT` and `a.txt`, composed and decomposed accents are one file.
    name_key: Mapped[str] = mapped_column(String(255))
    slot: Mapped[str | None] = mapped_column(String(8))
    suffix: Mapped[str] = mapped_column(String(16))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default=DocumentState.WAITING)
    # Why it failed: a code for programs and a sentence for people.
    error_code: Mapped[str | None] = mapped_column(String(32), default=None)
    error_text: Mapped[dict[str, str] | None] = mapped_column(JSON, default=None)
    # How it is to be chunked: chunk_size, chunk_overlap, zh_title_enhance.
    chunking: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Its passages were given by people (`CustomPassages`); the file itself is only kept.
    custom_docs: Mapped[bool] = mapped_column(default=False)
    # In the slot `rebuild`: the id of the live version that this one is to replace, and of no other.
    copy_of: Mapped[str | None] = mapped_column(Id, default=None)
    char_count: Mapped[int] = mapped_column(default=0)
    chunk_count: Mapped[int] = mapped_column(default=0)
    # The file with the document's vectors, and what it must hash to.
    segment: Mapped[str | None] = mapped_column(String(64), default=None)
    segment_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ready_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)


class CustomPassages(Base):
    """The passages that people gave for a document, instead of what a reading of the file would find."""

    __tablename__ = "custom_passages"

    document_id: Mapped[str] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), primary_key=True)
    # `text` and `anchor` of each, as in `Chunk`.
    passages: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class Chunk(Base):
    """A passage of a ready document. Its id is its vector's id in every index; ids are never used twice."""

    __tablename__ = "chunk"
    __table_args__ = (
        UniqueConstraint("document_id", "position"),
        Index("ix_chunk_kb_id_content_hash", "kb_id", "content_hash"),
        {"sqlite_autoincrement": True, **MARIADB},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    kb_id: Mapped[str] = mapped_column(String(32))
    document_id: Mapped[str] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    # Row in the document's segment, from 0.
    position: Mapped[int] = mapped_column()
    text: Mapped[str] = mapped_column(LongText)
    # Where it stands in the file: page, slide, sheet, range, row, heading.
    anchor: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Of the text that was embedded: an unchanged chunk keeps its vector.
    content_hash: Mapped[str] = mapped_column(String(64))


class Job(Base):
    """Work that survives a restart. A worker holds it by a lease that it renews while it is alive."""

    __tablename__ = "job"
    __table_args__ = (Index("ix_job_state_lease_until", "state", "lease_until"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default=JobKind.INGEST)
    kb_id: Mapped[str] = mapped_column(ForeignKey("knowledge_base.id", ondelete="CASCADE"), index=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16), default=JobState.WAITING)
    # Chunks embedded so far, of how many.
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    def percent(self, document: Document) -> int:
        """How much of it is done; 100 only of what has come to its end."""
        if document.state in (DocumentState.READY, DocumentState.FAILED):
            return 100
        return 99 * self.done // self.total if self.total else 0


class Question(Base):
    """A question that is recommended to readers, of one knowledge base or of none."""

    __tablename__ = "question"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    # Whoever sees the knowledge base sees its questions.
    kb_id: Mapped[str | None] = mapped_column(ForeignKey("knowledge_base.id", ondelete="CASCADE"), index=True)
    # Whose it is when it is of no knowledge base; None: everybody's.
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), index=True)
    # Of no knowledge base: readers of every client are offered it, as those of a shared knowledge base.
    shared: Mapped[bool] = mapped_column(default=False)
    query: Mapped[str] = mapped_column(String(200))
    # core.questions.question_key; follows `query`.
    query_key: Mapped[str] = mapped_column(String(64), index=True)
    # What is said at once when somebody asks this; None leaves it to the model.
    answer: Mapped[str | None] = mapped_column(LongText, default=None)
    tap_count: Mapped[int] = mapped_column(default=0)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @validates("query")
    def _set_key(self, _name: str, query: str) -> str:
        self.query_key = question_key(query)
        return query
