"""Shapes of answers that go on without a reader. Unknown fields are refused: these paths have no past."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.chat.prompts import Mode
from server.chat.schemas import Id32, MaxTokens, OtherKnowledgeBases, Temperature
from server.kb.label_schemas import FiltersIn
from server.kb.schemas import Query, TopK

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Described(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class AskAnswer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)

    message_id: Hex32
    """Made by the page. The same id again begins nothing, so that a question may be sent until it has arrived."""
    mode: Mode
    query: Query
    """The question."""
    session_id: Id32
    """The conversation it belongs to; made when it is new. What was said before comes from there."""
    session_is_new: bool = True
    """False: there is one already; should it have been deleted meanwhile, it does not come back: 404 `session_not_found`."""
    knowledge_base_name: str | None = None
    """Where the answer is to be found; needed by `knowledge_base_chat`."""
    other_knowledge_bases: OtherKnowledgeBases = ()
    """Looked in too; `*`: in all that the caller sees. Of many, the few that fit the question best are searched."""
    search_engine_name: Annotated[str, Field(max_length=64)] | None = None
    """For `search_engine_chat`, one of `/server/list_search_engines`; left out: the first of them."""
    model_name: str | None = None
    """None means the server's default."""
    prompt_name: str = "default"
    temperature: Temperature = 0.7
    max_tokens: MaxTokens | None = None
    history_count: Annotated[int, Field(ge=0, le=50)] | None = None
    """Rounds of the conversation that are remembered at most."""
    top_k: TopK = 3
    """Passages at most."""
    score_threshold: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    """Passages farther away are left out."""
    filters: FiltersIn | None = None
    """For `knowledge_base_chat`."""
    regenerate: bool = False
    """Answer the question of this message once more, in its place; its words and its session stay what they are."""

    @model_validator(mode="after")
    def _names_its_kb(self) -> "AskAnswer":
        if self.mode == "knowledge_base_chat" and not self.knowledge_base_name:
            raise ValueError("knowledge_base_name is needed for knowledge_base_chat")
        if self.mode != "knowledge_base_chat" and self.filters is not None:
            raise ValueError("filters are for knowledge_base_chat")
        if self.mode != "knowledge_base_chat" and self.other_knowledge_bases:
            raise ValueError("other_knowledge_bases are for knowledge_base_chat")
        return self


class AnswerState(_Described):
    message_id: str
    state: str
    """writing, done, failed, or cut: stopped, or its process ended."""


class SourceOut(_Described):
    """A passage, or a page of the web (`title`, `url`)."""

    number: int
    text: str
    document_id: str | None = None
    chunk_id: int | None = None
    file_name: str | None = None
    place: str | None = None
    """Where in the file, in words."""
    anchor: dict[str, Any] | None = None
    """Where in the file: page, slide, sheet, range, row, heading."""
    score: float | None = None
    kb_name: str | None = None
    attached: bool = False
    """A file of the conversation: `/session/files/content` has it."""
    title: str | None = None
    url: str | None = None


class CheckOut(_Described):
    """A sentence that cites: [start, end) of the answer, in code points."""

    start: int
    end: int
    numbers: list[int]
    """The sources that it cites."""
    verified: bool
    """They have most of its words, and all of its numbers and names."""
    reason: str | None
    """What they lack: number, name, overlap (of words); or language: they are in another one, so it could not be checked."""


class PlaceOut(_Described):
    file_name: str
    place: str
    """Where in the file, in words."""


class AnswerOut(_Described):
    message_id: str
    session_id: str | None
    query: str
    response: str
    """What has been said so far."""
    state: str
    """writing, done, failed, or cut."""
    outcome: str | None
    """answered; partly: not everything in it is borne out by its sources; not_found: not in the knowledge base. None until it is
    done."""
    error_code: str | None
    sources: list[SourceOut]
    checks: list[CheckOut]
    """Of each sentence that cites, whether its sources bear it out."""
    nearest: list[PlaceOut]
    """Where to look, when nothing was near enough to be a source."""
    follow_ups: list[str]
    """Questions that may be asked next, three at most."""
    feedback_score: int | None
    create_time: datetime


class PassageOut(SourceOut):
    """What an answer's `[n]` points to, as it is now."""

    quote: list[tuple[int, int]]
    """[start, end) of what of `text` the answer quotes, in code points."""
    before: str | None
    """What comes before it in the document."""
    after: str | None
    media_type: str | None
    is_gone: bool
    """The passage is not there any more: `text` is what was shown."""
