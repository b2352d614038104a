"""One question to several knowledge bases: one list of hits, and of many those that fit."""

import json
from typing import Any

import pytest

from server.auth.principal import Role
from server.kb import routing
from tests.conftest import Callers
from tests.support.api import Caller

pytestmark = pytest.mark.one_database

TOPICS = {
    "leave": ("年假规定.txt", "年假：工作满1年不满10年的员工，每年有5天年假。"),
    "travel": ("差旅.txt", "出差住宿标准：一线城市每晚不超过四百五十元。"),
    "device": ("传感器.txt", "传感器-温度-TH01 的量程是零下四十度到八十五度。"),
    "canteen": ("食堂.txt", "食堂每周三供应红烧牛肉面，午餐时间是十一点半。"),
    "parking": ("停车.txt", "地下二层车位按月租用，每月三百元，先到先得。"),
    "security": ("密码.txt", "密码每九十天更换一次，不得与前三次相同。"),
    "library": ("图书室.txt", "图书室的书可以借四个星期，逾期每天罚一角。"),
    "printing": ("打印.txt", "彩色打印机在三楼茶水间旁，纸张向行政部领取。"),
}
QUESTION = "TH01 的量程是多少？"


@pytest.fixture
async def libraries(editor: Caller) -> None:
    for name, (file_name, text) in TOPICS.items():
        await editor.create_kb(name)
        await editor.ingest(name, {file_name: text.encode()})


async def _trace(caller: Caller, message_id: str) -> dict[str, Any]:
    answer = await caller.get(f"/chat/answers/{message_id}/trace")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["trace"]


async def _ask(caller: Caller, message_id: str, query: str, **fields: Any) -> list[dict[str, Any]]:
    """The sources of an answer."""
    body = {"message_id": message_id, "session_id": "5" * 32, "query": query, "mode": "knowledge_base_chat"}
    answer = await caller.post("/chat/answers", body | fields)
    assert answer.status_code == 202, answer.text
    events = (await caller.get(f"/chat/answers/{message_id}/events")).text
    sources: list[dict[str, Any]] = json.loads(events.split("event: sources\ndata: ")[1].split("\n")[0])[
        "hits"
    ]
    return sources


async def test_those_that_are_named_are_one_list(editor: Caller, libraries: None) -> None:
    (first, *_) = await _ask(
        editor, "a" * 32, QUESTION, knowledge_base_name="leave", other_knowledge_bases=["device", "leave"]
    )
    assert (first["kb_name"], first["file_name"]) == ("device", "传感器.txt")
    trace = await _trace(editor, "a" * 32)
    assert set(trace["kbs"]) == {"leave", "device"}
    assert "passed_over" not in trace["style"]
    # So it is on the contract's path.
    _, docs = await editor.ask("leave", QUESTION, other_knowledge_bases=["device"])
    assert "传感器.txt" in docs[0]
    _, docs = await editor.ask("leave", QUESTION)
    assert all("传感器.txt" not in doc for doc in docs)


@pytest.mark.parametrize(
    ("query", "name"),
    [(QUESTION, "device"), ("出差每晚住宿能报多少？", "travel"), ("书能借多久？", "library")],
)
async def test_of_many_those_that_fit(editor: Caller, libraries: None, query: str, name: str) -> None:
    (first, *_) = await _ask(
        editor, "b" * 32, query, knowledge_base_name="leave", other_knowledge_bases=["*"]
    )
    assert first["kb_name"] == name
    trace = await _trace(editor, "b" * 32)
    assert len(trace["kbs"]) == routing.MOST
    assert {"leave", name} <= set(trace["kbs"]), "the one that somebody chose, and the one that fits"
    assert set(trace["style"]["passed_over"]) | set(trace["kbs"]) == set(TOPICS)


async def test_others_are_theirs_or_not_there(editor: Caller, callers: Callers, libraries: None) -> None:
    await callers.client("other")
    stranger = await callers.user("other", "reader", Role.MANAGER)
    await stranger.create_kb("theirs")
    body = {"message_id": "c" * 32, "session_id": "5" * 32, "query": QUESTION, "mode": "knowledge_base_chat"}
    body |= {"knowledge_base_name": "leave"}
    for name in ("none", "theirs"):
        gone = await editor.post("/chat/answers", body | {"other_knowledge_bases": [name]})
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "kb_not_found")
    for wrong in (["a"] * 21, ["a" * 65], "device", [1]):
        assert (
            await editor.post("/chat/answers", body | {"other_knowledge_bases": wrong})
        ).status_code == 422
    alone = body | {"mode": "llm_chat", "knowledge_base_name": None, "other_knowledge_bases": ["leave"]}
    assert (await editor.post("/chat/answers", alone)).status_code == 422
