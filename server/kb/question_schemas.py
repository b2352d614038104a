"""Shapes of requests and answers about recommended questions. Field names of the contract paths are the contract's."""

from datetime import datetime
from typing import Annotated

from fastapi import UploadFile
from pydantic import BaseModel, BeforeValidator, Field

from server.core.contract import ContractBody
from server.core.http import Envelope
from server.core.pagination import PageParams
from server.kb.schemas import Described, not_blank

MAX_QUERY, MAX_ANSWER = 200, 20_000


class QuestionOut(BaseModel):
    id: int
    query: str
    kb_name: str | None
    answer: str | None
    tap_count: int
    enable: bool
    create_time: datetime


class SaveQuestion(ContractBody):
    """A new question, or with `question_id` a change of one: fields that are left out stay as they are."""

    question_id: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    query: Annotated[str, Field(max_length=MAX_QUERY), BeforeValidator(not_blank)] | None = None
    """Needed for a new one."""
    kb_name: str | None = None
    """The knowledge base it is about; null or empty: none."""
    answer: Annotated[str, Field(max_length=MAX_ANSWER)] | None = None
    """What is said at once when somebody asks exactly this; null or empty: whatever the model says."""
    enable: bool = True
    """False hides it, and its answer."""


class Saved(Envelope[bool]):
    """`data` is the contract's true; `question_id` names what was saved."""

    question_id: int


class QuestionFilter(PageParams):
    kb_name: str | None = None
    """Absent: of any knowledge base; empty: of none."""
    q: Annotated[str, Field(max_length=100)] = ""
    """Words of the question."""


class ImportForm(Described):
    file: UploadFile
    """CSV with the columns query, kb_name and answer, the last two optional; UTF-8 or GBK."""
    kb_name: str = ""
    """For rows that name no knowledge base."""
