"""Why a question brings what it brings, over HTTP: every candidate's way, and why an expected passage is not there."""

import secrets
from typing import Any

import pytest

from tests.support.api import Caller

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

LEAVE = "年假：员工每年有十天年假，满十年的有十五天。"
SICK = "病假：病假要有医院证明，由部门经理批准。"
TRAVEL = "差旅：高铁二等座可以报销，住宿标准每晚四百元。"
SENSOR = "传感器-温度-TH01 的量程是零下四十度到八十五度。"
FILES = {"年假.txt": LEAVE, "病假.txt": SICK, "差旅.txt": TRAVEL, "设备.md": SENSOR, "年假 副本.txt": LEAVE}


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb()
    states = await editor.ingest("kb", {name: text.encode() for name, text in FILES.items()})
    assert {one["state"] for one in states.values()} == {"ready"}


async def _explain(caller: Caller, query: str = "年假有几天？", **fields: Any) -> dict[str, Any]:
    answer = await caller.post(
        "/knowledge_base/explain", {"knowledge_base_name": "kb", "query": query} | fields
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_every_candidate_tells_its_way(reader: Caller, library: None) -> None:
    told = await _explain(reader, top_k=2)
    assert told["hits"][0]["text"] == LEAVE
    assert [hit["outcome"] for hit in told["hits"]] == ["hit", "hit"]
    assert {one["file_name"]: one["outcome"] for one in told["candidates"]} | {"年假.txt": "", "年假 副本.txt": ""} == {
        "年假.txt": "", "年假 副本.txt": "", "病假.txt": "hit", "差旅.txt": "rank", "设备.md": "rank",
    }  # fmt: skip
    assert sorted(one["outcome"] for one in told["candidates"] if one["text"] == LEAVE) == [
        "duplicate",
        "hit",
    ]
    first = told["hits"][0]
    assert (first["rank"], first["vector_rank"], first["word_rank"]) == (1, 1, 1)
    assert LEAVE[slice(*first["matched"][0])] == "年假"
    assert isinstance(first["anchor"], dict)
    assert first["place"] in ("年假.txt", "年假 副本.txt")
    assert {"embed", "load", "search", "read", "fuse"} <= told["trace"]["milliseconds"].keys()
    assert ["年假", 2] in told["trace"]["terms"]
    assert [one["chunk"] for one in told["trace"]["candidates"]] == [
        one["chunk_id"] for one in told["candidates"]
    ]
    hits = await reader.search("kb", "年假有几天？", top_k=2)
    assert [hit["metadata"]["chunk_id"] for hit in hits] == [hit["chunk_id"] for hit in told["hits"]]


@pytest.mark.database
@pytest.mark.parametrize(
    ("expected", "fields", "reason"),
    [
        ({"file_name": "病假.txt"}, {"top_k": 2}, "hit"),
        ({"file_name": "病假.TXT"}, {"top_k": 1}, "rank"),
        ({"file_name": "设备.md"}, {"score_threshold": 0.2}, "threshold"),
        ({"file_name": "设备.md"}, {"filters": {"types": ["txt"]}}, "filter"),
        ({"text": "住宿标准每晚"}, {"filters": {"files": ["病假.txt"]}}, "filter"),
        ({"file_name": "没有.txt"}, {}, "unknown"),
        ({"text": "没有这句话"}, {}, "unknown"),
        ({"file_name": "病假.txt", "text": "高铁"}, {}, "unknown"),
        ({"chunk_id": 999_999}, {}, "unknown"),
        ({"file_name": "坏.pdf"}, {}, "not_ready"),
    ],
)  # fmt: skip
async def test_why_not(
    editor: Caller, library: None, expected: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    if reason == "not_ready":
        await editor.ingest("kb", {"坏.pdf": b"%PDF-1.4 nothing"})
    told = (await _explain(editor, expected=expected, **fields))["expected"]
    assert (told["reason"], told["found"]) == (reason, reason == "hit")
    assert told["message"]
    assert (told["candidate"] is None) == (reason in ("unknown", "not_ready"))


@pytest.mark.database
async def test_an_expected_duplicate_is_told(reader: Caller, library: None) -> None:
    reasons = set()
    for name in ("年假.txt", "年假 副本.txt"):
        told = await _explain(reader, expected={"file_name": name})
        reasons.add(told["expected"]["reason"])
    assert reasons == {"hit", "duplicate"}


async def test_asking_after_a_passage_changes_nothing(editor: Caller, library: None) -> None:
    """However far it is: here it stands behind a hundred others."""
    rows = "".join(f"第{n}条,年假有{n}天，由第{n}科批准\n" for n in range(110))
    await editor.ingest("kb", {"条.csv": f"条,内容\n{rows}".encode()})
    plain = await _explain(editor)
    told = await _explain(editor, expected={"text": "零下四十度"})
    assert told["hits"] == plain["hits"]
    assert told["trace"]["candidates"] == plain["trace"]["candidates"]
    assert told["expected"]["reason"] == "depth"
    assert told["expected"]["candidate"]["text"] == SENSOR
    assert told["expected"]["candidate"]["rank"] > 50


async def test_other_settings_are_tried_once(reader: Caller, library: None) -> None:
    query = "TH01 二等座"
    by_words = await _explain(reader, query, settings={"words": 1.0})
    by_meaning = await _explain(reader, query, settings={"words": 0.0})
    assert by_words["trace"]["style"]["words"] == 1.0
    assert by_words["hits"][0]["words"] > 0
    assert by_meaning["trace"]["terms"] == []
    assert (await _explain(reader, query))["trace"]["style"]["words"] == 0.5
    both = await _explain(reader, settings={"collapse": False})
    assert [hit["text"] for hit in both["hits"]][:2] == [LEAVE, LEAVE]


async def test_a_follow_up_is_searched_for_with_what_it_lacks(reader: Caller, library: None) -> None:
    history = [{"role": "user", "content": "年假谁批准？"}, {"role": "assistant", "content": "没有写。"}]
    told = await _explain(reader, "病假呢？", history=history)
    assert told["query"] == "病假呢？"
    assert told["question"] == told["trace"]["question"] != "病假呢？"
    assert told["hits"][0]["text"] == SICK


async def test_an_answer_keeps_the_same_object(editor: Caller, library: None) -> None:
    body = {
        "message_id": secrets.token_hex(16),
        "session_id": "5" * 32,
        "query": "年假有几天？",
        "model_name": "quote",
    }
    body |= {"mode": "knowledge_base_chat", "knowledge_base_name": "kb"}
    assert (await editor.post("/chat/answers", body)).status_code == 202
    await editor.get(f"/chat/answers/{body['message_id']}/events")
    kept = (await editor.get(f"/chat/answers/{body['message_id']}/trace")).json()["data"]
    told = await _explain(editor)
    assert kept["trace"]["candidates"] == told["trace"]["candidates"]
    assert kept["trace"].keys() == told["trace"].keys()
    assert {one["chunk_id"]: one["place"] for one in kept["passages"]} == {
        one["chunk_id"]: one["place"] for one in told["candidates"]
    }


async def test_the_candidates_of_an_answer_are_named_to_those_who_may_see_them_today(
    editor: Caller, reader: Caller, library: None
) -> None:
    body = {
        "message_id": secrets.token_hex(16),
        "session_id": "6" * 32,
        "query": "年假有几天？",
        "model_name": "quote",
    }
    body |= {"mode": "knowledge_base_chat", "knowledge_base_name": "kb"}
    assert (await reader.post("/chat/answers", body)).status_code == 202
    await reader.get(f"/chat/answers/{body['message_id']}/events")

    async def named() -> set[str]:
        kept = (await reader.get(f"/chat/answers/{body['message_id']}/trace")).json()["data"]
        assert len(kept["trace"]["candidates"]) == len(FILES)
        return {one["file_name"] for one in kept["passages"]}

    assert await named() == set(FILES)
    change = {"knowledge_base_name": "kb", "file_name": "病假.txt", "visible_to": []}
    assert (await editor.post("/knowledge_base/update_document", change)).status_code == 200
    gone = {"knowledge_base_name": "kb", "file_names": ["差旅.txt"], "delete_content": True}
    assert (await editor.post("/knowledge_base/delete_docs", gone)).status_code == 200
    assert await named() == set(FILES) - {"病假.txt", "差旅.txt"}


@pytest.mark.parametrize(
    "fields", [{"expected": {}}, {"expected": {"text": " "}}, {"settings": {"words": 2}}, {"filters": {"types": ["../x"]}},
               {"unknown": 1}, {"query": "\0"}, {"expected": {"chunk_id": -1}}],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(
    reader: Caller, library: None, fields: dict[str, Any]
) -> None:
    answer = await reader.post(
        "/knowledge_base/explain", {"knowledge_base_name": "kb", "query": "年假？"} | fields
    )
    assert answer.status_code == 422, answer.text
