"""Feedback over HTTP: given by whoever asked, read by editors."""

from typing import Any

import pytest

from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller

GIVE, REPORT = "/chat/feedback", "/chat/feedback/report"
A = "a" * 32


async def _ask(caller: Caller, query: str = "年假有几天？", kb: str | None = None, **fields: Any) -> str:
    path = "/chat/knowledge_base_chat" if kb else "/chat/chat"
    body = {"query": query, **({"knowledge_base_name": kb} if kb else {}), **fields}
    answer = await caller.post(path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["chat_history_id"]


async def _rate(caller: Caller, message: str, score: int, reason: str = "") -> None:
    answer = await caller.post(GIVE, {"chat_history_id": message, "score": score, "reason": reason})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"code": 200, "msg": f"已反馈聊天记录 {message}", "data": None}


async def _report(caller: Caller, **fields: Any) -> dict[str, Any]:
    answer = await caller.get(REPORT, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _score(caller: Caller) -> int | None:
    (row,) = (await caller.post("/history/latest", {"session_id": A, "num": 1})).json()["data"]
    return row["feedback_score"]


async def test_feedback_is_kept_and_replaced(reader: Caller) -> None:
    message = await _ask(reader, session_id=A)
    for score in (0, 100, 35):
        await _rate(reader, message, score, "不对" * 100)
        assert await _score(reader) == score


async def test_a_new_answer_begins_without_feedback(reader: Caller, editor: Caller) -> None:
    message = await _ask(reader, session_id=A)
    await _rate(reader, message, 10, "不对")
    await _ask(reader, session_id=A, chat_history_id=message)
    assert await _score(reader) is None
    assert (await _report(editor))["total_reasons"] == 0


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"score": 101}, 422),
        ({"score": -1}, 422),
        ({"score": "good"}, 422),
        ({"reason": "x" * 256}, 422),
        ({"reason": None}, 422),
        ({"chat_history_id": "x" * 33}, 422),
        ({"chat_history_id": "f" * 32}, 404),
        ({"chat_history_id": ""}, 404),
    ],
)
async def test_what_is_no_feedback(reader: Caller, fields: dict[str, Any], status: int) -> None:
    message = await _ask(reader, session_id=A)
    answer = await reader.post(GIVE, {"chat_history_id": message, "score": 50, "reason": ""} | fields)
    assert answer.status_code == status
    assert await _score(reader) is None


async def test_only_who_asked_rates(callers: Callers, reader: Caller) -> None:
    message = await _ask(reader, session_id=A)
    await callers.client("other")
    for stranger in (
        await callers.user("acme", "u2"),
        await callers.user("other", "u1"),
        await callers.key("acme", "chat", "kb:write"),
    ):
        answer = await stranger.post(GIVE, {"chat_history_id": message, "score": 1})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")
    assert await _score(reader) is None


async def test_editors_read_a_report_per_knowledge_base(
    callers: Callers, editor: Caller, reader: Caller
) -> None:
    other = await callers.user("acme", "u2")
    for name in ("a", "b", "empty"):
        await editor.create_kb(name)
    scores = [(reader, 100, ""), (other, 60, " 还行 "), (reader, 59, "不全"), (reader, 0, "不对")]
    for number, (caller, score, reason) in enumerate(scores):
        await _rate(caller, await _ask(caller, f"问题{number}", "a"), score, reason)
    await _ask(reader, "没有评分", "a")
    await _rate(reader, await _ask(reader, "另一个库", "b"), 80, "好")
    await _rate(reader, await _ask(reader, "闲聊"), 20, "答非所问")

    report = await _report(editor, knowledge_base_name="a")
    assert {key: report[key] for key in report if key != "reasons"} == {
        "knowledge_base_name": "a", "answers": 5, "rated": 4, "good": 2, "mean_score": 54.75, "total_reasons": 3,
    }  # fmt: skip
    assert [(row["query"], row["score"], row["reason"]) for row in report["reasons"]] == [
        ("问题3", 0, "不对"), ("问题2", 59, "不全"), ("问题1", 60, "还行"),
    ]  # fmt: skip
    assert all(row["response"] and row["time"] for row in report["reasons"])
    assert "u2" not in str(report)
    page = await _report(editor, knowledge_base_name="a", page=2, page_size=2)
    assert [row["query"] for row in page["reasons"]] == ["问题1"]
    assert (await _report(editor, knowledge_base_name=""))["mean_score"] == 20
    everything = await _report(editor)
    assert (everything["answers"], everything["rated"]) == (7, 6)
    nothing = await _report(editor, knowledge_base_name="empty")
    assert (nothing["answers"], nothing["rated"], nothing["mean_score"], nothing["reasons"]) == (
        0,
        0,
        None,
        [],
    )
    assert (await editor.get(REPORT, knowledge_base_name="none")).status_code == 404
    assert (await reader.get(REPORT, knowledge_base_name="a")).status_code == 403


async def test_a_shared_knowledge_base_is_reported_to_each_client_apart(
    callers: Callers, editor: Caller, reader: Caller, services: Services
) -> None:
    from sqlalchemy import select

    from server.kb.models import KnowledgeBase

    await editor.create_kb("a")
    async with services.database.write() as session:
        (await session.scalars(select(KnowledgeBase))).one().shared = True
    await callers.client("other")
    guest = await callers.user("other", "g")
    await _rate(reader, await _ask(reader, "内部的问题", "a"), 10, "内部")
    await _rate(guest, await _ask(guest, "外部的问题", "a"), 90, "外部")
    theirs = await callers.key("other", "chat", "kb:read", "kb:write")
    for caller, reason, mean in ((editor, "内部", 10), (theirs, "外部", 90)):
        report = await _report(caller, knowledge_base_name="a")
        assert ([row["reason"] for row in report["reasons"]], report["mean_score"]) == ([reason], mean)
