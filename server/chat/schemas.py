"""Shapes of chat requests; field names, defaults and limits are the contract's."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from server.core.contract import ContractBody
from server.kb.label_schemas import FiltersIn
from server.kb.schemas import Query, TopK

Id32 = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{32}$")]
MAX_ROUNDS = 50
Temperature = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# 0 and -1 are how other software says "as much as the model likes".
MaxTokens = Annotated[
    int | None, AfterValidator(lambda value: min(value, 1_000_000) if value and value > 0 else None)
]
_ROLES = {"human": "user", "ai": "assistant"}


class HistoryItem(ContractBody):
    role: Literal["user", "assistant"]
    content: str


def _from_pair(value: Any) -> Any:
    """Accept `[role, content]` and LangChain's names of the roles."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = {"role": value[0], "content": value[1]}
    return rename_role(value)


def rename_role(value: Any) -> Any:
    """A message with LangChain's name of its role gets OpenAI's."""
    if isinstance(value, dict) and isinstance(role := value.get("role"), str):
        value = value | {"role": _ROLES.get(role, role)}
    return value


def _without_gaps(value: Any) -> Any:
    """Pages send turns that have no text yet, and instructions, which are the template's here."""
    if not isinstance(value, list):
        return value
    turns = [_from_pair(item) for item in value]
    return [turn for turn in turns if not (isinstance(turn, dict) and _is_gap(turn))]


def _is_gap(turn: dict[str, Any]) -> bool:
    return turn.get("role") == "system" or ("content" in turn and turn["content"] is None)


class ChatRequest(ContractBody):
    query: Query
    """The question."""
    session_id: Id32 | None = None
    """The conversation it belongs to, 32 letters and digits of the page's own choice; made when it is new."""
    chat_history_id: Annotated[Id32 | None, BeforeValidator(lambda value: None if value == "" else value)] = (
        None
    )
    """An earlier question's id, to answer it again; none or empty: a new one."""
    history: Annotated[list[HistoryItem], Field(max_length=1000), BeforeValidator(_without_gaps)] | None = (
        None
    )
    """What was said before, oldest first: `{"role", "content"}` or `[role, content]`. Left out: what the server has stored
    of `session_id`; an empty list: nothing."""
    history_count: Annotated[int, AfterValidator(lambda value: min(max(value, 0), MAX_ROUNDS))] | None = None
    """Rounds of it at most, 0 to 50; `[chat] history_rounds` is a limit too."""
    stream: bool = False
    """True: pieces as they come, JSON objects one after another, or server-sent events when `Accept` asks for them."""
    model_name: str | None = None
    """The name of an `[llm.NAME]` section, or `quote`; none means the server's default."""
    temperature: Temperature = 0.7
    """0 answers the same each time, 1 is free."""
    max_tokens: MaxTokens = None
    """Length of the answer at most; none, 0 or less leaves it to the provider."""
    prompt_name: str = "default"
    """A template of `configs/prompts`."""


OtherKnowledgeBases = Annotated[Sequence[Annotated[str, Field(max_length=64)]], Field(max_length=20)]


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
    other_knowledge_bases: OtherKnowledgeBases = ()
    """Looked in too; `*`: in all that the caller sees. Of many, the few that fit the question best are searched."""
    top_k: TopK = 3
    """Passages at most."""
    score_threshold: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    """Passages farther away are left out; squared L2 distance of unit vectors: 0 is the same, 2 has nothing in common.
    Left out: what the knowledge base was calibrated to, or else `[kb] score_threshold`."""
    filters: FiltersIn | None = None
