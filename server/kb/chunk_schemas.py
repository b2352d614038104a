"""Shapes of requests and answers about single passages, and about how a file would be cut."""

from dataclasses import asdict
from typing import Annotated, Any, Self

from fastapi import UploadFile
from pydantic import BeforeValidator, Field, model_validator

from server.core.i18n import Language
from server.kb.anchors import QUESTION, question_of
from server.kb.chunk_editing import Shown
from server.kb.models import Document
from server.kb.previews import Preview
from server.kb.reading_notes import notes
from server.kb.schemas import ChunkingFields, ChunkingOut, Described, EditsOut
from server.kb.splitters import Chunking


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


# As databases count; true is not 1.
ChunkId = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_not_bool)]


class ChunkOut(Described):
    """A passage of a file, as editors see it."""

    chunk_id: int
    """Another one after each change of the passage."""
    position: int
    """From 0."""
    text: str
    anchor: dict[str, Any]
    """Where it stands: page, slide, sheet and range, row, heading; only what applies."""
    enabled: bool
    """False: no search finds it."""
    origin: str
    """file, edited or added."""
    question: str | None
    """Of one of a list of questions: what is searched; `text` is the answer."""
    parent: str | None
    """The large passage that it is part of, which is read where it is found."""
    original: str | None
    """What the file says, of one that was edited."""


class UpdateChunk(Described):
    """What is left out stays."""

    knowledge_base_name: str
    chunk_id: ChunkId
    text: str | None = None
    """Up to 20,000 characters."""
    question: str | None = None
    """What the passage is found by instead of its text; empty: its text again."""
    enabled: bool | None = None


class AddChunk(Described):
    knowledge_base_name: str
    file_name: str
    text: str
    question: str | None = None
    after_chunk_id: ChunkId | None = None
    """Behind which passage; left out: at the end of the file."""


class DeleteChunk(Described):
    knowledge_base_name: str
    chunk_id: ChunkId


class PreviewForm(ChunkingFields):
    """A file, or the name of one that is there."""

    knowledge_base_name: str
    file: UploadFile | None = None
    file_name: str = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    """Passages that are shown."""

    @model_validator(mode="after")
    def _check_file(self) -> Self:
        if (self.file is None) == (not self.file_name):
            raise ValueError("give either `file` or `file_name`")
        return self


class PreviewChunk(Described):
    position: int
    text: str
    anchor: dict[str, Any]
    question: str | None
    parent: str | None


class PreviewOut(Described):
    """How a file would be cut."""

    total: int
    """Passages altogether."""
    chars: int
    chunks: list[PreviewChunk]
    findings: dict[str, Any]
    """What reading it found beside its text, in numbers."""
    warnings: list[str]
    """What people should know of it, a sentence each."""


def chunk_out(shown: Shown) -> ChunkOut:
    row = shown.chunk
    return ChunkOut(
        chunk_id=row.id,
        position=row.position,
        text=row.text,
        anchor=_place(row.anchor),
        enabled=row.enabled,
        origin=row.origin,
        question=question_of(row.anchor),
        parent=shown.parent,
        original=row.original,
    )


def preview_out(preview: Preview, language: Language) -> PreviewOut:
    chunks = [
        PreviewChunk(
            position=position,
            text=passage.text,
            anchor=_place(passage.anchor),
            question=question_of(passage.anchor),
            parent=None if passage.parent is None else preview.parents[passage.parent],
        )
        for position, passage in enumerate(preview.passages)
    ]
    return PreviewOut(
        total=preview.total,
        chars=preview.chars,
        chunks=chunks,
        findings=preview.findings,
        warnings=[text.in_language(language) for text in notes(preview.findings)],
    )


def chunking_out(row: Document) -> ChunkingOut:
    return ChunkingOut(**asdict(Chunking(**({"chunk_size": 0, "chunk_overlap": 0} | row.chunking))))


def edits_out(row: Document) -> EditsOut:
    told = row.edits or {}
    return EditsOut(kept=told.get("kept", 0), lost=told.get("lost", 0), lost_texts=told.get("lost_texts", []))


def _place(anchor: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in anchor.items() if key != QUESTION}
