"""A question on its way: as it was asked, and as it stands when every check is passed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.auth.principal import Principal
from server.chat.history import Given, Round
from server.chat.prompts import Mode
from server.chat.telling import Telling
from server.kb.attachments import Attached
from server.kb.filters import Filters
from server.kb.models import KnowledgeBase
from server.llm.base import ChatModel
from server.search.base import WebPage


@dataclass(frozen=True, slots=True)
class Ask:
    """What a caller wants to know, as every chat endpoint puts it."""

    query: str
    mode: Mode
    knowledge_base_name: str = ""
    # Looked in too; `*`: all that the caller sees.
    other_knowledge_bases: tuple[str, ...] = ()
    session_id: str | None = None
    # May it be made, if there is none?
    session_is_new: bool = True
    message_id: str | None = None
    # None: as the server remembers the session.
    history: Sequence[Given] | None = ()
    history_count: int | None = None
    model_name: str | None = None
    prompt_name: str = "default"
    temperature: float = 0.7
    max_tokens: int | None = None
    top_k: int = 3
    # None: as the knowledge base was calibrated.
    score_threshold: float | None = None
    # What a passage's document must be like.
    filters: Filters | None = None
    search_engine_name: str = ""
    split_result: bool = False
    # Its answer goes on without a reader: the message is new, or `again` asks for another answer to the one that is there.
    detached: bool = False
    again: bool = False


@dataclass(slots=True)
class Turn:
    """A question that has passed every check and is about to be answered."""

    caller: Principal
    ask: Ask
    message_id: str
    model: ChatModel
    kb: KnowledgeBase | None
    others: list[KnowledgeBase]
    # The files of the conversation, if it has any.
    attached: Attached | None
    # What the web had, when it was asked.
    pages: list[WebPage] | None
    rounds: list[Round]
    started_at: datetime
    # Filled while the answer is made.
    told: Telling
    docs: list[str] = field(default_factory=list)
    unread: int = 0
    # What was searched for: the question with what earlier ones say for it.
    question: str = ""
    trace: dict[str, Any] = field(default_factory=dict)

    @property
    def kbs(self) -> list[KnowledgeBase]:
        """What is searched for it."""
        own = [self.attached.kb] if self.attached and self.attached.is_ready else []
        return own if self.kb is None else [self.kb, *self.others, *own]

    @property
    def unread_names(self) -> list[str]:
        """Files of the conversation that cannot be searched yet, or now, and are missing in this answer."""
        return self.attached.unread if self.attached else []
