"""Recommended questions in a chat: a preset answer is given at once, and each asking is counted."""

from typing import Any

import pytest
from sqlalchemy import select

from server.chat.models import Message
from server.kb.models import KnowledgeBase
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller, objects, sse_events

CHAT, KB_CHAT = "/chat/chat", "/chat/knowledge_base_chat"
ANSWER = "工作满一年的员工每年有五天年假，满十年的有十天。\n\n详见《员工手册》。"
SSE = {"Accept": "text/event-stream"}


async def _recommend(editor: Caller, query: str, answer: str | None = None, **fields: Any) -> int:
    saved = await editor.post("/recommend/question", {"query": query, "answer": answer, **fields})
    assert saved.status_code == 200, saved.text
    return saved.json()["question_id"]


async def _taps(editor: Caller) -> dict[str, int]:
    items = (await editor.get("/recommend/question/list")).json()["data"]["items"]
    return {row["query"]: row["tap_count"] for row in items}


async def _say(caller: Caller, query: str, path: str = CHAT, **fields: Any) -> str:
    if path == KB_CHAT:
        fields = {"knowledge_base_name": "kb"} | fields
    answer = await caller.post(path, {"query": query, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["text" if path == CHAT else "answer"]


@pytest.mark.parametrize("path", [CHAT, KB_CHAT])
async def test_a_preset_answer_arrives_in_every_form(
    editor: Caller, reader: Caller, services: Services, path: str
) -> None:
    await editor.create_kb()
    with_kb = {"knowledge_base_name": "kb"} if path == KB_CHAT else {}
    place = {"kb_name": "kb"} if with_kb else {}
    await _recommend(editor, "年假有几天？", ANSWER, **place)
    body = {"query": " 年假有几天 ", **with_kb}

    key = "answer" if with_kb else "text"
    whole = (await reader.post(path, body)).json()
    assert whole[key] == ANSWER
    parts = objects((await reader.post(path, body | {"stream": True})).text)
    assert "".join(part.get(key, "") for part in parts) == ANSWER
    assert len([part for part in parts if key in part]) > 2
    events = sse_events((await reader.post(path, body, headers=SSE)).text)
    assert "".join(data["text"] for kind, data in events if kind == "delta") == ANSWER
    assert (events[0][0], events[-1][0]) == ("started", "finished")
    if with_kb:
        assert whole["docs"] == parts[-1]["docs"] == []
        assert dict(events)["sources"] == {"hits": []}

    async with services.database.read() as session:
        messages = list(await session.scalars(select(Message)))
    assert [(row.model, row.state, row.response) for row in messages] == [("preset", "done", ANSWER)] * 3
    assert await _taps(editor) == {"年假有几天？": 3}


async def test_a_preset_answer_is_for_its_place_only(editor: Caller, reader: Caller) -> None:
    await editor.create_kb()
    await editor.create_kb("other")
    number = await _recommend(editor, "年假有几天？", ANSWER, kb_name="kb")
    assert await _say(reader, "年假有几天？", KB_CHAT) == ANSWER
    assert await _say(reader, "年假有几天？", KB_CHAT, knowledge_base_name="other") != ANSWER
    assert await _say(reader, "年假有几天？") != ANSWER
    assert await _say(reader, "年假有几天呢？", KB_CHAT) != ANSWER
    await _recommend(editor, "年假有几天？", ANSWER, question_id=number, enable=False)
    assert await _say(reader, "年假有几天？", KB_CHAT) != ANSWER
    await _recommend(editor, "年假有几天？", "", question_id=number, enable=True)
    assert await _say(reader, "年假有几天？", KB_CHAT) != ANSWER
    assert await _taps(editor) == {"年假有几天？": 2}, "once with and once without an answer"


async def test_a_preset_answer_needs_no_embedding(editor: Caller, services: Services) -> None:
    """Neither the model of the knowledge base nor a prompt template has a part in it."""
    await editor.create_kb()
    await _recommend(editor, "年假有几天？", ANSWER, kb_name="kb")
    async with services.database.write() as session:
        kb = (await session.scalars(select(KnowledgeBase))).one()
        kb.embed_model = "m3e-base"
    assert await _say(editor, "年假有几天？", KB_CHAT) == ANSWER
    refused = await editor.post(KB_CHAT, {"query": "病假有几天？", "knowledge_base_name": "kb"})
    assert refused.status_code == 503


async def test_anothers_preset_answers_do_not_exist(
    callers: Callers, editor: Caller, services: Services
) -> None:
    await callers.client("other")
    stranger = await callers.key("other", "chat", "kb:read", "kb:write")
    await _recommend(editor, "年假有几天？", ANSWER)
    assert await _say(stranger, "年假有几天？") != ANSWER
    assert await _taps(editor) == {"年假有几天？": 0}
    await _recommend(stranger, "年假有几天？", "我们的")
    assert await _say(stranger, "年假有几天？") == "我们的"
    assert await _say(editor, "年假有几天？") == ANSWER
    await editor.create_kb()
    await _recommend(editor, "病假有几天？", "三天", kb_name="kb")
    async with services.database.write() as session:
        (await session.scalars(select(KnowledgeBase))).one().shared = True
    assert await _say(stranger, "病假有几天？", KB_CHAT) == "三天", "whoever sees the knowledge base"
    assert await _taps(editor) == {"年假有几天？": 1, "病假有几天？": 1}


async def test_only_new_questions_that_were_taken_are_counted(callers: Callers, editor: Caller) -> None:
    await _recommend(editor, "年假有几天？", ANSWER)
    body = {"query": "年假有几天？", "session_id": "s" * 32, "chat_history_id": "m" * 32}
    for _ in range(3):
        assert (await editor.post(CHAT, body)).status_code == 200
    assert await _taps(editor) == {"年假有几天？": 1}, "the others only asked for another answer"
    stranger = await callers.user("acme", "u2")
    assert (await stranger.post(CHAT, body)).status_code == 404
    assert await _taps(editor) == {"年假有几天？": 1}
