"""HTTP: the chat paths of the contract. The stream is SSE when `Accept` names it, else the contract's JSON objects."""

from typing import Any, cast

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from server.auth.deps import Chatter
from server.chat.deps import Answering
from server.chat.respond import respond
from server.chat.schemas import ChatRequest, KnowledgeBaseChatRequest, SearchEngineChatRequest
from server.chat.turn import Ask
from server.core.http import Envelope, new_router
from server.search.engines import SearchEngines

router = new_router(tags=["Chat"])
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer", "content": {"text/event-stream": {}, "application/json": {}}}
}


@router.post("/chat/chat", response_class=StreamingResponse, responses=_FORMS)
async def chat(caller: Chatter, answering: Answering, request: Request, body: ChatRequest) -> Response:
    """Talk to a model: `{"text", "chat_history_id"}` objects, or SSE."""
    return await respond(
        request, answering, caller, Ask(mode="llm_chat", **_common(body)), stream=body.stream
    )


@router.post("/chat/knowledge_base_chat", response_class=StreamingResponse, responses=_FORMS)
async def knowledge_base_chat(
    caller: Chatter, answering: Answering, request: Request, body: KnowledgeBaseChatRequest
) -> Response:
    """Ask a knowledge base: `{"answer"}` objects and a last one with `docs`, or SSE."""
    ask = Ask(
        mode="knowledge_base_chat",
        knowledge_base_name=body.knowledge_base_name,
        other_knowledge_bases=tuple(body.other_knowledge_bases),
        top_k=body.top_k,
        score_threshold=body.score_threshold,
        filters=body.filters.wanted if body.filters else None,
        **_common(body),
    )
    return await respond(request, answering, caller, ask, stream=body.stream)


@router.post("/chat/search_engine_chat", response_class=StreamingResponse, responses=_FORMS)
async def search_engine_chat(
    caller: Chatter, answering: Answering, request: Request, body: SearchEngineChatRequest
) -> Response:
    """Ask the web: `{"answer"}` objects and a last one with `docs`, or SSE."""
    ask = Ask(
        mode="search_engine_chat",
        search_engine_name=body.search_engine_name,
        top_k=body.top_k,
        split_result=body.split_result,
        **_common(body),
    )
    return await respond(request, answering, caller, ask, stream=body.stream)


@router.post("/chat/agent_chat", response_class=StreamingResponse, responses=_FORMS)
async def agent_chat(caller: Chatter, answering: Answering, request: Request, body: ChatRequest) -> Response:
    """Ask a model that may use tools: `{"answer"}`, `{"tools"}` and `{"final_answer"}` objects, or SSE."""
    return await respond(
        request, answering, caller, Ask(mode="agent_chat", **_common(body)), stream=body.stream
    )


@router.post("/server/list_search_engines")
async def list_search_engines(_: Chatter, request: Request) -> Envelope[list[str]]:
    """The names for `search_engine_name`; the operator may have left some without their key."""
    return Envelope(data=cast("SearchEngines", request.app.state.search).names())


def _common(body: ChatRequest) -> dict[str, Any]:
    return {
        "query": body.query,
        "session_id": body.session_id,
        "message_id": body.chat_history_id,
        "history": None if body.history is None else [(item.role, item.content) for item in body.history],
        "history_count": body.history_count,
        "model_name": body.model_name,
        "prompt_name": body.prompt_name,
        "temperature": body.temperature,
        "max_tokens": body.max_tokens,
    }
