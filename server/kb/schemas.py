"""Shapes of requests and answers about knowledge bases. Field names of the contract paths are the contract's."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from server.core.contract import ContractBody, at_most
from server.core.settings import MAX_WAIT
from server.kb.custom import Passages, parse_custom_docs
from server.kb.label_schemas import FiltersIn, read_labels

ChunkMethod = Literal["recursive", "heading", "row", "qa", "parent_child", "whole"]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=1), at_most(50)]


def not_blank(value: object) -> object:
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("must not be empty or contain NUL")
    return value


Query = Annotated[str, BeforeValidator(not_blank)]


class Described(BaseModel):
    """A body whose fields are described where they stand."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class ChunkingFields(ContractBody):
    """How documents are cut. What is left out is as the knowledge base, or else the server, is set."""

    chunk_size: Annotated[int, Field(ge=20, le=8000)] | None = None
    """Characters of a passage."""
    chunk_overlap: Annotated[int, Field(ge=0, le=4000)] | None = None
    """Characters that a passage repeats of the one before."""
    zh_title_enhance: bool | None = None
    """Tell each passage which numbered title it stands under."""
    chunk_method: ChunkMethod | None = None
    """`recursive`: by size, where sentences end. `heading`: a section each, long ones by size. `row`: a row of a table each, with its
    header. `qa`: a question with its answer each, of a table with such columns. `parent_child`: small passages are found, the large
    one around them is read. `whole`: the file is one passage."""
    parent_size: Annotated[int, Field(ge=40, le=20_000)] | None = None
    """Characters of the large passages of `parent_child`."""


class ChunkingOut(Described):
    """How a document is cut, or would be."""

    chunk_method: ChunkMethod
    chunk_size: int
    chunk_overlap: int
    zh_title_enhance: bool
    parent_size: int | None
    """Only of `parent_child`."""


def _seconds(value: object) -> object:
    """true is as long as can be."""
    if isinstance(value, str) and value.strip().lower() in ("true", "yes", "on"):
        value = True
    if isinstance(value, str) and value.strip().lower() in ("false", "no", "off", ""):
        value = False
    return MAX_WAIT.total_seconds() * value if isinstance(value, bool) else value


class WaitingFields(ContractBody):
    wait: (
        Annotated[
            float,
            Field(ge=0, allow_inf_nan=False),
            BeforeValidator(_seconds),
            at_most(MAX_WAIT.total_seconds()),
        ]
        | None
    ) = None
    """Answer when the documents are searchable: true, or seconds, 300 at most. Left out: as `[compat] wait_for_uploads`
    says. What could not be read by then stands in `failed_files`."""


class CreateKB(ChunkingFields):
    """A new knowledge base. The chunking given here is what its documents are cut by when an upload does not say."""

    knowledge_base_name: str
    """Unique among the client's; up to 64 characters, and none that a file name cannot have."""
    kb_zh_name: str = Field(default="", max_length=64)
    """The name that people see."""
    kb_info: str = Field(default="", max_length=200)
    """What is in it, in a sentence."""
    vector_store_type: str | None = None
    """`faiss`, `pg` or `milvus`; none means the server's default, `[vector_store] default`."""
    embed_model: str | None = None
    """The name of an `[embedding.NAME]` section; none means the server's default. `recreate_vector_store` changes it."""


class KBOut(Described):
    kb_name: str
    kb_zh_name: str
    kb_info: str
    vs_type: str
    embed_model: str
    file_count: int
    create_time: datetime
    shared: bool
    next_embed_model: str | None
    """The embedding model it is changing over to; documents are still being read for it."""
    chunk_size: int
    chunk_overlap: int
    zh_title_enhance: bool
    chunk_method: str
    parent_size: int | None


class SearchDocs(ContractBody):
    query: Query
    knowledge_base_name: str
    top_k: TopK = 3
    """Hits at most."""
    score_threshold: Score | None = None
    """Hits farther away are left out; squared L2 distance of unit vectors. Left out: what the knowledge base was calibrated to,
    or else `[kb] score_threshold`."""
    filters: FiltersIn | None = None


class HitOut(BaseModel):
    """`score`: squared L2 distance of unit vectors, smaller is closer. `marks`: where words of the question stand, each as the
    place of its first character and the place after its last."""

    page_content: str
    metadata: dict[str, Any]
    score: float
    marks: list[tuple[int, int]]


class ReadPassage(Described):
    """A passage of a file, without what the one before it ends with."""

    chunk_id: int
    text: str
    anchor: dict[str, Any]
    """Where it stands: page, slide, sheet and range, row, heading; only what applies."""


class EditsOut(Described):
    """What became of people's changes to passages when the file was read again."""

    kept: int
    """Changes that were carried over to the present version."""
    lost: int
    """Changes that were not: the passages that they were made of are not there any more."""
    lost_texts: list[str]
    """How the first of these begin."""


class DocumentOut(Described):
    """One version of a file and what became of it."""

    document_id: str
    file_name: str
    state: str
    """waiting, parsing, embedding, ready, failed, or stored (kept and not searched)."""
    found_by: list[Literal["words", "meaning"]]
    """What a search finds it by: words as soon as it is read, meaning as soon as it is embedded."""
    size: int
    """Bytes."""
    chunks: int
    chars: int
    disabled_chunks: int
    """Passages that are switched off; `chunks` counts the others."""
    chunking: ChunkingOut
    edits: EditsOut
    custom_docs: bool
    """Its passages were given by people, see `docs` of `upload_docs` and `update_docs`."""
    replaces_ready_version: bool
    """A replacement that is not ready yet; the version before it is still searched."""
    tags: list[str]
    properties: dict[str, Any]
    visible_to: list[str] | None
    """Who sees it beside editors, told to editors only; null: everybody who reads the knowledge base."""
    findings: dict[str, Any]
    """What its last reading found beside its text, and nothing of what was not there: `pages`; pages by their numbers: `ocr_pages`
    (text recognised), `unread_pages` (pictures, no OCR installed), `blank_pages` (pictures without text), `damaged_pages`; counts of what
    is left out: `hidden_chars`, `hidden_parts` (sheets, slides), `invisible_chars`, `replaced_chars`, `pictures`, `attachments`."""
    warnings: list[str]
    """What people should know of it, a sentence each."""
    error_code: str | None
    reason: str | None
    create_time: datetime
    ready_time: datetime | None


class UploadForm(ChunkingFields, WaitingFields):
    """A multipart upload.

    `not_refresh_vs_cache` is accepted and changes nothing: a document becomes visible by one commit, and the index is a cache
    that each process brings up to date before its next search, so that there is no refresh to put off.
    """

    files: list[UploadFile]
    knowledge_base_name: str
    override: bool = False
    """Replace files of the same name; without it they are refused."""
    to_vector_store: bool = True
    """False keeps the files without making them searchable."""
    not_refresh_vs_cache: bool = False
    docs: str = "{}"
    """Custom docs as JSON text, `{"file.txt": [{"page_content", "metadata"}]}`: these passages instead of those that a
    reading of the file would find. A file that is there already may be named too."""

    tags: str = ""
    """Words that the files are found by: JSON, `["人事", "2024"]`, or between commas. Blank, here and below: as the file that is
    replaced has it."""
    properties: str = ""
    """A JSON object of texts, numbers, true or false, and dates as `YYYY-MM-DD`: `{"部门": "人事", "生效": "2024-03-01"}`."""
    visible_to: str = ""
    """Who may see the files beside editors: ids of users of this client, as JSON or between commas; `[]`: nobody; `null`: everybody
    who reads the knowledge base."""

    @field_validator("docs")
    @classmethod
    def _check_docs(cls, value: str) -> str:
        parse_custom_docs(value)
        return value

    @model_validator(mode="after")
    def _check_labels(self) -> "UploadForm":
        assert self.labels is not None
        return self

    @property
    def custom_docs(self) -> dict[str, Passages]:
        return parse_custom_docs(self.docs)

    @property
    def labels(self) -> dict[str, Any]:
        """What is said of the files."""
        return read_labels({"tags": self.tags, "properties": self.properties, "visible_to": self.visible_to})


class UploadedDocument(BaseModel):
    file_name: str
    document_id: str
    job_id: str | None
    state: str


class UploadOut(Described):
    failed_files: dict[str, str]
    """Refused files and why; they can be sent again."""
    documents: list[UploadedDocument]


class DeleteDocs(ContractBody):
    knowledge_base_name: str
    file_names: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    delete_content: bool = False
    """True deletes the files; false keeps them as `stored`, out of every search until they are read again."""
    not_refresh_vs_cache: bool = False


class FailedFiles(BaseModel):
    failed_files: dict[str, str]
