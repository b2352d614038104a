"""Shapes of chat requests; field names, defaults and limits are the contract's."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from server.kb.schemas import Query, TopK

Id32 = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{32}$")]
MAX_ROUNDS = 50
Temperature = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
MaxTokens = Annotated[int, Field(ge=1, le=1_000_000)]
_ROLES = {"human": "user", "ai": "assistant"}


class HistoryItem(BaseModel):
    role: Literal["user", "assistant"]
    content: str


def _from_pair(value: Any) -> Any:
    """Accept `[role, content]` and LangChain's names of the roles."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = {"role": value[0], "content": value[1]}
    return rename_role(value)


def rename_role(value: Any) -> Any:
    """A message with LangChain's name of its role gets OpenAI's."""
    if isinstance(value, dict) and value.get("role") in _ROLES:
        value = value | {"role": _ROLES[value["role"]]}
    return value


def _clamp(value: Any) -> Any:
    """Old pages count it up and down without a limit."""
    return min(max(value, 0), MAX_ROUNDS) if type(value) is int else value


class ChatRequest(BaseModel):
    # `"yes"` is no bool and `true` no number: what a program sends by mistake must not quietly mean something.
    model_config = ConfigDict(strict=True, use_attribute_docstrings=True)

    query: Query
    """The question."""
    session_id: Id32 | None = None
    """The conversation it belongs to, 32 letters and digits of the page's own choice; made when it is new."""
    chat_history_id: Id32 | None = None
    """An earlier question's id, to answer it again."""
    history: (
        Annotated[list[Annotated[HistoryItem, BeforeValidator(_from_pair)]], Field(max_length=1000)] | None
    ) = None
    """What was said before, oldest first: `{"role", "content"}` or `[role, content]`. Left out: what the server has stored
    of `session_id`; an empty list: nothing."""
    history_count: Annotated[int, BeforeValidator(_clamp)] | None = None
    """Rounds of it at most, 0 to 50; `[chat] history_rounds` is a limit too."""
    stream: bool = False
    """True: pieces as they come, JSON objects one after another, or server-sent events when `Accept` asks for them."""
    model_name: str | None = None
    """The name of an `[llm.NAME]` section, or `quote`; none means the server's default."""
    temperature: Temperature = 0.7
    """0 answers the same each time, 1 is free."""
    max_tokens: MaxTokens | None = None
    """Length of the answer at most; none leaves it to the provider."""
    prompt_name: str = "default"
    """A template of `configs/prompts`."""


class SearchEngineChatRequest(ChatRequest):
    search_engine_name: Annotated[str, Field(max_length=64)]
    """One of `/server/list_search_engines`."""
    top_k: TopK = 3
    """Pages at most."""
    split_result: bool = False
    """Cut long pages into pieces and take those nearest to the question."""


class KnowledgeBaseChatRequest(ChatRequest):
    knowledge_base_name: str
    """Where the answer is to be found."""
    top_k: TopK = 3
    """Passages at most."""
    score_threshold: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 1.0
    """Passages farther away are left out; squared L2 distance of unit vectors: 0 is the same, 2 has nothing in common."""
