"""Shapes of chat requests; field names, defaults and limits are the contract's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from server.kb.schemas import Query, TopK

Id32 = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{32}$")]
_ROLES = {"human": "user", "ai": "assistant"}


class HistoryItem(BaseModel):
    role: Literal["user", "assistant"]
    content: str


def _from_pair(value: Any) -> Any:
    """Accept `[role, content]` and LangChain's names of the roles."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = {"role": value[0], "content": value[1]}
    if isinstance(value, dict) and value.get("role") in _ROLES:
        value = value | {"role": _ROLES[value["role"]]}
    return value


class ChatRequest(BaseModel):
    # `"yes"` is no bool and `true` no number: what a program sends by mistake must not quietly mean something.
    model_config = ConfigDict(strict=True)

    query: Query
    session_id: Id32 | None = None
    chat_history_id: Id32 | None = None
    history: Annotated[list[Annotated[HistoryItem, BeforeValidator(_from_pair)]], Field(max_length=1000)] = []
    stream: bool = False
    model_name: str | None = None
    temperature: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.7
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    prompt_name: str = "default"


class KnowledgeBaseChatRequest(ChatRequest):
    knowledge_base_name: str
    top_k: TopK = 3
    score_threshold: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0
