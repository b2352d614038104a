"""Recommended questions over HTTP: what readers are offered, and what editors do about it."""

from typing import Any

import pytest
from sqlalchemy import select

from server.core.questions import question_key
from server.kb.models import KnowledgeBase, Question
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller

ONE, LIST, IMPORT = "/recommend/question", "/recommend/question/list", "/recommend/question/import"


async def _save(editor: Caller, **fields: Any) -> int:
    answer = await editor.post(ONE, fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] is True
    return answer.json()["question_id"]


async def _offered(caller: Caller, **fields: Any) -> list[str]:
    answer = await caller.get(ONE, num=50, **fields)
    assert answer.status_code == 200, answer.text
    return sorted(row["query"] for row in answer.json()["data"])


async def _listed(editor: Caller, **fields: Any) -> dict[int, dict[str, Any]]:
    answer = await editor.get(LIST, **fields)
    assert answer.status_code == 200, answer.text
    return {row["id"]: row for row in answer.json()["data"]["items"]}


async def _import(editor: Caller, data: bytes, **fields: str) -> Any:
    return await editor.http.post(IMPORT, data=fields, files=[("file", ("q.csv", data))])


async def test_the_three_cases_of_a_knowledge_base(editor: Caller, reader: Caller) -> None:
    for name in ("a", "b"):
        await editor.create_kb(name)
        for n in range(5):
            await _save(editor, query=f"{name}{n}", kb_name=name)
    await _save(editor, query="闲聊")
    assert await _offered(reader, kb_name="a") == [f"a{n}" for n in range(5)]
    assert await _offered(reader, kb_name="") == ["闲聊"]
    assert len(await _offered(reader)) == 11
    assert await _offered(reader, kb_name="none") == []
    chosen = [row["query"] for row in (await reader.get(ONE, num=4, kb_name="a")).json()["data"]]
    assert len(set(chosen)) == 4
    seen = {(await reader.get(ONE, num=1)).json()["data"][0]["query"] for _ in range(30)}
    assert len(seen) > 1, "it is drawn by lot"
    (row,) = (await reader.get(ONE, num=1, kb_name="")).json()["data"]
    assert row.pop("create_time")
    assert {key: row[key] for key in row if key != "id"} == {
        "query": "闲聊", "kb_name": None, "answer": None, "tap_count": 0, "enable": True,
    }  # fmt: skip
    assert len((await reader.get(ONE, num=51)).json()["data"]) > 4, "51 is taken as 50"
    for num in ("0", "x"):
        assert (await reader.get(ONE, num=num)).status_code == 422


async def test_the_same_words_are_offered_once(editor: Caller, reader: Caller) -> None:
    for name in ("a", "b"):
        await editor.create_kb(name)
        await _save(editor, query="年假有几天？", kb_name=name)
    await _save(editor, query="年假有几天?")
    assert len(await _offered(reader)) == 1
    assert len(await _offered(reader, kb_name="b")) == 1


async def test_save_adds_changes_and_disables(editor: Caller, reader: Caller) -> None:
    await editor.create_kb("a")
    number = await _save(editor, query=" 年假？ ", kb_name="a", answer="五天")
    assert (await _listed(editor))[number]["query"] == "年假？"
    assert await _save(editor, question_id=number, query="病假？") == number
    row = (await _listed(editor))[number]
    assert (row["query"], row["kb_name"], row["answer"], row["enable"]) == ("病假？", "a", "五天", True)
    await _save(editor, question_id=number, enable=False)
    assert await _offered(reader) == []
    assert (await _listed(editor))[number]["enable"] is False
    await _save(editor, question_id=number, enable=True, answer="", kb_name=None)
    row = (await _listed(editor))[number]
    assert (row["query"], row["kb_name"], row["answer"]) == ("病假？", None, None)
    assert await _offered(reader, kb_name="") == ["病假？"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 422),
        ({"query": " "}, 422),
        ({"query": "x" * 201}, 422),
        ({"query": None, "enable": False}, 422),
        ({"query": "x", "answer": "x" * 20_001}, 422),
        ({"query": "x", "enable": None}, 422),
        ({"query": "x", "kb_name": "none"}, 404),
        ({"query": "x", "question_id": 999}, 404),
        ({"query": "x", "question_id": 2**31}, 422),
        ({"query": "x", "question_id": "a"}, 422),
    ],
)
async def test_what_cannot_be_saved(editor: Caller, fields: dict[str, Any], status: int) -> None:
    assert (await editor.post(ONE, fields)).status_code == status
    assert await _listed(editor) == {}


async def test_a_question_stands_in_a_place_once(editor: Caller) -> None:
    await editor.create_kb("a")
    first = await _save(editor, query="年假有几天？")
    second = await _save(editor, query="年假有几天？", kb_name="a")
    for fields in ({"query": "年假 有几天"}, {"question_id": second, "kb_name": ""}):
        again = await editor.post(ONE, fields)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
        assert str(first) in again.json()["msg"]
    await _save(editor, question_id=first, query="年假有几天")
    await _save(editor, question_id=second, enable=False)
    assert [row["kb_name"] for row in (await _listed(editor)).values()] == ["a", None]


async def test_editors_see_pages_of_their_own(editor: Caller) -> None:
    await editor.create_kb("a")
    for n in range(5):
        await _save(editor, query=f"问题 {n}", kb_name="a", enable=n != 3)
    await _save(editor, query="Annual Leave 100%")
    page = (await editor.get(LIST, page=2, page_size=2)).json()["data"]
    assert (page["total"], page["page"], page["page_size"]) == (6, 2, 2)
    assert [row["query"] for row in page["items"]] == ["问题 3", "问题 2"], "newest first, disabled too"
    for fields, count in (
        ({"kb_name": "a"}, 5),
        ({"kb_name": ""}, 1),
        ({"q": "annual"}, 1),
        ({"q": "问题"}, 5),
        ({"q": "%"}, 1),
        ({"q": "_"}, 0),
        ({"q": "问题", "kb_name": ""}, 0),
    ):
        assert len(await _listed(editor, **fields)) == count, fields
    assert (await editor.get(LIST, kb_name="none")).status_code == 404


async def test_anothers_questions_are_not_there(callers: Callers, editor: Caller, services: Services) -> None:
    """Shared ones are offered and not changed: those of a shared knowledge base, and everybody's."""
    await callers.client("other")
    stranger = await callers.key("other", "chat", "kb:read", "kb:write")
    for name in ("own", "shared"):
        await editor.create_kb(name)
        await _save(editor, query=f"{name}的问题", kb_name=name)
    mine = await _save(editor, query="闲聊")
    async with services.database.write() as session:
        kb = (await session.scalars(select(KnowledgeBase).where(KnowledgeBase.name == "shared"))).one()
        kb.shared = True
        session.add(Question(query="所有人的", created_at=services.runtime.clock.now()))
    assert await _offered(stranger) == ["shared的问题", "所有人的"]
    assert await _offered(stranger, kb_name="") == ["所有人的"]
    assert await _offered(stranger, kb_name="shared") == ["shared的问题"]
    assert await _offered(stranger, kb_name="own") == []
    assert await _listed(stranger) == {}
    assert (await stranger.post(ONE, {"question_id": mine, "enable": False})).status_code == 404
    assert (await stranger.post(ONE, {"query": "新的", "kb_name": "shared"})).status_code == 403
    assert (await stranger.post(ONE, {"query": "新的", "kb_name": "own"})).status_code == 404
    imported = await _import(stranger, "query,kb_name\n一,shared\n二,own\n三,\n".encode())
    assert imported.json()["data"]["created"] == 1
    assert [row["row"] for row in imported.json()["data"]["failed_rows"]] == [2, 3]
    assert await _offered(editor) == ["own的问题", "shared的问题", "所有人的", "闲聊"]
    assert len(await _listed(editor)) == 3
    await stranger.create_kb("own")
    await _save(stranger, query="另一个", kb_name="own")
    assert await _offered(editor, kb_name="own") == ["own的问题"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
async def test_a_spreadsheet_is_imported(editor: Caller, encoding: str) -> None:
    await editor.create_kb("制度")
    first = await _save(editor, query="年假有几天？", kb_name="制度", enable=False)
    rows = [
        "Query,备注,kb_name,answer",
        "年假有几天,x,制度,五天。",
        "“病假”有几天？,x,制度,",
        "",
        ",x,制度,没有问题",
        f"{'长' * 201},x,制度,",
        "在哪里？,x,没有的库,",
        '"带,逗号和\n换行",x,,"说""好"""',
        ",,,",
        "少几列",
    ]
    answer = await _import(editor, "\r\n".join(rows).encode(encoding))
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["created"], data["updated"], data["unchanged"]) == (3, 1, 0)
    assert [(row["row"], row["reason"]) for row in data["failed_rows"]] == [
        (5, "缺少问题"), (6, "问题超过 200 个字符"), (7, "未找到知识库 没有的库"),
    ]  # fmt: skip
    found = await _listed(editor)
    assert (found[first]["query"], found[first]["answer"], found[first]["enable"]) == (
        "年假有几天", "五天。", False,
    )  # fmt: skip
    assert {row["query"]: (row["kb_name"], row["answer"]) for row in found.values()} == {
        "年假有几天": ("制度", "五天。"),
        "“病假”有几天？": ("制度", None),
        "带,逗号和\n换行": (None, '说"好"'),
        "少几列": (None, None),
    }
    again = (await _import(editor, "\r\n".join(rows).encode(encoding))).json()["data"]
    assert (again["created"], again["updated"], again["unchanged"]) == (0, 0, 4)


async def test_an_import_into_one_knowledge_base(editor: Caller) -> None:
    await editor.create_kb("a")
    await _save(editor, query="一", kb_name="a", answer="旧")
    answer = (await _import(editor, "问题\n一\n二\n".encode(), kb_name="a")).json()["data"]
    assert (answer["created"], answer["updated"], answer["unchanged"]) == (1, 0, 1)
    found = {row["query"]: (row["kb_name"], row["answer"]) for row in (await _listed(editor)).values()}
    assert found == {"一": ("a", "旧"), "二": ("a", None)}, "a column that is not there changes nothing"
    assert (await _import(editor, b"query\nx\n", kb_name="none")).status_code == 404


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "query,kb_name,answer"),
        ("提问\n一\n".encode(), 422, "query,kb_name,answer"),
        (b"query,query\nx,y\n", 422, "query,kb_name,answer"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01", 422, ""),
        (b"query\n" + b'"' + b"x" * 200_000, 422, "CSV"),
        (b'query\nx\n"y\nz\n', 422, "CSV"),
        (b"query\n" + b"x\n" * 10_001, 422, "10000"),
        (b"x" * (4 * 1024**2 + 1), 413, "CSV"),
        (b"query\n" + b"x" * 201, 422, "200"),
    ],
)
async def test_what_cannot_be_imported(editor: Caller, data: bytes, status: int, words: str) -> None:
    answer = await _import(editor, data)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["msg"]
    assert await _listed(editor) == {}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("年假有几天？", "年假有几天", True),
        ("年假有几天？", " 年假 有几天 ?? ", True),
        ("How many DAYS?", "ｈow  many days", True),
        ("how many days", "howmany days", False),
        ("年假有几天", "病假有几天", False),
        ("年假（5天）？", "年假(5天)", True),
        ("？", "！", False),
        ("？", "?", True),
    ],
)
def test_when_two_questions_are_the_same(one: str, other: str, same: bool) -> None:
    assert (question_key(one) == question_key(other)) is same
