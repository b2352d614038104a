"""A knowledge base as one file: a zip with a manifest, lines about documents, and what each document has.

    manifest.json           the format, the knowledge base and its model, sizes and checksums of the next two
    documents.jsonl         a line for each document: what is said of it, sizes and checksums of its parts
    questions.jsonl         recommended questions
    originals/NUMBER.pdf    the bytes as they came
    chunks/NUMBER.jsonl     its passages, in order
    vectors/NUMBER.npy      one row for each passage that is searched, in their order
    custom/NUMBER.json      passages that people gave instead of what the file says
    more/NAME.jsonl         what other parts of the server keep of a knowledge base (`Extra`)

Rows travel by the names of their columns, so that a column that comes later travels too, and one that is not known is passed over.
Everything that is read back was written by somebody else: nothing of it is believed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, StrictBool, StrictInt, StrictStr
from sqlalchemy import JSON, Column, String, Table
from sqlalchemy.ext.asyncio import AsyncSession

from server.core.errors import Invalid
from server.core.i18n import Text
from server.kb.files import MAX_FILE_NAME
from server.kb.models import Chunk, Document

FORMAT, VERSION = "chat2llm-knowledge-base", 1
MANIFEST, DOCUMENTS, QUESTIONS = "manifest.json", "documents.jsonl", "questions.jsonl"

# What is said in a field of its own, or holds here only.
_OF_DOCUMENTS = (
    "id kb_id file_name name_key slot suffix size sha256 state error_code error_text chunking custom_docs copy_of tags properties"
    " visible_to char_count chunk_count disabled_count segment segment_sha256 created_at ready_at archived_at"
)
_OF_CHUNKS = "id kb_id document_id position text anchor content_hash tokens kept_tokens"
_MAX_JSON = 1024 * 1024
# In every zone and every database these are years.
_FIRST_YEAR, _LAST_YEAR = 1900, 9000


def _others(table: Any, known: str) -> dict[str, Column[Any]]:
    columns = cast("Table", table.__table__).columns
    return {column.name: column for column in columns if column.name not in known.split()}


DOCUMENT_COLUMNS, CHUNK_COLUMNS = _others(Document, _OF_DOCUMENTS), _others(Chunk, _OF_CHUNKS)


def bad_package(zh: str, en: str) -> Invalid:
    """The package is not one of ours, or not as it was written."""
    return Invalid(Text(f"知识库包有误：{zh}", f"bad package: {en}"), code="bad_package")


def _in_our_time(moment: datetime) -> datetime:
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(f"a time is between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_in_our_time)]


class Part(BaseModel):
    """A file of the package."""

    size: Annotated[StrictInt, Field(ge=0)]
    sha256: Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]


class PackedFingerprint(BaseModel):
    model: Annotated[StrictStr, Field(max_length=200)]
    dimension: Annotated[StrictInt, Field(ge=1, le=65536)]
    probe: Annotated[
        list[Annotated[float, Field(strict=True, ge=-1.01, le=1.01, allow_inf_nan=False)]],
        Field(max_length=1_000_000),
    ]
    spelling: StrictStr | None = None


class PackedModel(BaseModel):
    """The embedding model that the vectors are of."""

    name: Annotated[StrictStr, Field(max_length=64)]
    fingerprint: PackedFingerprint


class PackedKB(BaseModel):
    name: Annotated[StrictStr, Field(max_length=64)]
    zh_name: Annotated[StrictStr, Field(max_length=64)] = ""
    info: Annotated[StrictStr, Field(max_length=200)] = ""
    chunking: dict[str, Any] | None = None
    retrieval: dict[str, Any] | None = None


class Manifest(BaseModel):
    format: Literal["chat2llm-knowledge-base"]
    version: Annotated[StrictInt, Field(ge=1)]
    created_at: Moment
    client_id: Annotated[StrictStr, Field(max_length=64)]
    knowledge_base: PackedKB
    model: PackedModel
    documents: Part
    questions: Part
    # By NAME; what is not known here is passed over.
    more: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")], Part], Field(max_length=50)] = (
        Field(default_factory=dict)
    )


class PackedDocument(BaseModel):
    number: Annotated[StrictInt, Field(ge=1, le=10**9)]
    file_name: Annotated[StrictStr, Field(max_length=MAX_FILE_NAME)]
    slot: Literal["live", "next"]
    state: Literal["ready", "stored", "waiting"]
    content: Part
    chunks: Part | None = None
    vectors: Part | None = None
    custom: Part | None = None
    chunking: dict[str, Any]
    tags: Any = None
    properties: Any = None
    visible_to: Any = None
    created_at: Moment
    ready_at: Moment | None = None
    # Of DOCUMENT_COLUMNS.
    columns: dict[str, Any] = Field(default_factory=dict)

    def names(self, suffix: str) -> dict[str, Part]:
        """The files of the package that it has, by name."""
        named = {
            content_name(self.number, suffix): self.content,
            chunks_name(self.number): self.chunks,
            vectors_name(self.number): self.vectors,
            custom_name(self.number): self.custom,
        }
        return {name: part for name, part in named.items() if part is not None}


class PackedQuestion(BaseModel):
    query: Annotated[StrictStr, Field(min_length=1, max_length=200)]
    answer: Annotated[StrictStr, Field(max_length=20_000)] | None = None
    enabled: StrictBool = True
    tap_count: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] = 0
    created_at: Moment


class Extra(Protocol):
    """What another part of the server keeps of a knowledge base. Rows are objects of JSON, without ids."""

    name: str

    async def load(self, session: AsyncSession, kb_id: str) -> list[dict[str, Any]]:
        """All there is."""

    def check(self, rows: Sequence[Any]) -> list[Any]:
        """What somebody says there is, as `add` takes it. Raises ValueError, AppError."""

    async def add(self, session: AsyncSession, kb_id: str, checked: list[Any], now: datetime) -> None:
        """Put it into a knowledge base that has none of it."""


def content_name(number: int, suffix: str) -> str:
    return f"originals/{number}{suffix}"


def chunks_name(number: int) -> str:
    return f"chunks/{number}.jsonl"


def vectors_name(number: int) -> str:
    return f"vectors/{number}.npy"


def custom_name(number: int) -> str:
    return f"custom/{number}.json"


def more_name(name: str) -> str:
    return f"more/{name}.jsonl"


def to_line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=_iso).encode() + b"\n"


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def pack_columns(row: object, columns: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in columns}


def unpack_columns(given: Mapping[str, Any], columns: Mapping[str, Column[Any]]) -> dict[str, Any]:
    """All of these columns, with their defaults where nothing was said. Raises ValueError."""
    return {
        name: _checked(column, given[name]) if name in given else _default(column)
        for name, column in columns.items()
    }


def is_default(values: Mapping[str, Any], columns: Mapping[str, Column[Any]]) -> bool:
    """Have people said nothing that these columns would keep?"""
    return all(values[name] == _default(column) for name, column in columns.items())


def _default(column: Column[Any]) -> Any:
    default: Any = column.default
    if default is None:
        return None
    value = default.arg
    return value(None) if callable(value) else value


def _checked(column: Column[Any], value: Any) -> Any:
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} is missing")
        return None
    if isinstance(column.type, JSON):
        if len(json.dumps(value)) > _MAX_JSON:
            raise ValueError(f"{column.name} is too large")
        return value
    wanted = column.type.python_type
    if wanted is datetime:
        return _time(value)
    # True is a number to Python.
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ValueError(f"{column.name} is no {wanted.__name__}")
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise ValueError(f"{column.name} is too large")
    length = column.type.length if isinstance(column.type, String) else None
    if isinstance(value, str) and length is not None and len(value) > length:
        raise ValueError(f"{column.name} is too long")
    return value


def _time(value: object) -> datetime:
    found = datetime.fromisoformat(str(value))
    if found.tzinfo is None:
        raise ValueError("a time needs a zone")
    return _in_our_time(found)
