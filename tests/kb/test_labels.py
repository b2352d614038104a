"""What people say of documents, and searches that ask for it."""

import json
from typing import Any

import pytest

from server.kb import document_repository
from server.kb.filters import Filters, Range
from tests.conftest import Callers
from tests.support.api import Caller

PATH = "/knowledge_base/update_document"


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({"tags": {"人事", "财务"}}, True),
        ({"tags": {"财务"}}, False),
        ({"properties": {"部门": "人事"}}, True),
        ({"properties": {"部门": "人"}}, False),
        ({"properties": {"没有": "人事"}}, False),
        ({"properties": {"年": 2024, "部门": "人事"}}, True),
        ({"properties": {"年": 2024.0}}, True),
        ({"properties": {"年": "2024"}}, False),
        ({"properties": {"年": 2024, "部门": "财务"}}, False),
        ({"properties": {"一": True}}, False),
        ({"properties": {"真": 1}}, False),
        ({"properties": {"真": True}}, True),
        ({"properties": {"年": Range(2024, 2024)}}, True),
        ({"properties": {"年": Range(None, 2023.5)}}, False),
        ({"properties": {"年": Range(2025)}}, False),
        ({"properties": {"真": Range(0, 1)}}, False),
        ({"properties": {"部门": Range(0)}}, False),
        ({"properties": {"日": Range("2024-03-01", "2024-03-31")}}, True),
        ({"properties": {"日": Range("2024-03-32")}}, False),
        ({"properties": {"日": Range("2024-04-01")}}, False),
        ({"properties": {"部门": Range("2024-03-01")}}, False),
        ({"properties": {"年": Range("2024-03-01")}}, False),
    ],
)
def test_what_fits(wanted: dict[str, Any], fits: bool) -> None:
    said = {"部门": "人事", "年": 2024, "日": "2024-03-31", "真": True, "一": 1}
    filters = Filters(
        tags=frozenset(wanted.get("tags", ())), properties=tuple(wanted.get("properties", {}).items())
    )
    assert filters.match(["人事", "制度"], said) == fits
    assert not filters.match(None, None)
    assert filters.to_json() == json.loads(json.dumps(filters.to_json()))


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb()
    for name, tags, properties in (
        ("旧.txt", "人事，旧", {"生效": "2020-01-01", "级": 1}),
        ("新.txt", '["人事", "新"]', {"生效": "2024-03-01", "级": 2.5, "保密": True}),
        ("无.txt", "", {}),
    ):
        files = {name: f"{name[0]}规定：年假有几天由部门决定。".encode()}
        fields = {"tags": tags, "properties": json.dumps(properties) if properties else ""}
        await editor.ingest("kb", files, **fields)


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"旧.txt", "新.txt", "无.txt"}),
    ({"tags": ["新"]}, {"新.txt"}),
    ({"tags": ["新", "旧"]}, {"旧.txt", "新.txt"}),
    ({"tags": ["人事"], "files": ["旧.txt"]}, {"旧.txt"}),
    ({"properties": {"级": 1}}, {"旧.txt"}),
    ({"properties": {"级": {"min": 1, "max": 3}}}, {"旧.txt", "新.txt"}),
    ({"properties": {"生效": {"min": "2021-01-01"}}}, {"新.txt"}),
    ({"properties": {"生效": {"max": "2024-03-01"}, "保密": True}}, {"新.txt"}),
    ({"properties": {"保密": False}}, set()),
    ({"since": "2024-01-01"}, {"旧.txt", "新.txt", "无.txt"}),
    ({"since": "2024-01-01T08:00:00", "until": "2024-01-02T08:00:00+08:00"}, set()),
]


async def test_filters_everywhere(reader: Caller, library: None) -> None:
    for number, (filters, names) in enumerate(FILTERS):
        hits = await reader.search("kb", "年假有几天？", top_k=5, filters=filters)
        assert {hit["metadata"]["source"] for hit in hits} == names
        body = {"knowledge_base_name": "kb", "query": "年假有几天？", "top_k": 5, "filters": filters}
        explained = (await reader.post("/knowledge_base/explain", body)).json()["data"]
        assert {hit["file_name"] for hit in explained["hits"]} == names
        _, docs = await reader.ask("kb", "年假有几天？", top_k=5, filters=filters)
        assert {name for name in ("旧.txt", "新.txt", "无.txt") if any(name in doc for doc in docs)} == names
        path, session = f"/chat/answers/{number:032x}", "5" * 32
        body |= {"mode": "knowledge_base_chat", "message_id": f"{number:032x}", "session_id": session}
        assert (await reader.post("/chat/answers", body | {"history_count": 0})).status_code == 202
        assert "finished" in (await reader.get(f"{path}/events")).text
        answer = (await reader.get(path)).json()["data"]
        assert {source["file_name"] for source in answer["sources"]} == names


NO_FILTERS: list[dict[str, Any]] = [
    {"tag": ["x"]},
    {"tags": "x"},
    {"properties": {"a": {"min": 1, "max": "2024-01-01"}}},
    {"properties": {"a": {}}},
    {"properties": {"a": {"min": "gestern"}}},
    {"properties": {"a": [1]}},
    {"properties": {"": 1}},
    {"properties": {"a": 10**400}},
    {"since": "0001-01-01T00:00:00+14:00"},
    {"until": "9999-12-31T23:59:59-14:00"},
]


async def test_filters_that_mean_nothing_are_refused(reader: Caller, editor: Caller) -> None:
    await editor.create_kb()
    for filters in NO_FILTERS:
        body = {"knowledge_base_name": "kb", "query": "年假", "filters": filters}
        for path in ("/knowledge_base/search_docs", "/knowledge_base/explain", "/chat/knowledge_base_chat"):
            assert (await reader.post(path, body)).status_code == 422, (path, filters)
    answer = {"message_id": "a" * 32, "session_id": "5" * 32, "mode": "llm_chat", "query": "年假"}
    assert (await reader.post("/chat/answers", answer | {"filters": {}})).status_code == 422


async def test_files_of_a_conversation_are_searched_whatever_is_asked_for(
    reader: Caller, library: None
) -> None:
    session = {"session_id": "5" * 32}
    assert (await reader.post("/chat/chat", {"query": "你好"} | session)).status_code == 200
    parts = [("files", ("附件.txt", "年假有几天：本附件说有九天。".encode()))]
    assert (await reader.http.post("/session/files", data=session, files=parts)).status_code == 202
    assert reader.worker is not None
    await reader.worker.run_until_idle()
    _, docs = await reader.ask("kb", "年假有几天？", top_k=5, filters={"tags": ["新"]}, **session)
    assert {name for name in ("旧", "新", "无", "附件") if any(f"{name}.txt" in doc for doc in docs)} == {
        "新",
        "附件",
    }


async def test_what_is_said_is_shown_and_changed(callers: Callers, editor: Caller, library: None) -> None:
    said = (await editor.documents("kb"))["新.txt"]
    assert (said["tags"], said["visible_to"]) == (["人事", "新"], None)
    assert said["properties"] == {"生效": "2024-03-01", "级": 2.5, "保密": True}
    body = {"knowledge_base_name": "kb", "file_name": "新.TXT"}
    changed = (
        await editor.post(PATH, body | {"tags": ["a", " a", "b"], "visible_to": ["u2", "u1", "u2"]})
    ).json()
    assert (changed["data"]["tags"], changed["data"]["visible_to"]) == (["a", "b"], ["u1", "u2"])
    assert changed["data"]["properties"] == said["properties"], "what is left out stays"
    reader = await callers.user("acme", "u1")
    told = (await reader.documents("kb"))["新.txt"]
    assert (told["tags"], told["visible_to"]) == (["a", "b"], None), "who else sees it is for editors"
    assert [
        hit["metadata"]["source"] for hit in await reader.search("kb", "年假", filters={"tags": ["b"]})
    ] == ["新.txt"]
    await editor.post(PATH, body | {"properties": {}, "visible_to": None})
    said = (await editor.documents("kb"))["新.txt"]
    assert (said["properties"], said["visible_to"]) == ({}, None)


NOTHING: list[dict[str, Any]] = [
    {},
    {"tags": None},
    {"tags": ["x" * 65]},
    {"tags": [1]},
    {"tags": ["a\u200b"]},
    {"tags": [str(n) for n in range(51)]},
    {"properties": {"a": [1]}},
    {"properties": {"a": None}},
    {"properties": {"a": 2**53 + 1}},
    {"properties": {"a": "x" * 501}},
    {"visible_to": "u1"},
    {"visible_to": [" u1"]},
    {"visible_to": ["人" * 22]},
    {"tags": [], "other": 1},
]


async def test_what_cannot_be_said_is_refused(editor: Caller) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": b"text"}, tags="x", visible_to="u1")
    before = await editor.documents("kb")
    for given in NOTHING:
        body = {"knowledge_base_name": "kb", "file_name": "a.txt"}
        assert (await editor.post(PATH, body | given)).status_code == 422, given
    assert await editor.documents("kb") == before


async def test_an_upload_that_says_what_cannot_be_said_is_refused(editor: Caller) -> None:
    await editor.create_kb()
    for name, text in (
        ("tags", '["a"'),
        ("tags", "[1]"),
        ("tags", "null"),
        ("properties", "a=1"),
        ("properties", "[]"),
        ("properties", "null"),
        ("visible_to", '[""]'),
    ):
        answer = await editor.upload("kb", {"a.txt": b"text"}, **{name: text})
        assert answer.status_code == 422, text
    assert await editor.documents("kb") == {}


async def test_a_document_that_is_not_there(editor: Caller, library: None) -> None:
    body = {"knowledge_base_name": "kb", "file_name": "没有.txt", "tags": []}
    answer = await editor.post(PATH, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "document_not_found")


async def test_a_file_that_is_exchanged_just_before_it_is_filtered_is_found(
    editor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is of the version before, the filter of the one after."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()})
    only = {"files": ["a.txt"]}
    assert [hit["page_content"] for hit in await editor.search("kb", "年假", filters=only)] == ["年假五天。"]
    real, waiting = document_repository.filter_documents, [{"a.txt": "年假十天。".encode()}]

    async def late(*args: Any) -> set[str]:
        if waiting:
            await editor.ingest("kb", waiting.pop(), override=True)
        return await real(*args)

    monkeypatch.setattr(document_repository, "filter_documents", late)
    assert [hit["page_content"] for hit in await editor.search("kb", "年假", filters=only)] == ["年假十天。"]
    assert waiting == []
