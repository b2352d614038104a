"""Shapes of sessions, their history and feedback; field names, defaults and limits are the contract's."""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import UploadFile
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from server.chat.answer_schemas import CheckOut, PlaceOut, SourceOut
from server.chat.schemas import Id32
from server.core import strict_json
from server.core.contract import ContractBody, at_most
from server.core.http import Envelope

_MAX_PARAM = 16 * 1024


def _from_text(value: Any) -> Any:
    """`/session/list` gives `param` as text, and pages send back what they were given."""
    if not isinstance(value, str):
        return value
    return strict_json.loads(value.encode())


def _small(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False))
    except ValueError:
        raise ValueError("must be JSON") from None
    if size > _MAX_PARAM:
        raise ValueError(f"must not be longer than {_MAX_PARAM} characters")
    return value


class SaveSession(ContractBody):
    """A new session of the caller's, or what becomes of one that is there."""

    session_id: Id32
    """32 letters and digits of the page's own choice."""
    session_name: Annotated[str, Field(max_length=20)]
    mode: Annotated[str, Field(max_length=20)]
    """LLM, Knowledge, SearchEngine or Agent."""
    param: Annotated[dict[str, Any], BeforeValidator(_from_text), AfterValidator(_small)] | None = None
    """What the page wants to find again; kept as it is. Left out: what is there stays."""


class _Body(BaseModel):
    """Of a younger path, which takes nothing for something else."""

    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class PinSession(_Body):
    session_id: Id32
    pinned: bool


class SessionOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    session_id: str
    session_name: str
    mode: str
    param: str
    """JSON, as text: old pages parse it."""
    create_time: datetime
    pinned: bool
    snippet: str | None
    """With `q`: plain text around the first hit in its questions and answers; null when only the name has the words."""


class SessionList(Envelope[list[SessionOut]]):
    """The contract's list; `total` counts what is on all pages."""

    total: int


class SessionFilter(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    q: Annotated[str, Field(max_length=100)] = ""
    """Words of the name, of a question or of an answer, in whatever case."""
    pinned_first: bool = False
    """Pinned sessions before the others, the one that was pinned last first."""
    page: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """From 1; or use `offset`."""
    offset: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    """50 of a page, otherwise 1000."""

    @property
    def window(self) -> tuple[int, int]:
        """(offset, limit)"""
        limit = self.limit or (1000 if self.page is None else 50)
        return (self.offset if self.page is None else (self.page - 1) * limit), limit


class AttachForm(BaseModel):
    """A multipart upload of files for one session."""

    session_id: Id32
    files: Annotated[list[UploadFile], Field(min_length=1)]


class TakenFile(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    document_id: str | None
    """null: it was refused."""
    file_name: str
    state: str
    """waiting, ready (it was there already), or refused."""
    error_code: str | None
    reason: str | None


class AttachedFile(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    document_id: str
    file_name: str
    state: str
    """waiting, parsing, embedding, ready or failed."""
    percent: int
    size: int
    """Bytes."""
    error_code: str | None
    reason: str | None
    create_time: datetime


class DeleteFile(_Body):
    session_id: Id32
    document_id: Annotated[str, Field(max_length=64)]


class LatestMessages(ContractBody):
    session_id: Id32
    chat_id: Annotated[str, Field(max_length=64)] | None = None
    """The id of a message: those before it. Left out: the last ones."""
    num: Annotated[int, Field(ge=1), at_most(100)]


class MessageOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    query: str
    response: str
    """The answer; of one that failed before its first word, why."""
    docs: list[str]
    create_time: datetime
    state: str
    """done, writing, or what ended it early: cut (the reader went away) or failed."""
    error_code: str | None
    feedback_score: int | None
    outcome: str | None
    """answered; partly: not everything is borne out by its sources; not_found: not in the knowledge base. None until it is done,
    and of older messages."""
    checks: list[CheckOut]
    """Of each sentence that cites, whether its sources bear it out."""
    nearest: list[PlaceOut]
    """Where to look, when nothing was near enough to be a source."""
    sources: list[SourceOut]
    """What the numbers of the answer point to; empty for older messages, which have `docs`."""
    follow_ups: list[str]
    """Questions that may be asked next."""


class GiveFeedback(ContractBody):
    chat_history_id: Annotated[str, Field(max_length=32)] = ""
    score: Annotated[int, Field(ge=0, le=100)] = 0
    """0 is bad, 100 is good."""
    reason: Annotated[str, Field(max_length=255)] = ""


class RatedAnswer(BaseModel):
    query: str
    response: str
    score: int
    reason: str
    time: datetime


class FeedbackReport(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    knowledge_base_name: str | None
    answers: int
    """Questions that the client's people asked it."""
    rated: int
    good: int
    """Rated 60 or more."""
    mean_score: float | None
    reasons: list[RatedAnswer]
    """Ratings that say why, the newest first."""
    total_reasons: int
