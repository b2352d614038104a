"""One answer, several wire forms: events in, bytes out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.sse import format_sse_event

from server.chat.events import (
    Cut,
    Event,
    Failed,
    FinalAnswer,
    Finished,
    Said,
    Source,
    Sources,
    Started,
    TextDelta,
    ToolUse,
    Usage,
)
from server.chat.prompts import Mode
from server.core.errors import AnswerNotStored, AppError
from server.core.i18n import Language
from server.core.logging import request_id
from server.core.sse import Stream
from server.search.base import WebPage

Events = AsyncGenerator[Event, None]
# What server-sent events tell: all but one.
Told = Started | Sources | TextDelta | ToolUse | FinalAnswer | Usage | Finished | Failed | Cut

# Key of the text in the contract's objects.
_TEXT_KEYS: dict[Mode, str] = {
    "llm_chat": "text",
    "knowledge_base_chat": "answer",
    "search_engine_chat": "answer",
    "agent_chat": "answer",
}


async def legacy_stream(events: Events, mode: Mode, language: Language) -> Stream:
    """The contract's form: JSON objects one after the other, without separators; the citations last, but for the news that
    the answer could not be stored.

    A failure is told in the text, where old pages show it, and once more as `error` for programs.
    """
    message_id, docs = "", None
    async with aclosing(events):
        async for event in events:
            match event:
                case Started():
                    message_id = event.message_id
                case Sources():
                    docs = event.docs
                case TextDelta():
                    yield _object(_piece(mode, event.text, message_id))
                case ToolUse():
                    yield _object({"tools": _tool_lines(event, language)})
                case FinalAnswer():
                    yield _object({"final_answer": event.text})
                case Said() if docs is not None:
                    yield _object({"docs": docs, "chat_history_id": message_id})
                    docs = None
                case Failed():
                    error = error_object(event.error, language)
                    yield _object(_piece(mode, f"\n\n【{error['message']}】", message_id) | {"error": error})
                case _:
                    pass
    if docs is not None:
        yield _object({"docs": docs, "chat_history_id": message_id})


async def legacy_whole(events: Events, mode: Mode, language: Language) -> dict[str, Any]:
    """The contract's form of `stream=false`: one object. Raises the error of a failed answer, with its true status; one
    that is whole but could not be stored is given, with the reason."""
    message_id, text = "", ""
    tools: list[list[str]] = []
    more: dict[str, Any] = {}
    async with aclosing(events):
        async for event in events:
            match event:
                case Started():
                    message_id = event.message_id
                case Sources():
                    more["docs"] = event.docs
                case TextDelta():
                    text += event.text
                case ToolUse():
                    tools.append(_tool_lines(event, language))
                case FinalAnswer():
                    more |= {"final_answer": event.text, "tools": tools}
                case Failed(error=AnswerNotStored()):
                    error = error_object(event.error, language)
                    text += f"\n\n【{error['message']}】"
                    more["error"] = error
                case Failed():
                    raise event.error
                case _:
                    pass
    return {_TEXT_KEYS[mode]: text, "chat_history_id": message_id, **more}


async def raw_stream(events: Events, language: Language) -> Stream:
    """The text as it comes, and nothing else; a failure is told in it."""
    async with aclosing(events):
        async for event in events:
            match event:
                case TextDelta():
                    yield event.text.encode("utf-8", "replace")
                case Failed():
                    yield f"\n\n【{event.error.text.in_language(language)}】".encode()
                case _:
                    pass


async def raw_whole(events: Events) -> str:
    """The whole text. Raises the error of a failed answer, with its true status."""
    text = ""
    async with aclosing(events):
        async for event in events:
            match event:
                case TextDelta():
                    text += event.text
                case Failed():
                    raise event.error
                case _:
                    pass
    return text


async def sse_stream(events: Events, language: Language) -> Stream:
    """Server-sent events: `event:` names the kind, `id:` counts, `data:` is JSON."""
    number = 0
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Said):
                continue
            number += 1
            name, data = _sse(event, language)
            yield format_sse_event(data_str=json.dumps(data, ensure_ascii=False), event=name, id=str(number))


def _sse(event: Told, language: Language) -> tuple[str, dict[str, Any]]:
    match event:
        case Started():
            return "started", {"message_id": event.message_id}
        case Sources():
            hits = enumerate(event.hits, start=1)
            found = {"hits": [_source(number, hit, language) for number, hit in hits]}
            return "sources", found | ({"unread": list(event.unread)} if event.unread else {})
        case TextDelta():
            return "delta", {"text": event.text}
        case ToolUse():
            return "tool", {
                "name": event.name,
                "title": event.title.in_language(language),
                "arguments": event.arguments,
                "output": event.output,
                "failed": event.failed,
            }
        case FinalAnswer():
            return "final_answer", {"text": event.text}
        case Usage():
            return "usage", {
                "prompt_tokens": event.prompt_tokens,
                "completion_tokens": event.completion_tokens,
            }
        case Finished():
            # What is stored has an id; what was looked up was checked.
            data: dict[str, Any] = {"message_id": event.message_id} if event.message_id else {}
            return "finished", data | _checked(event)
        case Failed():
            return "failed", {"error": error_object(event.error, language)}
        case Cut():
            return "cut", {"message_id": event.message_id}


def _checked(event: Finished) -> dict[str, Any]:
    # Where there is no answer, no citation is looked at.
    if event.checks is None and event.outcome != "not_found":
        return {}
    return {"outcome": event.outcome, "checks": list(event.checks or ())}


def _tool_lines(use: ToolUse, language: Language) -> list[str]:
    """A call as old pages show it, line by line."""
    return [
        f"工具名称: {use.title.in_language(language)}",
        f"工具状态: {'调用失败' if use.failed else '调用成功'}",
        f"工具输入: {use.arguments}",
        f"{'错误信息' if use.failed else '工具输出'}: {use.output}",
    ]


def _source(number: int, hit: Source, language: Language) -> dict[str, Any]:
    if isinstance(hit, WebPage):
        return {"number": number, "title": hit.title, "url": hit.url, "text": hit.text}
    return {
        "number": number,
        "document_id": hit.document_id,
        "chunk_id": hit.chunk_id,
        "file_name": hit.file_name,
        "place": hit.place(language),
        "anchor": hit.anchor,
        "text": hit.text,
        "score": hit.score,
    } | ({"attached": True} if hit.session_id else {"kb_name": hit.kb_name})


def error_object(error: AppError, language: Language) -> dict[str, str]:
    return {"code": error.code, "message": error.text.in_language(language), "request_id": request_id.get()}


def _piece(mode: Mode, text: str, message_id: str) -> dict[str, Any]:
    # /chat/chat names its record in every object, the knowledge-base chat in the last one.
    return {"text": text, "chat_history_id": message_id} if mode == "llm_chat" else {"answer": text}


def _object(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")
