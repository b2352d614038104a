"""How a rereading's progress goes over the wire: the contract's objects, or server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.sse import format_sse_event

from server.core.errors import AppError
from server.core.i18n import Language, Text
from server.core.logging import request_id
from server.core.sse import Stream
from server.kb.follow import Progress


async def legacy_progress(events: AsyncGenerator[Progress, None], kb_name: str, language: Language) -> Stream:
    """JSON objects one after the other: `{"code", "msg", "total", "finished", "doc"}`; a file that could not
    be read has the code 500, one that was not there or in work 404 or 409."""
    async with aclosing(events):
        try:
            async for event in events:
                yield _encode(_object(event, kb_name, language))
        except AppError as error:
            yield _encode({"code": error.status, "msg": error.text.in_language(language)})


async def sse_progress(events: AsyncGenerator[Progress, None], kb_name: str, language: Language) -> Stream:
    """The same objects as `progress`, and at the end `finished`, or `failed` with the reason."""
    number, last = 0, {"total": 0, "finished": 0}
    async with aclosing(events):
        try:
            async for event in events:
                number += 1
                last = {"total": event.total, "finished": event.finished}
                yield _frame("progress", number, _object(event, kb_name, language))
        except AppError as error:
            told = {
                "code": error.code,
                "message": error.text.in_language(language),
                "request_id": request_id.get(),
            }
            yield _frame("failed", number + 1, {"error": told})
        else:
            yield _frame("finished", number + 1, last)


def _object(event: Progress, kb_name: str, language: Language) -> dict[str, Any]:
    place = {"total": event.total, "finished": event.finished, "doc": event.file_name}
    if event.error is None:
        return {"code": 200, "msg": f"({event.finished} / {event.total}): {event.file_name}", **place}
    reason = event.error.text.in_language(language)
    words = Text(
        f"添加文件‘{event.file_name}’到知识库‘{kb_name}’时出错：{reason}。已跳过。",
        f"{event.file_name} could not be added to knowledge base {kb_name}: {reason}; passed over",
    )
    return {"code": event.error.status, "msg": words.in_language(language), **place}


def _encode(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")


def _frame(name: str, number: int, data: dict[str, Any]) -> bytes:
    return format_sse_event(data_str=json.dumps(data, ensure_ascii=False), event=name, id=str(number))
