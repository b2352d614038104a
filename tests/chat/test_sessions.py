"""Sessions and their history over HTTP, as pages use them."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from server.chat.models import Message, Session
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller

SAVE, LIST, DELETE, LATEST = "/session/save", "/session/list", "/session/delete", "/history/latest"
PIN = "/session/pin"
A, B = "a" * 32, "b" * 32
# What the original page saves: model.ts and session.ts.
PARAM = {
    "query": None, "stream": True, "temperature": 0.35, "max_tokens": 2000, "prompt_name": "default",
    "history_count": 5, "knowledge_base_name": "kb", "top_k": 3, "score_threshold": 0.5, "split_result": False,
}  # fmt: skip


async def _save(
    caller: Caller, session_id: str = A, name: str = "年假", mode: str = "LLM", **fields: Any
) -> None:
    body = {"session_id": session_id, "session_name": name, "mode": mode, **fields}
    answer = await caller.post(SAVE, body)
    assert (answer.status_code, answer.json()["data"]) == (200, True), answer.text


async def _list(caller: Caller, **fields: Any) -> list[dict[str, Any]]:
    answer = await caller.get(LIST, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _ask(caller: Caller, query: str, session_id: str = A, **fields: Any) -> str:
    answer = await caller.post("/chat/chat", {"query": query, "session_id": session_id, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["chat_history_id"]


async def _latest(caller: Caller, num: int = 10, session_id: str = A, **fields: Any) -> list[dict[str, Any]]:
    answer = await caller.post(LATEST, {"session_id": session_id, "num": num, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_saving_inserts_and_then_updates(reader: Caller) -> None:
    await _save(reader, param=PARAM)
    (row,) = await _list(reader)
    assert row.pop("create_time")
    param = row.pop("param")
    assert row == {
        "session_id": A,
        "session_name": "年假",
        "mode": "LLM",
        "pinned": False,
        "snippet": None,
    }
    assert isinstance(param, str), "the original page parses it"
    assert json.loads(param) == PARAM
    assert isinstance(json.loads(param)["score_threshold"], float)
    changed = PARAM | {"score_threshold": 1.0, "另": {"x": [1, 0.1, None]}}
    await _save(reader, name="病假", mode="Knowledge", param=changed)
    (row,) = await _list(reader)
    assert (row["session_name"], row["mode"]) == ("病假", "Knowledge")
    assert json.loads(row["param"]) == changed
    assert '"score_threshold": 1.0' in row["param"]


async def test_a_new_name_leaves_the_rest(reader: Caller) -> None:
    await _save(reader, param=PARAM)
    await _save(reader, name="改名")
    (row,) = await _list(reader)
    assert (row["session_name"], json.loads(row["param"])) == ("改名", PARAM)
    await _save(reader, param=row["param"])
    assert json.loads((await _list(reader))[0]["param"]) == PARAM, "a page may send back what it was given"
    await _save(reader, session_id=B, name="")
    assert [json.loads(row["param"]) for row in await _list(reader)] == [{}, PARAM]


@pytest.mark.parametrize(
    "fields",
    [
        {"session_id": "a" * 31},
        {"session_id": "a" * 33},
        {"session_id": None},
        {"session_id": "../" + "a" * 29},
        {"session_name": "x" * 21},
        {"session_name": True},
        {"session_name": None},
        {"mode": "x" * 21},
        {"mode": None},
        {"param": []},
        {"param": "x"},
        {"param": "[1]"},
        {"param": '{"a": NaN}'},
        {"param": '{"a": "\\ud800"}'},
        {"param": {"a": "x" * 20_000}},
        {"param": {"a": float("1e308") * 0.5, "b": "x" * 16_500}},
    ],
)
async def test_what_cannot_be_saved(reader: Caller, fields: dict[str, Any]) -> None:
    answer = await reader.post(SAVE, {"session_id": A, "session_name": "x", "mode": "LLM"} | fields)
    assert answer.status_code == 422, answer.text
    assert await _list(reader) == []


async def test_a_number_too_large_for_json_is_refused(reader: Caller) -> None:
    body = f'{{"session_id": "{A}", "session_name": "x", "mode": "LLM", "param": {{"a": 1e999}}}}'
    answer = await reader.http.post(SAVE, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


async def test_names_are_counted_in_characters(reader: Caller) -> None:
    name = "😀" * 10 + "年" * 10
    await _save(reader, name=name, mode="m" * 20)
    assert (await _list(reader))[0]["session_name"] == name


async def test_what_the_chat_began_is_found_with_what_the_page_needs(reader: Caller) -> None:
    """The page may never have come to save it."""
    question = "年假有几天？" * 5
    await _ask(reader, question, temperature=0.2, history_count=3)
    (row,) = await _list(reader)
    assert (row["session_id"], row["session_name"], row["mode"]) == (A, question[:20], "LLM")
    param = json.loads(row["param"])
    assert (param["stream"], param["temperature"], param["history_count"], param["top_k"]) == (
        True,
        0.2,
        3,
        3,
    )
    await _save(reader, name="改名", param=PARAM)
    assert [row["session_name"] for row in await _list(reader)] == ["改名"]
    assert len(await _latest(reader)) == 1


async def test_sessions_are_listed_newest_first_in_pages(reader: Caller) -> None:
    ids = [f"{n:032}" for n in range(7)]
    for number, session_id in enumerate(ids):
        await _save(reader, session_id, f"会话 {number}")
    newest = ids[::-1]
    assert [row["session_id"] for row in await _list(reader)] == newest
    for fields, found in (
        ({"limit": 3}, newest[:3]),
        ({"limit": 3, "offset": 5}, newest[5:]),
        ({"page": 1, "limit": 3}, newest[:3]),
        ({"page": 3, "limit": 3}, newest[6:]),
        ({"page": 4, "limit": 3}, []),
        ({"page": 1}, newest),
    ):
        answer = (await reader.get(LIST, **fields)).json()
        assert [row["session_id"] for row in answer["data"]] == found, fields
        assert answer["total"] == 7
    refused: list[dict[str, Any]] = [
        {"limit": 0},
        {"limit": 1001},
        {"page": 0},
        {"offset": -1},
        {"q": "x" * 101},
    ]
    for given in refused:
        assert (await reader.get(LIST, **given)).status_code == 422, given


async def test_sessions_are_searched_by_name_and_question(callers: Callers, reader: Caller) -> None:
    await _save(reader, A, "Annual 100%")
    await _ask(reader, "差旅报销的标准是多少？", B)
    await _save(reader, B, "随便聊")
    stranger = await callers.user("acme", "u2")
    await _save(stranger, "c" * 32, "annual")
    for words, found in (
        ("annual", [A]), ("报销", [B]), ("随便", [B]), ("100%", [A]), ("%", [A]), ("_", []), (" ", [B, A]),
    ):  # fmt: skip
        assert [row["session_id"] for row in await _list(reader, q=words)] == found, words


async def _answered(services: Services, message_id: str, response: str) -> None:
    async with services.database.write() as session:
        await session.execute(update(Message).where(Message.id == message_id).values(response=response))


async def test_sessions_are_searched_in_answers_and_say_where(reader: Caller, services: Services) -> None:
    await _save(reader, A, "无关")
    await _answered(
        services,
        await _ask(reader, "第一问"),
        "先说别的。" * 60 + "**年假**有[十天](http://x/y)。" + "后面" * 60,
    )
    await _answered(services, await _ask(reader, "第二问"), "年假，第二次")
    await _save(reader, B, "年假随便聊")
    await _ask(reader, "没有那两个字", B)
    by_name, by_answer = await _list(reader, q="年假")
    assert (by_name["session_id"], by_name["snippet"]) == (B, None), "the name is shown anyway"
    found = by_answer["snippet"]
    assert by_answer["session_id"] == A
    assert found.startswith("…")
    assert found.endswith("…")
    assert "先说别的。年假有十天。后面" in found, "plain text, of the first hit"
    assert 60 <= len(found) <= 80
    assert (await _list(reader, q="第二问"))[0]["snippet"] == "第二问"
    assert [row["snippet"] for row in await _list(reader)] == [None, None]


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("The Annual LEAVE policy", "annual leave", True),
        ("über Größe", "ÜBER", True),
        ("ÜBER Größe", "über", True),
        ("ПРИВЕТ всем", "привет", True),
        ("100% sure", "100%", True),
        ("100 % sure", "0%", False),
        ("max_tokens", "x_t", True),
        ("maxtokens", "x_t", False),
        ("C:\\dir\\file", "\\dir\\", True),
        ("C:/dir/file", "/dir/", True),
        ("it's 'here'", "'here'", True),
        ("a\nb", "a b", False),
        ("😀笑", "😀", True),
    ],
)
async def test_words_are_taken_as_they_are(
    reader: Caller, services: Services, text: str, words: str, found: bool
) -> None:
    await _answered(services, await _ask(reader, "问"), text)
    rows = await _list(reader, q=words)
    assert bool(rows) == found
    if found:
        assert words.casefold() in rows[0]["snippet"].casefold()


async def test_a_page_of_what_was_found_knows_how_many_there_are(reader: Caller, services: Services) -> None:
    """Thousands of messages, and every session's snippet is its own."""
    first = await _ask(reader, "第 0 次问年假", f"{0:032}")
    async with services.database.write() as session:
        row, page = await session.get_one(Message, first), await session.get_one(Session, f"{0:032}")
        conversation = {column.key: getattr(page, column.key) for column in Session.__table__.columns}
        values = {column.key: getattr(row, column.key) for column in Message.__table__.columns}
        for n in range(1, 250):
            started = page.created_at + timedelta(seconds=n)
            session.add(Session(**conversation | {"id": f"{n:032}", "created_at": started}))
        await session.flush()
        for n in range(1, 250):
            session.add_all(
                Message(
                    **values
                    | {
                        "id": f"{n:016}{m:016}",
                        "session_id": f"{n:032}",
                        "position": m,
                        "query": f"第 {m} 次问年假",
                    }
                    | {"response": f"{n} 号会话" + "答" * 500 if m == 7 else "答" * 500}
                )
                for m in range(1, 13)
            )
    answer = (await reader.get(LIST, q="号会话", limit=120, offset=100)).json()
    assert answer["total"] == 249
    assert [row["session_id"] for row in answer["data"]] == [f"{n:032}" for n in range(149, 29, -1)]
    assert [row["snippet"][:6] for row in answer["data"][:3]] == ["149 号会", "148 号会", "147 号会"]


async def test_pinned_sessions_come_first_where_a_page_asks_for_it(reader: Caller) -> None:
    ids = [f"{n:032}" for n in range(4)]
    for number, session_id in enumerate(ids):
        await _save(reader, session_id, f"会话 {number}")
    for number in (1, 0):
        answer = await reader.post(PIN, {"session_id": ids[number], "pinned": True})
        assert (answer.status_code, answer.json()["data"]) == (200, True), answer.text
    assert [row["session_id"] for row in await _list(reader)] == ids[::-1], "the contract's order"
    first = await _list(reader, pinned_first=True)
    assert [(row["session_id"], row["pinned"]) for row in first] == [
        (ids[0], True),
        (ids[1], True),
        (ids[3], False),
        (ids[2], False),
    ]
    await reader.post(PIN, {"session_id": ids[1], "pinned": True})
    await _save(reader, ids[1], "改名")
    assert [row["session_id"] for row in await _list(reader, pinned_first=True)][:2] == ids[:2]
    found = await _list(reader, pinned_first=True, q="会话", limit=2, offset=1)
    assert [row["session_id"] for row in found] == [ids[3], ids[2]]
    assert (await reader.post(PIN, {"session_id": ids[0], "pinned": False})).json()["data"] is False
    assert [row["session_id"] for row in await _list(reader, pinned_first=True)][:1] == ids[1:2]
    for body in ({"session_id": A}, {"session_id": "x"}, {"pinned": 1}, {"pinned": None}, {"more": 1}):
        answer = await reader.post(PIN, {"session_id": ids[0], "pinned": True} | body)
        assert answer.status_code == (404 if body == {"session_id": A} else 422), body


@pytest.mark.parametrize("form", ["json", "raw", "form-urlencoded", "json-typed raw", "object", "no type"])
async def test_a_session_is_deleted_in_every_form(reader: Caller, services: Services, form: str) -> None:
    """The original page sends the bare id as a form."""
    await _ask(reader, "年假？")
    await _ask(reader, "年假？", B)
    types = {
        "raw": "text/plain",
        "form-urlencoded": "application/x-www-form-urlencoded",
        "json-typed raw": "application/json",
    }
    if form in ("json", "object"):
        answer = await reader.post(DELETE, A if form == "json" else {"session_id": A})
    else:
        headers = {"Content-Type": types[form]} if form in types else {}
        answer = await reader.http.post(DELETE, content=f" {A}\n", headers=headers)
    assert (answer.status_code, answer.json()["data"]) == (200, True), answer.text
    assert [row["session_id"] for row in await _list(reader)] == [B]
    async with services.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Message)) == 1, "its history went too"
    again = await reader.post(DELETE, A)
    assert (again.status_code, again.json()["data"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 422), (b"[]", 422), (b"{}", 422), (b'{"session_id": 5}', 422), (b'"a', 422), (b"a\0b", 422)]
)  # fmt: skip
async def test_delete_without_an_id(reader: Caller, body: bytes, status: int) -> None:
    assert (await reader.http.post(DELETE, content=body)).status_code == status


async def test_anothers_session_is_not_there(callers: Callers, reader: Caller, services: Services) -> None:
    await _ask(reader, "年假？")
    await _save(reader, param=PARAM)
    await callers.client("other")
    for stranger in (
        await callers.user("acme", "u2"),
        await callers.user("other", "u1"),
        await callers.key("acme", "chat"),
    ):
        saved = await stranger.post(SAVE, {"session_id": A, "session_name": "我的", "mode": "LLM"})
        deleted = await stranger.post(DELETE, A)
        assert [saved.status_code, deleted.status_code] == [404, 404]
        assert saved.json()["error"]["code"] == "session_not_found"
        assert await _list(stranger) == await _latest(stranger) == []
        assert (await stranger.get("/session/export", session_id=A)).status_code == 404
    assert [row["session_name"] for row in await _list(reader)] == ["年假"]
    assert len(await _latest(reader)) == 1


async def test_saving_at_once_makes_one(reader: Caller) -> None:
    assert await _list(reader) == []  # first sight of the reader is another matter
    await asyncio.gather(*(_save(reader, name=f"{n}", param={"n": n}) for n in range(8)))
    (row,) = await _list(reader)
    assert json.loads(row["param"]) == {"n": int(row["session_name"])}, "one of them, whole"


# ── history ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_history_comes_newest_first_and_in_pages(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"手册.txt": "员工每年有十天年假。".encode()})
    for n in range(6):
        await _ask(editor, f"问题{n}")
    asked = {"query": "年假有几天？", "session_id": A, "knowledge_base_name": "kb"}
    last = (await editor.post("/chat/knowledge_base_chat", asked)).json()
    rows = await _latest(editor)
    assert [row["query"] for row in rows] == ["年假有几天？", *(f"问题{n}" for n in range(5, -1, -1))]
    assert rows[0].pop("create_time")
    (source,) = rows[0].pop("sources")
    assert (source["number"], source["file_name"], source["kb_name"]) == (1, "手册.txt", "kb")
    assert rows[0] == {
        "id": last["chat_history_id"], "query": "年假有几天？", "response": last["answer"], "docs": last["docs"],
        "state": "done", "error_code": None, "feedback_score": None,
        "outcome": "partly", "checks": [], "nearest": [], "follow_ups": [],
    }  # fmt: skip
    assert last["docs"]
    assert rows[1]["docs"] == []
    assert [row["id"] for row in await _latest(editor, 2)] == [row["id"] for row in rows[:2]]
    seen: list[str] = []
    while page := await _latest(editor, 2, chat_id=seen[-1] if seen else None):
        seen += [row["id"] for row in page]
    assert seen == [row["id"] for row in rows]


async def test_paging_is_stable_within_a_second(reader: Caller, services: Services) -> None:
    """Also within a microsecond, as with a clock that stands still."""
    ids = [await _ask(reader, f"问题{n}") for n in range(7)]
    async with services.database.write() as session:
        now = services.runtime.clock.now()
        await session.execute(update(Message).values(created_at=now))
        await session.execute(
            update(Message).where(Message.id == ids[6]).values(created_at=now - timedelta(microseconds=1))
        )
    expected = [*ids[5::-1], ids[6]]
    assert [row["id"] for row in await _latest(reader)] == expected
    for number, chat_id in enumerate(expected):
        assert [row["id"] for row in await _latest(reader, 3, chat_id=chat_id)] == expected[
            number + 1 : number + 4
        ]


async def test_history_before_what_is_not_there_is_empty(callers: Callers, reader: Caller) -> None:
    await _ask(reader, "一")
    elsewhere = await _ask(reader, "二", B)
    assert await _latest(reader, chat_id=elsewhere) == []
    assert await _latest(reader, chat_id="f" * 32) == []
    assert await _latest(reader, chat_id="0c5cb3ee-71b3-4ab5-9d6e-0b9f3a1e8a11") == [], (
        "as browsers make them"
    )
    assert await _latest(reader, session_id="f" * 32) == [], "a page asks before its first question"
    wrong: list[dict[str, Any]] = [
        {"num": 0},
        {"num": "many"},
        {"num": None},
        {"session_id": "x"},
        {"chat_id": []},
    ]
    for body in wrong:
        answer = await reader.post(LATEST, {"session_id": A, "num": 5} | body)
        assert answer.status_code == 422, body


async def test_asking_again_uses_the_same_record(reader: Caller, services: Services) -> None:
    first = await _ask(reader, "一")
    await _ask(reader, "二")
    before = await _latest(reader)
    async with services.database.write() as session:
        await session.execute(update(Message).values(response="旧", docs=["旧"], state="cut", error_code="x"))
    body = {"query": "换个问法", "session_id": A, "chat_history_id": first}
    said = (await reader.post("/chat/chat", body)).json()
    assert said["chat_history_id"] == first
    after = await _latest(reader)
    assert [row["id"] for row in after] == [row["id"] for row in before]
    again, other = after[1], after[0]
    assert (again["query"], again["create_time"]) == ("一", before[1]["create_time"]), (
        "the question is not stored again"
    )
    assert (again["response"], again["docs"]) == (said["text"], [])
    assert (again["state"], again["error_code"]) == ("done", None)
    assert (other["response"], other["docs"], other["state"]) == ("旧", ["旧"], "cut")


async def test_messages_have_any_length(reader: Caller, services: Services) -> None:
    message = await _ask(reader, "问" * 8000)
    async with services.database.write() as session:
        await session.execute(update(Message).where(Message.id == message).values(response="答" * 200_000))
    (row,) = await _latest(reader)
    assert (len(row["query"]), len(row["response"])) == (8000, 200_000)


# ── export ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_conversation_is_exported_as_markdown(editor: Caller, services: Services) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"手册.txt": "员工每年有十天年假。".encode()})
    body = {"query": "年假有几天？\n# 请说说", "session_id": A, "knowledge_base_name": "kb"}
    answer = (await editor.post("/chat/knowledge_base_chat", body)).json()
    second = await _ask(editor, "再问")
    async with services.database.write() as session:
        await session.execute(
            update(Message).where(Message.id == second).values(response="说了一半", state="cut")
        )
    await _save(editor, name="年假/A*B", mode="Knowledge")
    exported = await editor.get("/session/export", session_id=A)
    assert exported.status_code == 200
    assert exported.headers["content-type"] == "text/markdown; charset=utf-8"
    assert (
        exported.headers["content-disposition"]
        == "attachment; filename*=UTF-8''%E5%B9%B4%E5%81%87%20A%20B.md"
    )
    text = exported.text
    assert text.startswith("# 年假/A\\*B\n\n- 模式: Knowledge\n- 开始于: ")
    parts = re.split(r"^## \d+ · .*$", text, flags=re.M)
    assert len(parts) == 3
    assert "> 年假有几天？\n> # 请说说\n" in parts[1]
    assert answer["answer"] in parts[1]
    assert "### 出处\n\n- 出处 [1] [手册.txt](http" in parts[1]
    assert "  员工每年有十天年假。" in parts[1]
    assert parts[2] == "\n\n> 再问\n\n*（回答中断，以下是已说的部分）*\n\n说了一半\n"
    english = await editor.http.get(
        "/session/export", params={"session_id": A}, headers={"Accept-Language": "en"}
    )
    assert "### Sources" in english.text
    for wrong in ("x", "f" * 31, ""):
        assert (await editor.get("/session/export", session_id=wrong)).status_code == 422
    assert (await editor.get("/session/export", session_id="f" * 32)).status_code == 404


async def test_a_long_conversation_is_exported_whole(reader: Caller, services: Services) -> None:
    first = await _ask(reader, "问题0")
    async with services.database.write() as session:
        row = await session.get_one(Message, first)
        values = {column.key: getattr(row, column.key) for column in Message.__table__.columns}
        session.add_all(
            Message(**values | {"id": f"{n:032}", "query": f"问题{n}", "position": n + 1})
            for n in range(1, 250)
        )
    text = (await reader.get("/session/export", session_id=A)).text
    assert re.findall(r"^> 问题(\d+)$", text, flags=re.M) == [str(n) for n in range(250)]
    assert re.findall(r"^## (\d+) ", text, flags=re.M) == [str(n) for n in range(1, 251)]


async def test_a_session_without_messages_is_exported_too(reader: Caller, services: Services) -> None:
    await _save(reader, name="")
    async with services.database.read() as session:
        assert (await session.get_one(Session, A)).name == ""
    assert (await reader.get("/session/export", session_id=A)).text.startswith(f"# {A}\n")
