"""Tables: knowledge bases, their documents and chunks, the jobs that read documents, recommended questions."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    true,
)
from sqlalchemy.dialects.mysql import LONGBLOB
from sqlalchemy.orm import Mapped, mapped_column, validates

from embeddings import Fingerprint
from server.core.questions import question_key
from server.db.base import MARIADB, Base, Id, LongText, UTCDateTime

PLAIN = "simplified"
# What people say of a document; it stays when the document is read again or replaced.
LABELS = ("tags", "properties", "visible_to")
BigId = BigInteger().with_variant(Integer(), "sqlite")


class DocumentState(StrEnum):
    """What an editor sees. A `ready` document is searched, one in `embedding` by its words alone (SEARCHED); a `stored` one
    waits for someone to ask for it."""

    STORED = "stored"
    WAITING = "waiting"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"
    ARCHIVED = "archived"  # an earlier version, kept to be compared and restored; nothing finds it


# In the slot `live`: its passages are there. What is being embedded has no vectors yet: it is found by words.
SEARCHED = (DocumentState.READY, DocumentState.EMBEDDING)


class Slot(StrEnum):
    """Which version of a file a document row is. Per file name there is at most one of each."""

    LIVE = "live"  # the one that is shown and searched
    NEXT = "next"  # its replacement, not ready yet
    REBUILD = "rebuild"  # itself under another embedding model, until all documents are ready and change over at once


class Origin(StrEnum):
    """Where a passage comes from."""

    FILE = "file"  # as the file was read and cut
    EDITED = "edited"  # the same, as somebody changed it
    ADDED = "added"  # somebody wrote it


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
    # How it is searched where that differs from [retrieval], and its own words (hits.Style).
    retrieval: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # The change of its embedding model that is going on: model, fingerprint and chunking of the documents' new versions.
    rebuild: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # Hidden: it holds the files that somebody attached to this conversation and goes with it. Without a foreign key, since
    # SQLite would not tell of one that came later; `attachments` deletes both in one commit.
    session_id: Mapped[str | None] = mapped_column(Id, index=True, unique=True, default=None)
    # Hidden: its package is still being taken in (packages.py).
    importing: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @property
    def binding(self) -> tuple[str, dict[str, Any]]:
        """What its vectors come from; those of another one are not comparable."""
        return self.embed_model, self.fingerprint

    @property
    def home(self) -> tuple[str, str, dict[str, Any]]:
        """Where its vectors are searched, and what they come from."""
        return self.vector_store, *self.binding

    @property
    def is_plain(self) -> bool:
        """Are its passages embedded in one script (core.chinese.plain)? Those of earlier versions are not."""
        return self.fingerprint.get("spelling") == PLAIN

    def rebuilt(self) -> "KnowledgeBase":
        """What reading one of the new versions needs of it, as it will be. Belongs to no session."""
        assert self.rebuild is not None
        model, fingerprint = self.rebuild["model"], self.rebuild["fingerprint"]
        return KnowledgeBase(
            id=self.id,
            client_id=self.client_id,
            name=self.name,
            vector_store=self.vector_store,
            embed_model=model,
            fingerprint=fingerprint,
            generation=self.generation,
        )


def fingerprint_of(fingerprint: Fingerprint) -> dict[str, Any]:
    """What a new knowledge base stores of its model, and of what it lets the model read."""
    return fingerprint.to_json() | {"spelling": PLAIN}


class Document(Base):
    """One version of one file."""

    __tablename__ = "document"
    # NULL slots are not compared: those of earlier versions, which are `archived`.
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
    # What its last reading found beside its text (loaders.base.Findings); kb/reading_notes.py says it to people.
    findings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # How it is to be cut, see splitters.Chunking.
    chunking: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Its passages were given by people (`CustomPassages`); the file itself is only kept.
    custom_docs: Mapped[bool] = mapped_column(default=False)
    # In the slot `rebuild`: the id of the live version that this one is to replace, and of no other.
    copy_of: Mapped[str | None] = mapped_column(Id, default=None)
    # What people say of it: words, and values by name (text, a number, true or false, a date as YYYY-MM-DD).
    tags: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True), default=None)
    properties: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # Ids of those who may see it, see visibility.py; None: everybody who reads the knowledge base.
    visible_to: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # Of the passages that are searched. Those that are switched off are counted beside them.
    char_count: Mapped[int] = mapped_column(default=0)
    chunk_count: Mapped[int] = mapped_column(default=0)
    disabled_count: Mapped[int] = mapped_column(default=0, server_default="0")
    # What became of people's changes to its passages when it was read again, and what they took out: see edits.py.
    edits: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True), default=None)
    # The file with the document's vectors, and what it must hash to.
    segment: Mapped[str | None] = mapped_column(String(64), default=None)
    segment_sha256: Mapped[str | None] = mapped_column(String(64), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ready_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    # When another version took its place. Its segment, if it has one, is of the knowledge base's present model.
    archived_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    @property
    def found_by(self) -> list[Literal["words", "meaning"]]:
        """What a search finds it by."""
        if self.slot != Slot.LIVE or self.state not in SEARCHED:
            return []
        return ["words", "meaning"] if self.state == DocumentState.READY else ["words"]

    def label(self, given: Mapping[str, Any]) -> None:
        """Say something else of it: some of `tags`, `properties`, `visible_to`."""
        for name, value in given.items():
            setattr(self, name, value)

    def take_over(self, other: "Document") -> None:
        """Say of it what is said of another version."""
        self.label({name: getattr(other, name) for name in LABELS})


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
    # Its place in the document, from 0. The segment has the rows of those that are enabled, in this order.
    position: Mapped[int] = mapped_column()
    text: Mapped[str] = mapped_column(LongText)
    # Where it stands in the file: page, slide, sheet, range, row, heading.
    anchor: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Switched off, it is shown to editors and to nobody else, and no search finds it.
    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    origin: Mapped[str] = mapped_column(String(8), default=Origin.FILE, server_default=Origin.FILE)
    # Of one that was edited: what the file says (edits.source).
    original: Mapped[str | None] = mapped_column(LongText, default=None)
    # The large passage that it is part of, counted within its document: that is read where this one is found.
    parent: Mapped[int | None] = mapped_column(default=None)
    # Of the text that was embedded: an unchanged chunk keeps its vector.
    content_hash: Mapped[str] = mapped_column(String(64))
    # What the database's text index finds it by (lexicon.index_text); None: not indexed yet. Read by nobody else.
    tokens: Mapped[str | None] = mapped_column(LongText, default=None, deferred=True)
    # The same of an archived document: out of the text index, for when it is restored.
    kept_tokens: Mapped[str | None] = mapped_column(LongText, default=None, deferred=True)


class DocumentTerms(Base):
    """How many of a document's passages have which term (lexicon.DocumentTerms)."""

    __tablename__ = "document_terms"

    document_id: Mapped[str] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), primary_key=True)
    # analysis.VERSION: what an earlier one wrote is written anew.
    version: Mapped[int] = mapped_column()
    passages: Mapped[int] = mapped_column()
    length: Mapped[int] = mapped_column(BigInteger)
    packed: Mapped[bytes] = mapped_column(LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb"))


class Job(Base):
    """Work that survives a restart. A worker holds it by a lease that it renews while it is alive."""

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_state_lease_until", "state", "lease_until"),
        # What is taken next; what a client has waiting; what is new.
        Index("ix_job_queue", "state", "turn", "created_at", "id"),
        Index("ix_job_client_queue", "client_id", "state", "turn"),
        Index("ix_job_client_changed", "client_id", "changed_at"),
        MARIADB,
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), default=JobKind.INGEST)
    # Whose knowledge base it is; without a foreign key, as it goes with that.
    client_id: Mapped[str] = mapped_column(String(32))
    kb_id: Mapped[str] = mapped_column(ForeignKey("knowledge_base.id", ondelete="CASCADE"), index=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16), default=JobState.WAITING)
    # Its place in the queue, see job_queue.py: the smallest comes first.
    turn: Mapped[int] = mapped_column(BigInteger, default=0)
    # Passages embedded so far, of how many; pages read, of how many.
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    pages_done: Mapped[int] = mapped_column(default=0)
    pages_total: Mapped[int] = mapped_column(default=0)
    # What was read: characters and passages.
    chars: Mapped[int] = mapped_column(default=0)
    chunks: Mapped[int] = mapped_column(default=0)
    # When its stage will be over, by its own pace; None until that is known.
    expected_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    # Of whatever people are told of it, the state of its document too: who watches asks for what is newer.
    changed_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @property
    def is_open(self) -> bool:
        return self.state in (JobState.WAITING, JobState.RUNNING)

    def percent(self, document: Document) -> int:
        """How much of it is done; 100 only of what has come to its end."""
        if document.state in (DocumentState.READY, DocumentState.FAILED):
            return 100
        if self.total:
            return _READ + (99 - _READ) * self.done // self.total
        if document.state == DocumentState.EMBEDDING:
            return _READ
        return _READ * self.pages_done // self.pages_total if self.pages_total else 0

    def begin_again(self) -> None:
        """Nothing of it is done."""
        self.done = self.total = self.pages_done = self.pages_total = self.chars = self.chunks = 0
        self.expected_at = None


# Of a hundred, what counts for the reading.
_READ = 20


class VectorSlot(Base):
    """Where a server of vectors (pgvector, Milvus) has those of one knowledge base under one embedding model.

    One process at a time writes there, by a lease. Without a foreign key: a slot outlives its knowledge base until the server's
    side of it is removed.
    """

    __tablename__ = "vector_slot"
    __table_args__ = (UniqueConstraint("store", "name"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kb_id: Mapped[str] = mapped_column(String(32), index=True)
    store: Mapped[str] = mapped_column(String(16))
    # Of the table or collection.
    name: Mapped[str] = mapped_column(String(64))
    dimension: Mapped[int] = mapped_column()
    # Everything that was searchable in this generation of the knowledge base is there.
    generation: Mapped[int] = mapped_column(default=-1)
    lease_owner: Mapped[str | None] = mapped_column(String(64), default=None)
    lease_until: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)
    # When it was last written: one that nobody searches any more is kept for a day.
    used_at: Mapped[datetime] = mapped_column(UTCDateTime)


class SlotSegment(Base):
    """A segment in a slot. The row is there before the vectors: what a crash leaves over is known."""

    __tablename__ = "slot_segment"
    __table_args__ = (MARIADB,)

    slot_id: Mapped[str] = mapped_column(ForeignKey("vector_slot.id", ondelete="CASCADE"), primary_key=True)
    segment: Mapped[str] = mapped_column(String(64), primary_key=True)
    chunks: Mapped[int] = mapped_column()
    # Are all its vectors there?
    written: Mapped[bool] = mapped_column(default=False)


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
