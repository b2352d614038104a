"""Question sets over HTTP: made, filled, renamed, exported; from answers that people rated, and from hit tests."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from server.chat.models import Message
from server.kb.models import KnowledgeBase
from server.services import Services
from tests.conftest import Callers
from tests.evaluation.conftest import AT, QUESTIONS, make_set
from tests.support.api import Caller


async def _questions(editor: Caller, set_id: str, **fields: Any) -> list[dict[str, Any]]:
    answer = await editor.get(f"{AT}/questions", set_id=set_id, **fields)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["data"]["items"]
    return items


async def _sets(editor: Caller, kb: str) -> list[tuple[str, int, int]]:
    rows = (await editor.get(f"{AT}/sets", knowledge_base_name=kb)).json()["data"]
    return [(row["name"], row["questions"], row["runs"]) for row in rows]


async def test_sets_are_made_renamed_and_deleted(editor: Caller, bare: str) -> None:
    one, other = await make_set(editor, bare, QUESTIONS), await make_set(editor, bare, [], "另一个")
    assert await _sets(editor, bare) == [("另一个", 0, 0), ("验收", 4, 0)]
    twin = await editor.post(f"{AT}/sets", {"knowledge_base_name": bare, "name": "验收"})
    assert (twin.status_code, twin.json()["error"]["code"]) == (409, "already_exists")
    taken = await editor.post(f"{AT}/sets/rename", {"set_id": other, "name": "验收"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")
    assert (await editor.post(f"{AT}/sets/rename", {"set_id": other, "name": "新的"})).status_code == 200
    assert (await editor.post(f"{AT}/sets/delete", {"set_id": one})).status_code == 200
    assert await _sets(editor, bare) == [("新的", 0, 0)]
    for wrong in ({"name": " "}, {"name": "x" * 65}, {"name": 5}, {"name": "x", "extra": 1}):
        assert (await editor.post(f"{AT}/sets", {"knowledge_base_name": bare} | wrong)).status_code == 422


async def test_questions_are_added_changed_found_and_deleted(editor: Caller, bare: str) -> None:
    set_id = await make_set(editor, bare, QUESTIONS)
    rows = await _questions(editor, set_id)
    assert [row["question"] for row in rows] == [one["question"] for one in QUESTIONS]
    assert [row["answerable"] for row in rows] == [True, True, True, False]
    assert rows[1]["gold_answer"] == "十五个工作日||15个工作日"
    assert {row["origin"] for row in rows} == {"written"}
    assert [row["question"] for row in await _questions(editor, set_id, q="密码")] == [
        QUESTIONS[2]["question"]
    ]
    assert len(await _questions(editor, set_id, page=2, page_size=3)) == 1
    first = {"set_id": set_id, "question_id": rows[0]["question_id"]}
    changed = await editor.post(f"{AT}/questions", first | {"question": "新的问题", "answerable": False})
    assert changed.json()["data"] | {"create_time": ""} == {
        "question_id": rows[0]["question_id"], "question": "新的问题", "gold_answer": None, "gold_files": [],
        "gold_passage": None, "answerable": False, "tags": [], "origin": "written", "message_id": None,
        "create_time": "",
    }  # fmt: skip
    for fields, status, code in (
        ({"question": "账号密码不少于多少位"}, 409, "already_exists"),
        ({"question": "x", "question_id": 999}, 404, "evaluation_question_not_found"),
        ({"question": "x", "set_id": "es_none"}, 404, "evaluation_set_not_found"),
        ({"question": "x", "answerable": False, "gold_files": ["a"]}, 422, "invalid_input"),
        ({"question": " "}, 422, "invalid_input"),
        ({"question": "x", "gold_files": "a"}, 422, "invalid_input"),
        ({"question": "x", "gold": "a"}, 422, "invalid_input"),
    ):
        answer = await editor.post(f"{AT}/questions", {"set_id": set_id} | fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), fields
    ids = [row["question_id"] for row in rows[1:]]
    gone = await editor.post(f"{AT}/questions/delete", {"set_id": set_id, "question_ids": [*ids, 999]})
    assert gone.json()["data"] == {"deleted": 3}
    new = await editor.post(f"{AT}/questions", {"set_id": set_id, "question": "最后一个"})
    assert new.json()["data"]["question_id"] > max(ids), "runs are compared by these"


async def test_two_editors_add_the_same_question_at_once(editor: Caller, bare: str) -> None:
    set_id = await make_set(editor, bare, [])
    body = {"set_id": set_id, "question": "同时"}
    answers = await asyncio.gather(*(editor.post(f"{AT}/questions", body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert len(await _questions(editor, set_id)) == 1


async def _import(editor: Caller, set_id: str, data: bytes) -> Any:
    return await editor.http.post(f"{AT}/import", data={"set_id": set_id}, files=[("file", ("q.csv", data))])


async def test_a_set_is_imported_and_exported(editor: Caller, bare: str) -> None:
    set_id = await make_set(editor, bare, QUESTIONS[:1])
    text = (
        "问题,标准答案,出处文件,出处原文,可回答,标签\r\n"
        "工作满十年有几天年休假,十天,年假.txt,,,假\r\n"
        "=HYPERLINK(1),,,,否,\r\n"
        ",,,,,x\r\n"
        "一,,,,好像,\r\n"
        "二,三,,,否,\r\n"
    )
    answer = await _import(editor, set_id, text.encode("gbk"))
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["created"], data["updated"], data["unchanged"]) == (1, 1, 0)
    assert [(row["row"], row["reason"][:6]) for row in data["failed_rows"]] == [
        (4, "缺少问题"), (5, "“可回答”一"), (6, "标为不可回答"),
    ]  # fmt: skip
    again = (await _import(editor, set_id, text.encode("utf-8-sig"))).json()["data"]
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 2)
    exported = await editor.get(f"{AT}/export", set_id=set_id)
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert exported.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
    lines = exported.content.decode("utf-8").removeprefix("\ufeff").splitlines()
    assert lines == [
        "question,gold_answer,gold_files,gold_passage,answerable,tags",
        "工作满十年有几天年休假,十天,年假.txt,,true,假",
        "'=HYPERLINK(1),,,,false,",
    ]
    other = await make_set(editor, bare, [], "另一个")
    assert (await _import(editor, other, exported.content)).json()["data"]["created"] == 2
    kept = ("question", "gold_answer", "gold_files", "gold_passage", "answerable", "tags")
    same = [
        [{name: row[name] for name in kept} for row in await _questions(editor, of)] for of in (set_id, other)
    ]
    assert same[0] == same[1]
    for data_, status in (
        (b"", 422),
        (b"query\nx\n", 422),
        (b"question\n" + b"x" * 1001, 422),
        (b"x" * (4 * 1024**2 + 1), 413),
    ):
        assert (await _import(editor, other, data_)).status_code == status


async def test_a_set_has_an_end(editor: Caller, bare: str) -> None:
    set_id = await make_set(editor, bare, [])
    data = (
        await _import(editor, set_id, b"question\n" + b"\n".join(b"q%d" % n for n in range(2002)))
    ).json()["data"]
    assert (data["created"], [row["row"] for row in data["failed_rows"]]) == (2000, [2002, 2003])
    more = await editor.post(f"{AT}/questions", {"set_id": set_id, "question": "还有"})
    assert (more.status_code, more.json()["error"]["code"]) == (409, "evaluation_full")


async def _ask(caller: Caller, kb: str, query: str, score: int, reason: str = "") -> str:
    body = {"query": query, "knowledge_base_name": kb}
    answer = await caller.post("/chat/knowledge_base_chat", body)
    message: str = answer.json()["chat_history_id"]
    rated = await caller.post(
        "/chat/feedback", {"chat_history_id": message, "score": score, "reason": reason}
    )
    assert rated.status_code == 200, rated.text
    return message


async def test_rated_answers_become_questions(
    callers: Callers, editor: Caller, reader: Caller, services: Services, kb: str
) -> None:
    set_id = await make_set(editor, kb, [])
    liked = await _ask(reader, kb, "工作满十年有几天年休假？", 90)
    refused = await _ask(reader, kb, "食堂周三吃什么菜？", 80)
    disliked = await _ask(reader, kb, "账号密码不少于多少位？", 10, "不对")
    unrated = (
        await reader.post("/chat/knowledge_base_chat", {"query": "发票", "knowledge_base_name": kb})
    ).json()
    await editor.create_kb("other")
    elsewhere = await _ask(reader, "other", "别的库", 90)

    async def listed(**fields: str) -> list[tuple[str, bool]]:
        rows = (await editor.get(f"{AT}/rated_answers", set_id=set_id, **fields)).json()["data"]["items"]
        return [(row["message_id"], row["taken"]) for row in rows]

    assert await listed(rating="liked") == [(refused, False), (liked, False)]
    assert await listed() == [(disliked, False)]

    async def take(message: str, **fields: Any) -> dict[str, Any]:
        answer = await editor.post(
            f"{AT}/questions/from_answer", {"set_id": set_id, "message_id": message} | fields
        )
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    one = await take(liked, gold_answer="十天")
    assert (one["gold_files"], one["gold_answer"], one["answerable"], one["origin"]) == (
        ["年假.txt"],
        "十天",
        True,
        "liked",
    )
    assert "年休假十天" in one["gold_passage"]
    assert one["message_id"] == liked
    assert (await take(refused))["answerable"] is False
    unlabelled = await take(disliked)
    assert (unlabelled["answerable"], unlabelled["gold_files"], unlabelled["origin"]) == (
        None,
        [],
        "disliked",
    )
    assert await listed(rating="liked") == [(refused, True), (liked, True)]
    for message in (unrated["chat_history_id"], elsewhere, "f" * 32):
        body = {"set_id": set_id, "message_id": message}
        assert (await editor.post(f"{AT}/questions/from_answer", body)).status_code == 404
    # Another client reads a shared knowledge base; what its people asked is not ours.
    async with services.database.write() as session:
        await session.execute(update(KnowledgeBase).values(shared=True))
    await callers.client("else")
    theirs = await _ask(await callers.user("else", "u9"), kb, "出差返回后多久内提交报销单？", 90)
    body = {"set_id": set_id, "message_id": theirs}
    assert (await editor.post(f"{AT}/questions/from_answer", body)).status_code == 404
    guest = await callers.key("else", "kb:read", "kb:write")
    assert (await guest.get(f"{AT}/sets", knowledge_base_name=kb)).status_code == 403
    assert (await guest.get(f"{AT}/questions", set_id=set_id)).status_code == 404


async def test_files_of_a_conversation_are_nobodys_gold(
    editor: Caller, reader: Caller, services: Services, kb: str
) -> None:
    set_id = await make_set(editor, kb, [])
    message = await _ask(reader, kb, "工作满十年有几天年休假？", 90)
    async with services.database.write() as session:
        row = await session.get_one(Message, message)
        row.sources = [one | {"kb_id": "kb_of_a_conversation", "text": "私人的"} for one in row.sources or []]
    body = {"set_id": set_id, "message_id": message}
    taken = await editor.post(f"{AT}/questions/from_answer", body)
    assert (taken.json()["data"]["gold_files"], taken.json()["data"]["gold_passage"]) == ([], None)


async def test_a_hit_becomes_a_question(editor: Caller, kb: str) -> None:
    set_id = await make_set(editor, kb, [])
    await editor.create_kb("other")
    await editor.ingest("other", {"x.txt": "别的库里的段落。".encode()})
    hits = {name: (await editor.search(name, "报销单"))[0]["metadata"] for name in (kb, "other")}
    body = {"set_id": set_id, "question": "报销期限？", "gold_answer": "十五个工作日"}
    taken = await editor.post(f"{AT}/questions/from_hit", body | {"chunk_id": hits[kb]["chunk_id"]})
    data = taken.json()["data"]
    assert (data["gold_files"], data["gold_answer"], data["origin"]) == (
        ["报销.txt"],
        "十五个工作日",
        "hit_test",
    )
    assert "十五个工作日内提交报销单" in data["gold_passage"]
    for chunk in (hits["other"]["chunk_id"], 10**15):
        gone = await editor.post(f"{AT}/questions/from_hit", body | {"question": "另", "chunk_id": chunk})
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "passage_not_found")


@pytest.mark.one_database
async def test_old_pages_are_told_true_statuses_here(editor: Caller) -> None:
    """`[compat] http_200_errors` is for the contract's paths."""
    from server.core.http import _YOUNGER

    assert AT.startswith(_YOUNGER)
