"""Shapes of requests and answers about knowledge bases. Field names of the contract paths are the contract's."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=1, le=50)]


def _not_blank(value: object) -> object:
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("must not be empty or contain NUL")
    return value


Query = Annotated[str, BeforeValidator(_not_blank)]


class Described(BaseModel):
    """A body whose fields are described where they stand."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class CreateKB(Described):
    knowledge_base_name: str
    """Unique among the client's; up to 64 characters, and none that a file name cannot have."""
    kb_zh_name: str = Field(default="", max_length=64)
    """The name that people see."""
    kb_info: str = Field(default="", max_length=200)
    """What is in it, in a sentence."""
    vector_store_type: str = "faiss"
    embed_model: str | None = None
    """The name of an `[embedding.NAME]` section; none means the server's default. It stays for good."""


class KBOut(BaseModel):
    kb_name: str
    kb_zh_name: str
    kb_info: str
    vs_type: str
    embed_model: str
    file_count: int
    create_time: datetime
    shared: bool


class SearchDocs(Described):
    query: Query
    knowledge_base_name: str
    top_k: TopK = 3
    """Hits at most."""
    score_threshold: Score = 1.0
    """Hits farther away are left out; squared L2 distance of unit vectors."""


class HitOut(BaseModel):
    """`score`: squared L2 distance of unit vectors, smaller is closer."""

    page_content: str
    metadata: dict[str, Any]
    score: float


class DocumentOut(Described):
    """One version of a file and what became of it."""

    document_id: str
    file_name: str
    state: str
    """waiting, parsing, embedding, ready, failed, or stored (kept and not searched)."""
    size: int
    """Bytes."""
    chunks: int
    chars: int
    replaces_ready_version: bool
    """A replacement that is not ready yet; the version before it is still searched."""
    error_code: str | None
    reason: str | None
    create_time: datetime
    ready_time: datetime | None


class JobOut(BaseModel):
    """Progress of one document: `done` of `total` passages are embedded."""

    job_id: str
    document_id: str
    file_name: str
    state: str
    stage: str
    done: int
    total: int
    percent: int
    attempts: int
    error_code: str | None
    reason: str | None
    create_time: datetime
    finish_time: datetime | None


class UploadForm(Described):
    """A multipart upload. `not_refresh_vs_cache` is the contract's; here an index always follows its documents."""

    files: list[UploadFile]
    knowledge_base_name: str
    override: bool = False
    """Replace files of the same name; without it they are refused."""
    to_vector_store: bool = True
    """False keeps the files without making them searchable."""
    chunk_size: Annotated[int, Field(ge=20, le=8000)] | None = None
    """Characters of a passage; none means the server's setting."""
    chunk_overlap: Annotated[int, Field(ge=0, le=4000)] | None = None
    """Characters that a passage repeats of the one before."""
    zh_title_enhance: bool | None = None
    not_refresh_vs_cache: bool = False
    docs: str = ""

    @field_validator("docs")
    @classmethod
    def _no_custom_docs(cls, value: str) -> str:
        if value.strip() not in ("", "{}"):
            raise ValueError("custom docs are not supported yet; upload the file itself")
        return value


class UploadedDocument(BaseModel):
    file_name: str
    document_id: str
    job_id: str | None
    state: str


class UploadOut(Described):
    failed_files: dict[str, str]
    """Refused files and why; they can be sent again."""
    documents: list[UploadedDocument]


class DeleteDocs(Described):
    knowledge_base_name: str
    file_names: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    delete_content: bool = False
    """True deletes the files; false keeps them as `stored`, out of every search."""
    not_refresh_vs_cache: bool = False


class FailedFiles(BaseModel):
    failed_files: dict[str, str]
