"""Files of one conversation: attached, searched with it, seen by its owner alone, gone with it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select, update

from server.chat.models import Message
from server.chat.session_files import SessionFiles
from server.core.errors import SessionNotFound
from server.core.settings import Settings
from server.kb.models import Chunk, Document, Job, KnowledgeBase
from server.kb.uploads import Upload
from server.llm.quote_model import NAME as QUOTE
from server.services import Services
from tests.auth.test_matrix import ROWS
from tests.conftest import Callers, test_settings
from tests.support.api import Caller, objects, sse_events
from tests.support.provider import KEY, Provider

FILES, DELETE, CONTENT = "/session/files", "/session/files/delete", "/session/files/content"
A, B = "a" * 32, "b" * 32
LEAVE, TRIPS = "员工每年有十天年假。", "出差住宿每晚最多报销四百元。"
NOTE = "附件还不能检索，这次回答没有用到："


async def _begin(caller: Caller, session_id: str = A) -> None:
    body = {"session_id": session_id, "session_name": "附件", "mode": "LLM"}
    assert (await caller.post("/session/save", body)).status_code == 200


async def _send(caller: Caller, files: dict[str, bytes], session_id: str = A) -> httpx2.Response:
    parts = [("files", (name, data)) for name, data in files.items()]
    return await caller.http.post(FILES, data={"session_id": session_id}, files=parts)


async def _attach(
    caller: Caller, files: dict[str, str], session_id: str = A, *, read: bool = True
) -> dict[str, str]:
    """Attach texts and have them read; returns their ids."""
    answer = await _send(caller, {name: text.encode() for name, text in files.items()}, session_id)
    assert answer.status_code == 202, answer.text
    assert caller.worker is not None
    if read:
        await caller.worker.run_until_idle()
    return {item["file_name"]: item["document_id"] for item in answer.json()["data"]}


async def _list(caller: Caller, session_id: str = A) -> list[dict[str, Any]]:
    answer = await caller.get(FILES, session_id=session_id)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _ask(caller: Caller, query: str, session_id: str | None = A, **fields: Any) -> dict[str, Any]:
    """Talk to a model, `quote` unless another is named."""
    body = {"query": query, "session_id": session_id, "model_name": QUOTE, "stream": False}
    answer = await caller.post("/chat/chat", body | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _ask_kb(caller: Caller, query: str, session_id: str | None = A, **fields: Any) -> dict[str, Any]:
    body = {"query": query, "session_id": session_id, "knowledge_base_name": "kb", "model_name": QUOTE}
    answer = await caller.post("/chat/knowledge_base_chat", body | {"stream": False} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _sources(caller: Caller, path: str, **body: Any) -> dict[str, Any]:
    """What the event `sources` says."""
    headers = {"Accept": "text/event-stream"}
    given = {"session_id": A, "model_name": QUOTE, "stream": True} | body
    answer = await caller.http.post(path, json=given, headers=headers)
    assert answer.status_code == 200, answer.text
    (data,) = [data for name, data in sse_events(answer.text) if name == "sources"]
    return data


async def _count(services: Services, table: type) -> int:
    async with services.database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


def _stored(services: Services) -> list[Path]:
    folder = services.settings.server.data_dir
    return [path for path in folder.rglob("*") if path.is_file() and "secrets" not in path.parts]


# ── attaching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_attached_read_and_quoted(reader: Caller) -> None:
    await _begin(reader)
    assert await _list(reader) == []
    before = await _ask(reader, "年假有几天？")
    assert "docs" not in before
    answer = await _send(reader, {"手册.txt": LEAVE.encode()})
    assert (answer.status_code, answer.json()["code"]) == (202, 202), answer.text
    (taken,) = answer.json()["data"]
    assert (taken["file_name"], taken["state"], taken["reason"]) == ("手册.txt", "waiting", None)
    (waiting,) = await _list(reader)
    assert waiting.pop("create_time")
    assert waiting == {
        "document_id": taken["document_id"], "file_name": "手册.txt", "state": "waiting", "percent": 0,
        "size": len(LEAVE.encode()), "error_code": None, "reason": None,
    }  # fmt: skip
    assert reader.worker is not None
    await reader.worker.run_until_idle()
    (ready,) = await _list(reader)
    assert (ready["state"], ready["percent"]) == ("ready", 100)

    said = await _ask(reader, "年假有几天？")
    assert said["text"] == f"{LEAVE}[1]"
    (doc,) = said["docs"]
    link = f"/session/files/content?session_id={A}&document_id={taken['document_id']}"
    assert doc.startswith("出处 [1] [手册.txt](http")
    assert f"{link})" in doc
    assert (await reader.http.get(link)).content == LEAVE.encode()
    (hit,) = (await _sources(reader, "/chat/chat", query="年假有几天？"))["hits"]
    assert (hit["document_id"], hit["attached"]) == (taken["document_id"], True)
    where = {"session_id": A, "document_id": taken["document_id"], "near": hit["chunk_id"]}
    read = (await reader.get("/session/files/passages", **where)).json()["data"]
    assert [(item["chunk_id"], item["text"]) for item in read["items"]] == [(hit["chunk_id"], LEAVE)]


async def test_the_stream_of_a_chat_brings_the_citations_too(reader: Caller) -> None:
    await _begin(reader)
    await _attach(reader, {"手册.txt": LEAVE})
    body = {"query": "年假有几天？", "session_id": A, "model_name": QUOTE, "stream": True}
    parts = objects((await reader.post("/chat/chat", body)).text)
    assert "".join(part.get("text", "") for part in parts) == f"{LEAVE}[1]"
    assert len(parts[-1]["docs"]) == 1
    (message,) = (await reader.post("/history/latest", {"session_id": A, "num": 1})).json()["data"]
    assert message["docs"] == parts[-1]["docs"]


async def test_a_model_reads_the_passages_in_the_template_of_knowledge(
    reader: Caller, provider: Provider
) -> None:
    """Whatever template of the plain chat is named: it knows of no passages."""
    await _begin(reader)
    await _attach(reader, {"手册.txt": LEAVE})
    await _ask(reader, "年假有几天？", model_name="echo", prompt_name="py")
    prompt = provider.calls[-1].body["messages"][-1]["content"]
    assert "[1] 手册.txt" in prompt
    assert LEAVE in prompt


async def test_questions_elsewhere_know_nothing_of_it(callers: Callers, reader: Caller) -> None:
    await _begin(reader)
    await _begin(reader, B)
    await _attach(reader, {"手册.txt": LEAVE})
    for session_id in (B, None):
        assert "docs" not in await _ask(reader, "年假有几天？", session_id)
    again = await _ask(reader, "年假有几天？")
    assert len(again["docs"]) == 1
    # Asked again by the message's id alone, it stays in its session.
    body = {"query": "年假有几天？", "chat_history_id": again["chat_history_id"], "model_name": QUOTE}
    assert len((await reader.post("/chat/chat", body)).json()["docs"]) == 1
    stranger = await callers.user("acme", "u2")
    await _begin(stranger, "c" * 32)
    assert "docs" not in await _ask(stranger, "年假有几天？", "c" * 32)


async def test_it_is_searched_together_with_the_chosen_knowledge_base(editor: Caller) -> None:
    await editor.create_kb()
    same = "年假要提前三天申请。"
    await editor.ingest("kb", {"制度.txt": same.encode(), "病假.txt": "病假要有医院的证明。".encode()})
    await _begin(editor)
    await _attach(editor, {"我的.txt": LEAVE, "同文.txt": same})
    asked = {"query": "年假", "knowledge_base_name": "kb", "top_k": 10}
    hits = (await _sources(editor, "/chat/knowledge_base_chat", **asked))["hits"]
    assert [hit["score"] for hit in hits] == sorted(hit["score"] for hit in hits)
    assert {(hit["file_name"], hit.get("attached", False)) for hit in hits} == {
        ("我的.txt", True),
        ("制度.txt", False),
        ("病假.txt", False),
    }, "the same text stands there once"
    closest = (await _sources(editor, "/chat/knowledge_base_chat", **asked | {"top_k": 1}))["hits"]
    assert closest == hits[:1]
    docs = (await _ask_kb(editor, "年假", top_k=10))["docs"]
    assert sum("/session/files/content?" in doc for doc in docs) == 1
    assert sum("knowledge_base_name=kb&" in doc for doc in docs) == 2
    alone = await _ask_kb(editor, "年假", None, top_k=10)
    assert len(alone["docs"]) == 2


class TestTwoModels:
    """The chosen knowledge base has another embedding model than what is attached."""

    @pytest.fixture
    def settings(self, settings: Settings, provider: Provider) -> Settings:
        far = {
            "EMBEDDING__FAR__KIND": "openai",
            "EMBEDDING__FAR__MODEL": "vectors",
            "EMBEDDING__FAR__BASE_URL": provider.openai,
            "EMBEDDING__FAR__API_KEY": KEY,
        }
        return test_settings(settings.server.data_dir, settings.database_url, **far)

    async def test_each_is_searched_with_its_own(self, editor: Caller, services: Services) -> None:
        await editor.create_kb(embed_model="far")
        await editor.ingest("kb", {"制度.txt": TRIPS.encode()})
        await _begin(editor)
        await _attach(editor, {"我的.txt": LEAVE})
        asked = await _ask_kb(editor, "年假有几天？")
        async with services.database.read() as session:
            models = set(await session.scalars(select(KnowledgeBase.embed_model)))
            message = await session.get_one(Message, asked["chat_history_id"])
        assert len(models) == 2
        assert message.trace["kbs"].keys() == {"kb", f"*{A}"}
        assert len(message.trace["candidates"]) == 2, "a vector of the wrong length finds nothing"
        assert any("我的.txt" in doc for doc in asked["docs"])


@pytest.mark.parametrize("model", ["m3e-base", "gone"])
async def test_a_question_is_answered_without_files_whose_model_is_not_there(
    reader: Caller, services: Services, model: str
) -> None:
    """An operator who took an old model out of the configuration has not ended every conversation with files."""
    await _begin(reader)
    await _attach(reader, {"手册.txt": LEAVE})
    async with services.database.write() as session:
        (await session.scalars(select(KnowledgeBase))).one().embed_model = model
    said = await _ask(reader, "年假有几天？")
    assert LEAVE not in said["text"]
    assert f"{NOTE}手册.txt" in said["docs"]


async def test_an_agent_searches_it_too(reader: Caller, provider: Provider) -> None:
    await _begin(reader)
    await _attach(reader, {"手册.txt": LEAVE})
    body = {"query": "年假有几天？", "session_id": A, "model_name": QUOTE, "stream": False}
    said = (await reader.post("/chat/agent_chat", body)).json()
    assert said["final_answer"] == f"{LEAVE}[1]"
    assert "/session/files/content?" in said["docs"][0]
    script = '年假？ <<[[["knowledge_search", {"query": "年假", "knowledge_bases": ["*attached"]}]]]>>'
    said = (await reader.post("/chat/agent_chat", body | {"query": script, "model_name": "agent"})).json()
    assert "/session/files/content?" in said["docs"][0]
    assert "- *attached：会话附件" in provider.calls[0].body["messages"][0]["content"]


# ── what is not read yet ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_says_which_files_are_not_read_yet(reader: Caller) -> None:
    await _begin(reader)
    await _attach(reader, {"手册.txt": LEAVE})
    await _attach(reader, {"甲.txt": TRIPS, "乙.txt": TRIPS}, read=False)
    said = await _ask(reader, "年假有几天？")
    assert said["text"] == f"{LEAVE}[1]"
    assert said["docs"][1:] in ([f"{NOTE}甲.txt、乙.txt"], [f"{NOTE}乙.txt、甲.txt"])
    unread = (await _sources(reader, "/chat/chat", query="年假有几天？"))["unread"]
    assert sorted(unread) == ["乙.txt", "甲.txt"]
    for model in (QUOTE, "agent"):
        body = {"query": "<<[]>>", "session_id": A, "model_name": model, "stream": False}
        said = (await reader.post("/chat/agent_chat", body)).json()
        assert said["docs"][-1].startswith(NOTE), model
    assert reader.worker is not None
    await reader.worker.run_until_idle()
    assert not any(doc.startswith(NOTE) for doc in (await _ask(reader, "年假有几天？"))["docs"])
    assert "unread" not in await _sources(reader, "/chat/chat", query="年假有几天？")


async def test_nothing_is_made_up_about_a_file_that_nobody_has_read(
    editor: Caller, provider: Provider
) -> None:
    await editor.create_kb()
    await _begin(editor)
    await _attach(editor, {"甲.txt": LEAVE}, read=False)
    said = await _ask(editor, "年假有几天？")
    assert said["text"].startswith("知识库里还有 1 个文件正在处理")
    assert said["docs"][-1] == f"{NOTE}甲.txt"
    asked = await _ask_kb(editor, "年假有几天？")
    assert asked["docs"][-1] == f"{NOTE}甲.txt"
    assert (await _ask(editor, "年假？", model_name="echo"))["docs"][-1] == f"{NOTE}甲.txt"
    assert provider.calls, "a model may say what it knows; the reader is told the rest"


async def test_a_session_whose_files_all_failed_is_a_plain_chat(reader: Caller) -> None:
    await _begin(reader)
    answer = await _send(reader, {"坏.pdf": b"%PDF-1.4 nothing"})
    assert answer.status_code == 202
    assert reader.worker is not None
    await reader.worker.run_until_idle()
    (row,) = await _list(reader)
    assert (row["state"], row["percent"]) == ("failed", 100)
    assert row["reason"]
    assert row["error_code"]
    assert "docs" not in await _ask(reader, "年假？")


async def test_a_file_that_somebody_waits_for_is_read_before_others(editor: Caller) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"1.txt": b"one", "2.txt": b"two"})
    await _begin(editor)
    await _attach(editor, {"甲.txt": LEAVE}, read=False)
    assert editor.worker is not None
    assert await editor.worker.step()
    assert [row["state"] for row in await _list(editor)] == ["ready"]


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_cannot_be_attached(callers: Callers, reader: Caller, services: Services) -> None:
    await _begin(reader)
    for files, status, code in (
        ({"x.exe": b"x"}, 415, "unsupported_file"),
        ({"x.pdf": b"no pdf"}, 415, "type_mismatch"),
        ({"x.txt": b""}, 422, "empty_file"),
        ({"x<y.txt": b"x"}, 400, "bad_filename"),
    ):  # fmt: skip
        answer = await _send(reader, files)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    answer = await reader.http.post(FILES, data={"session_id": A})
    assert answer.status_code == 422
    assert (await _send(reader, {"a.txt": b"x"}, "short")).status_code == 422
    assert (await _send(reader, {"a.txt": b"x"}, B)).status_code == 404
    assert await _list(reader) == []
    assert _stored(services) == []
    key = await callers.key("acme", "kb:read", "kb:write")
    assert (await _send(key, {"a.txt": b"x"})).status_code == 403


async def test_one_that_is_refused_does_not_hold_up_the_others(reader: Caller) -> None:
    await _begin(reader)
    parts = [("files", (name, b"x")) for name in ("a.txt", "b.exe", "A.txt")]
    answer = await reader.http.post(FILES, data={"session_id": A}, files=parts)
    assert answer.status_code == 202
    rows = answer.json()["data"]
    assert [(row["file_name"], row["state"], row["error_code"]) for row in rows] == [
        ("a.txt", "waiting", None),
        ("b.exe", "refused", "unsupported_file"),
        ("A.txt", "refused", "conflict"),
    ]
    assert [row["document_id"] is None for row in rows] == [False, True, True]
    assert [bool(row["reason"]) for row in rows] == [False, True, True]
    assert [row["file_name"] for row in await _list(reader)] == ["a.txt"]


async def test_ten_files_are_all_that_a_session_takes(reader: Caller, services: Services) -> None:
    """Also when they come at once, to a session without any."""
    await _begin(reader)
    answers = await asyncio.gather(*(_send(reader, {f"{n}.txt": b"%d" % n}) for n in range(12)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [409] * 2
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["error"]["code"] == "too_many_files"
    assert await _count(services, KnowledgeBase) == 1
    rows = await _list(reader)
    assert len(rows) == 10
    assert reader.worker is not None
    await reader.worker.run_until_idle()
    name, document_id = rows[0]["file_name"], rows[0]["document_id"]
    assert (await _send(reader, {name: b"replaced"})).status_code == 202, "it is no other one"
    assert (await reader.post(DELETE, {"session_id": A, "document_id": document_id})).status_code == 200
    assert (await _send(reader, {"one more.txt": b"x"})).status_code == 202


class TestSmall:
    @pytest.fixture
    def environ(self) -> dict[str, str]:
        return {"KB__MAX_FILE_SIZE": "1KiB", "INGEST__MAX_QUEUE": "2"}

    async def test_sizes_and_the_queue_are_those_of_uploads(self, reader: Caller) -> None:
        await _begin(reader)
        assert (await _send(reader, {"a.txt": b"x" * 1025})).status_code == 413
        assert (await _send(reader, {"a.txt": b"x" * 1024, "b.txt": b"x"})).status_code == 202
        assert (await _send(reader, {"c.txt": b"x"})).status_code == 429


async def test_a_file_of_the_same_name_is_replaced(reader: Caller) -> None:
    await _begin(reader)
    first = await _attach(reader, {"手册.txt": LEAVE})
    again = await _attach(reader, {"手册.txt": LEAVE})
    assert again == first, "the same bytes change nothing"
    second = await _attach(reader, {"手册.txt": TRIPS}, read=False)
    assert [row["document_id"] for row in await _list(reader)] == [second["手册.txt"]]
    assert (await _ask(reader, "年假有几天？"))["text"] == f"{LEAVE}[1]", "until the new one is read"
    assert reader.worker is not None
    await reader.worker.run_until_idle()
    assert (await _ask(reader, "住宿每晚报销多少？"))["text"] == f"{TRIPS}[1]"
    assert len(await _list(reader)) == 1


# ── whose they are ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_it_is_no_knowledge_base_of_anybodys(
    callers: Callers, reader: Caller, services: Services
) -> None:
    """By whatever path somebody looks for it, under the name that it has inside."""
    await _begin(reader)
    await _attach(reader, {"a.txt": LEAVE})
    manager = await callers.key("acme", "chat", "kb:read", "kb:write")
    async with services.database.read() as session:
        row = (await session.scalars(select(KnowledgeBase))).one()
        job = (await session.scalars(select(Job))).one()
    things = {"kb": row.name, "job": job.id, "own_kb": row.name, "question": "1"}
    looked = 0
    for name in (row.name, row.id, A):
        values = things | {"kb": name}
        for wanted in ROWS:
            texts = str((wanted.path, wanted.query, wanted.body, wanted.form))
            if not ("{kb}" in texts or "{job}" in texts) or "{session}" in texts or "{question}" in texts:
                continue
            looked += 1
            answer = await manager.http.request(
                wanted.method,
                wanted.path.format(**values),
                params={key: value.format(**values) for key, value in wanted.query.items()},
                json=_filled(wanted.body, values),
                data=_filled(wanted.form, values),
                files=[(part, ("b.txt", b"query\nx")) for part in ("files", "file")] if wanted.form else None,
            )
            expected = 200 if wanted.foreign == 200 else 404
            assert answer.status_code == expected, f"{wanted.name}: {answer.text}"
            if expected == 200:
                assert answer.json()["data"] == []
    assert looked > 50
    for path in ("list_knowledge_bases", "list_knowledge_bases_v2"):
        assert (await manager.get(f"/knowledge_base/{path}")).json()["data"] == []
    assert (await manager.get("/jobs")).json()["data"]["total"] == 0
    assert (await manager.get("/chat/feedback/report")).json()["data"]["answers"] == 0
    made = await manager.post("/knowledge_base/create_knowledge_base", {"knowledge_base_name": row.name})
    assert made.status_code == 422, "nobody can be in its way"
    async with services.database.write() as session:
        await session.execute(update(KnowledgeBase).values(shared=True))
    assert (await manager.get("/knowledge_base/list_knowledge_bases")).json()["data"] == []


def _filled(given: Any, values: dict[str, str]) -> Any:
    if isinstance(given, dict):
        return {key: _filled(value, values) for key, value in given.items()}
    return given.format(**values) if isinstance(given, str) else given


async def test_a_file_belongs_to_its_own_session(callers: Callers, reader: Caller) -> None:
    await _begin(reader)
    await _begin(reader, B)
    ids = await _attach(reader, {"a.txt": LEAVE})
    await _attach(reader, {"b.txt": TRIPS}, B)
    stranger = await callers.user("acme", "u2")
    await _begin(stranger, "c" * 32)
    theirs = await _attach(stranger, {"c.txt": "别人的。"}, "c" * 32)
    for caller, session_id, document_id in (
        (reader, B, ids["a.txt"]),
        (reader, A, theirs["c.txt"]),
        (reader, "c" * 32, theirs["c.txt"]),
        (reader, A, "doc_none"),
        (stranger, A, ids["a.txt"]),
    ):
        given = {"session_id": session_id, "document_id": document_id}
        assert (await caller.get(CONTENT, **given)).status_code == 404, given
        assert (await caller.post(DELETE, given)).status_code == 404, given
    assert (await stranger.get(FILES, session_id=A)).status_code == 404
    assert len(await _list(reader)) == len(await _list(reader, B)) == 1
    assert (await reader.get(CONTENT, session_id=A, document_id=ids["a.txt"])).status_code == 200


async def test_its_bytes_come_to_a_page_that_reads_them_by_pieces(reader: Caller) -> None:
    await _begin(reader)
    ids = await _attach(reader, {"手册.txt": LEAVE})
    given = {"session_id": A, "document_id": ids["手册.txt"], "preview": "true"}
    token = reader.http.headers["Api-Token"]
    for headers in ({"Api-Token": token}, {"Authorization": f"Bearer {token}"}):
        del reader.http.headers[
            next(name for name in ("Api-Token", "Authorization") if name in reader.http.headers)
        ]
        reader.http.headers.update(headers)
        part = await reader.http.get(CONTENT, params=given, headers={"Range": "bytes=3-5"})
        assert (part.status_code, part.content) == (206, "工".encode())
        assert part.headers["content-range"] == f"bytes 3-5/{len(LEAVE.encode())}"
        assert part.headers["content-type"] == "text/plain; charset=utf-8"
        assert part.headers["content-disposition"].startswith("inline; ")
        assert part.headers["x-content-type-options"] == "nosniff"


# ── going ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_file_is_deleted_with_all_that_was_made_of_it(reader: Caller, services: Services) -> None:
    await _begin(reader)
    ids = await _attach(reader, {"手册.txt": LEAVE})
    await _attach(reader, {"手册.txt": TRIPS}, read=False)  # and its replacement, on its way
    gone = await reader.post(DELETE, {"session_id": A, "document_id": ids["手册.txt"]})
    assert (gone.status_code, gone.json()["data"]) == (200, True)
    assert await _list(reader) == []
    assert _stored(services) == []
    assert "docs" not in await _ask(reader, "年假有几天？")
    again = await reader.post(DELETE, {"session_id": A, "document_id": ids["手册.txt"]})
    assert again.status_code == 404
    for wrong in (
        {"session_id": A},
        {"session_id": A, "document_id": 5},
        {"session_id": A, "document_id": "x", "y": 1},
    ):
        assert (await reader.post(DELETE, wrong)).status_code == 422, wrong


async def test_it_goes_with_its_session(reader: Caller, services: Services) -> None:
    await _begin(reader)
    await _begin(reader, B)
    await _attach(reader, {"a.txt": LEAVE, "b.txt": TRIPS})
    await _attach(reader, {"c.txt": TRIPS}, B)
    await _attach(reader, {"d.txt": TRIPS}, read=False)
    await _ask(reader, "年假有几天？")
    assert (await reader.post("/session/delete", A)).status_code == 200
    assert [await _count(services, table) for table in (KnowledgeBase, Document, Chunk)] == [1, 1, 1]
    assert sorted(path.suffix for path in _stored(services)) == [".npy", ".txt"], "the other's"
    assert (await reader.get(FILES, session_id=A)).status_code == 404
    await _begin(reader)
    assert await _list(reader) == [], "a new one of the same id begins without files"


async def test_a_session_that_is_deleted_during_the_upload_keeps_nothing(
    callers: Callers, reader: Caller, services: Services
) -> None:
    await _begin(reader)
    await _attach(reader, {"a.txt": LEAVE})

    class Slow:
        """Bytes that come only when the session is gone."""

        def read(self, _size: int) -> bytes:
            if not self.deleted.is_set():
                asyncio.run_coroutine_threadsafe(self._delete(), self.loop).result()
                return b"text"
            return b""

        async def _delete(self) -> None:
            assert (await reader.post("/session/delete", A)).status_code == 200
            self.deleted.set()

        def __init__(self) -> None:
            self.deleted, self.loop = asyncio.Event(), asyncio.get_running_loop()

    token = await callers.token("acme", "u1")
    caller = await services.authenticator.authenticate(token, "127.0.0.1")
    files = SessionFiles(services.database, services.attachments, services.settings)
    with pytest.raises(SessionNotFound):
        await files.add(caller, A, [Upload("b.txt", 4, Slow())])  # type: ignore[arg-type]
    assert await _count(services, KnowledgeBase) == 0
    assert _stored(services) == []
