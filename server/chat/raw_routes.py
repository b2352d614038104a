"""HTTP: a model's bare text, without a conversation: /chat/fastchat and /other/completion."""

from typing import Annotated, Any, Literal

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator, Field

from server.auth.deps import Chatter
from server.chat.deps import Answering
from server.chat.respond import respond_raw
from server.chat.schemas import MaxTokens, Temperature, rename_role
from server.core.contract import ContractBody
from server.core.http import new_router
from server.core.questions import check_length
from server.kb.schemas import Query
from server.llm.base import ChatMessage, ModelRequest

router = new_router(tags=["Chat"])
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The text", "content": {"text/event-stream": {}, "text/plain": {}}}
}
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


class PlainMessage(ContractBody):
    role: Literal["system", "user", "assistant"] = "user"
    content: str = "hello"


class FastChatRequest(ContractBody):
    model: str | None = None
    """The name of an `[llm.NAME]` section, or `quote`; none means the server's default."""
    messages: Annotated[
        list[Annotated[PlainMessage, BeforeValidator(rename_role)]], Field(min_length=1, max_length=1000)
    ]
    """The conversation, oldest first; it goes to the model as it is."""
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] = 0.7
    """0 answers the same each time."""
    n: Annotated[int, Field(ge=1, le=1)] = 1
    """Bare text has room for one answer."""
    max_tokens: MaxTokens = None
    """Length of the answer at most; none leaves it to the provider."""
    stop: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default_factory=list, max_length=4
    )
    """The answer ends before any of these."""
    stream: bool = False
    """True: the text as it comes."""
    presence_penalty: Penalty = 0
    """Above 0 the model turns to new subjects."""
    frequency_penalty: Penalty = 0
    """Above 0 the model repeats itself less."""


class CompletionRequest(ContractBody):
    query: Query
    """The text to go on with."""
    stream: bool = False
    """True: the text as it comes."""
    echo: bool = False
    """Begin with the prompt itself."""
    model_name: str | None = None
    """The name of an `[llm.NAME]` section, or `quote`; none means the server's default."""
    temperature: Temperature = 0.7
    """0 answers the same each time, 1 is free."""
    max_tokens: MaxTokens = 1024
    """Length of the answer at most; null leaves it to the provider."""
    prompt_name: str = "default"
    """A template of `configs/prompts/completion`."""


@router.post("/chat/fastchat", response_class=StreamingResponse, responses=_FORMS)
async def fastchat(
    caller: Chatter, answering: Answering, request: Request, body: FastChatRequest
) -> Response:
    """Pass messages to a model: bare text, or SSE."""
    model = answering.raw.model(body.model)
    asked = ModelRequest(
        messages=[ChatMessage(message.role, message.content) for message in body.messages],
        question=body.messages[-1].content,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        stop=body.stop,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
    )
    events = answering.raw.answer(caller, model, asked)
    return await respond_raw(request, answering, events, stream=body.stream)


@router.post("/other/completion", response_class=StreamingResponse, responses=_FORMS, tags=["Other"])
async def completion(
    caller: Chatter, answering: Answering, request: Request, body: CompletionRequest
) -> Response:
    """Go on with a text: bare text, or SSE."""
    check_length(body.query, answering.max_query_chars)
    model = answering.raw.model(body.model_name)
    prompt = await answering.raw.prompt(body.prompt_name, body.query)
    asked = ModelRequest(
        messages=[ChatMessage("user", prompt)],
        question=body.query,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
    )
    events = answering.raw.answer(caller, model, asked, echo=prompt if body.echo else "")
    return await respond_raw(request, answering, events, stream=body.stream)
