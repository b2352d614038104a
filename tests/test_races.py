"""What people do at the same moment: nobody sees a fault of the server, and nothing is there twice.

SQLite's writers take turns; the other two databases show what a lock forgets.
"""

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from server.kb.worker import Worker
from tests.support.api import Caller

ROUNDS = 6
Call = tuple[str, Any]


async def _at_once(caller: Caller, *calls: Call) -> Counter[int]:
    """The statuses of these requests, sent together."""
    answers = await asyncio.gather(*(caller.post(path, body) for path, body in calls))
    for answer in answers:
        assert answer.status_code < 500, answer.text
    return Counter(answer.status_code for answer in answers)


def _chat(**fields: Any) -> Call:
    return "/chat/chat", {"query": "你好", "model_name": "quote", "stream": False, **fields}


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_question_that_is_sent_twice(reader: Caller, with_session: bool) -> None:
    for _ in range(ROUNDS):
        ids = {"chat_history_id": secrets.token_hex(16)}
        if with_session:
            ids["session_id"] = secrets.token_hex(16)
        assert await _at_once(reader, *[_chat(**ids)] * 8) == {200: 8}
        if with_session:
            latest = await reader.post("/history/latest", {"session_id": ids["session_id"], "num": 10})
            assert [row["id"] for row in latest.json()["data"]] == [ids["chat_history_id"]]


async def test_the_questions_of_a_session_have_an_order(reader: Caller) -> None:
    session_id = secrets.token_hex(16)
    for _ in range(2):
        assert await _at_once(reader, *[_chat(session_id=session_id)] * 8) == {200: 8}
    latest = await reader.post("/history/latest", {"session_id": session_id, "num": 50})
    assert len(latest.json()["data"]) == 16


async def test_a_session_is_deleted_while_questions_come(reader: Caller) -> None:
    session_id, message_id = secrets.token_hex(16), secrets.token_hex(16)
    for _ in range(ROUNDS):
        calls = [
            _chat(session_id=session_id),
            _chat(session_id=session_id, chat_history_id=message_id),
            _chat(chat_history_id=message_id),
            ("/session/delete", session_id),
        ]
        assert await _at_once(reader, *calls, *calls, *calls) == {200: 12}


async def test_a_knowledge_base_is_deleted_while_questions_are_added(editor: Caller) -> None:
    for _ in range(ROUNDS):
        await editor.create_kb("kb")
        adding = [("/recommend/question", {"query": f"问题{n}", "kb_name": "kb"}) for n in range(7)]
        found = await _at_once(editor, *adding, ("/knowledge_base/delete_knowledge_base", "kb"))
        assert set(found) <= {200, 404}


async def test_a_knowledge_base_is_deleted_while_it_is_changed(editor: Caller) -> None:
    name = {"knowledge_base_name": "kb"}
    for _ in range(ROUNDS):
        await editor.create_kb("kb")
        changing = [
            ("/knowledge_base/update_zh_name", name | {"kb_zh_name": "名"}),
            ("/knowledge_base/update_info", name | {"kb_info": "说明"}),
            ("/knowledge_base/update_chunking", name | {"chunk_size": 300}),
            ("/knowledge_base/update_retrieval", name | {"words": 0.3}),
            ("/knowledge_base/rename", name | {"new_name": "kb2"}),
        ]
        deleting = [("/knowledge_base/delete_knowledge_base", each) for each in ("kb", "kb2", "kb")]
        found = await _at_once(editor, *changing, *deleting, *changing)
        assert set(found) <= {200, 404, 409}
        for each in ("kb", "kb2"):
            await editor.post("/knowledge_base/delete_knowledge_base", each)


@pytest.mark.parametrize("kb_name", ["", "kb"])
async def test_the_same_question_is_added_by_eight(editor: Caller, kb_name: str) -> None:
    await editor.create_kb("kb")
    for number in range(ROUNDS):
        call = ("/recommend/question", {"query": f"年假有几天{number}？", "kb_name": kb_name})
        assert await _at_once(editor, *[call] * 8) == {200: 1, 409: 7}
    listed = (await editor.get("/recommend/question/list")).json()["data"]
    assert listed["total"] == ROUNDS


async def _import(editor: Caller, rows: list[str]) -> tuple[int, dict[str, Any]]:
    files = [("file", ("q.csv", "\n".join(["query,kb_name", *rows]).encode()))]
    answer = await editor.http.post("/recommend/question/import", files=files)
    assert answer.status_code < 500, answer.text
    return answer.status_code, answer.json()["data"]


async def test_a_knowledge_base_is_deleted_while_questions_are_imported(editor: Caller) -> None:
    for _ in range(3):
        await editor.create_kb("kb")
        rows = [f"问题{number},kb" for number in range(600)]
        (status, done), _ = await asyncio.gather(
            _import(editor, rows), editor.post("/knowledge_base/delete_knowledge_base", "kb")
        )
        assert status in (200, 404)
        if done is not None:
            failed = [row["row"] for row in done["failed_rows"]]
            assert done["created"] + len(failed) == 600
            assert failed == sorted(failed)
    assert (await editor.get("/recommend/question/list")).json()["data"]["total"] == 0


async def test_a_spreadsheet_is_imported_twice_at_once(editor: Caller) -> None:
    rows = [f"问题{number}," for number in range(600)]
    done = [data for _, data in await asyncio.gather(_import(editor, rows), _import(editor, rows))]
    assert sum(each["created"] for each in done) == 600
    assert (await editor.get("/recommend/question/list")).json()["data"]["total"] == 600


async def test_a_knowledge_base_is_renamed_while_questions_are_written(editor: Caller) -> None:
    """A new name holds the client's row on MariaDB, as the questions of the client do."""
    await editor.create_kb("a")
    for number in range(ROUNDS):
        old, new = ("a", "b") if number % 2 == 0 else ("b", "a")
        calls: list[Call] = [("/knowledge_base/rename", {"knowledge_base_name": old, "new_name": new})]
        calls += [
            ("/recommend/question", {"query": f"{number}-{n}-{name}", "kb_name": name})
            for n in range(4)
            for name in (old, new)
        ]
        statuses = await _at_once(editor, *calls)
        assert set(statuses) <= {200, 404}
        assert statuses[200] > 1


async def test_documents_are_deleted_while_they_are_published(editor: Caller, worker: Worker) -> None:
    await editor.create_kb("kb")
    names = [f"{number}.txt" for number in range(8)]
    working = asyncio.ensure_future(worker.run())
    try:
        for _ in range(ROUNDS):
            sent = [("files", (name, secrets.token_hex(8).encode())) for name in names]
            fields = {"knowledge_base_name": "kb", "override": "true"}
            upload = editor.post("/knowledge_base/upload_docs", data=fields, files=sent)
            deletes = [
                (
                    "/knowledge_base/delete_docs",
                    {"knowledge_base_name": "kb", "file_names": [name], "delete_content": True},
                )
                for name in names
            ]
            answer, _ = await asyncio.gather(upload, _at_once(editor, *deletes))
            assert answer.status_code == 200, answer.text
        assert not working.done()
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
