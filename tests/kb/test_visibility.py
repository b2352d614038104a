"""Documents that not everybody may see: for whom they are hidden, they are not there, and nothing tells that they are."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from server.auth.principal import Principal, Role, Scope
from server.kb.document_repository import list_documents
from server.kb.lexical_repository import look_up
from server.kb.lexicon import token
from server.kb.models import Chunk, Document, KnowledgeBase, Slot
from server.kb.rebuild import Rebuilds
from server.kb.splitters import Chunking
from server.kb.versions import Versions
from server.kb.visibility import may_see
from server.kb.worker import Worker
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller
from tests.support.hidden import PUBLIC, History, told

SECRET = "薪酬：总监的年薪是六十万元。"


@pytest.mark.parametrize(
    ("visible_to", "seen_by"),
    [
        (None, {"u1", "U1", "张三", "manager", "reader of another", "manager of another", "server"}),
        ([], {"manager", "server"}),
        (["u1"], {"u1", "manager", "server"}),
        (["张三", 'u"1', "u1\\"], {"张三", "manager", "server"}),
        (["u11", "u", " u1"], {"manager", "server"}),
    ],
)
async def test_the_rule_is_the_same_in_the_database(
    services: Services, editor: Caller, visible_to: list[str] | None, seen_by: set[str]
) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": SECRET.encode()})
    async with services.database.write() as session:
        await session.execute(update(Document).values(visible_to=visible_to))
        kb = (await session.scalars(select(KnowledgeBase))).one()
    reader, manager = frozenset({Scope.KB_READ}), frozenset({Scope.KB_READ, Scope.KB_WRITE})
    viewers = {
        "u1": Principal("acme", "u1", "", reader),
        "U1": Principal("acme", "U1", "", reader),
        "张三": Principal("acme", "张三", "", reader),
        "manager": Principal("acme", "m", "", manager),
        "reader of another": Principal("other", "u1", "", reader),
        "manager of another": Principal("other", "u1", "", manager),
        "server": None,
    }
    by_hand = {name for name, viewer in viewers.items() if may_see(viewer, "acme", visible_to)}
    by_sql = set()
    async with services.database.read() as session:
        for name, viewer in viewers.items():
            rows, total = await list_documents(session, kb, viewer)
            assert len(rows) == total
            by_sql |= {name} if rows else set()
    assert by_hand == by_sql == seen_by


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_hidden_changes_nothing(
    callers: Callers, editor: Caller, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Neither hits, scores, order, counts nor words, whatever becomes of it; with so few candidates that it would push others out."""
    monkeypatch.setattr("server.kb.retriever._DEPTH", 3)
    monkeypatch.setattr("server.kb.retriever._LOOK_UPS", 4)
    reader = await callers.user("acme", "u1")
    await editor.create_kb()
    await editor.ingest("kb", {name: text.encode() for name, text in PUBLIC.items()})
    if seed:  # one that not everybody sees, and they do
        await editor.ingest("kb", {"薪酬.txt": SECRET.encode()}, visible_to="u1")
    before = await told(reader)
    history = History(editor, seed)
    await history.add()
    assert len(await editor.documents("kb")) > len(PUBLIC) + seed
    assert await told(reader) == before
    for _ in range(4):
        await history.step()
    assert await told(reader) == before


async def test_what_is_hidden_takes_no_place_among_what_the_words_find(
    services: Services, editor: Caller
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {f"{n}.txt": f"{n} 年薪".encode() for n in range(3)})
    await editor.ingest("kb", {"a.txt": "a 年薪".encode()})
    hidden = [row["document_id"] for name, row in (await editor.documents("kb")).items() if name != "a.txt"]
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase))).one()
        tokens = [token(kb.id, "年薪")]
        assert len(await look_up(session, tokens, 2)) == 2
        ((_, chunk_id),) = await look_up(session, tokens, 2, hidden)
        chunk = await session.get_one(Chunk, int(chunk_id))
    assert chunk.text == "a 年薪"


async def test_editors_and_those_who_are_named_find_it(callers: Callers, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {name: text.encode() for name, text in PUBLIC.items()})
    await editor.ingest("kb", {"薪酬.txt": SECRET.encode()}, visible_to='["u2"]')
    question = "总监的年薪是多少？"
    for caller, finds in (
        (editor, True),
        (await callers.user("acme", "u2"), True),
        (await callers.user("acme", "boss", Role.MANAGER), True),
        (await callers.user("acme", "u1"), False),
        (await callers.key("acme", "kb:read", "chat"), False),
    ):
        hits = await caller.search("kb", question, top_k=1)
        assert (hits[0]["metadata"]["source"] == "薪酬.txt") == finds
        body = {"knowledge_base_name": "kb", "query": question}
        terms = (await caller.post("/knowledge_base/explain", body)).json()["data"]["trace"]["terms"]
        assert (["年薪", 1] in terms) == finds


@pytest.fixture
async def secret(callers: Callers, editor: Caller) -> dict[str, Any]:
    """A shared knowledge base with one public and one restricted document, and an answer from it; ids by name."""
    await callers.client("other")
    await editor.create_kb()
    await editor.ingest("kb", {"年假.txt": PUBLIC["年假.txt"].encode()})
    await editor.ingest("kb", {"薪酬.txt": SECRET.encode()}, visible_to="u2")
    async with callers.services.database.write() as session:
        await session.execute(update(KnowledgeBase).values(shared=True))
    (hit,) = await editor.search("kb", "年薪", top_k=1)
    return hit["metadata"]


async def _sees(caller: Caller, secret: dict[str, Any]) -> dict[str, bool]:
    """By route: does it say anything of the document?"""
    name, kb = "薪酬.txt", {"knowledge_base_name": "kb"}
    seen = {}
    answer = await caller.get("/knowledge_base/list_files", **kb)
    seen["list_files"] = name in answer.json()["data"]
    answer = await caller.get("/knowledge_base/documents", **kb)
    seen["documents"] = name in answer.text
    assert answer.json()["data"]["total"] == 1 + seen["documents"]
    (row,) = (await caller.get("/knowledge_base/list_knowledge_bases_v2")).json()["data"]
    seen["file_count"] = row["file_count"] == 2
    for what, headers in (("download", {}), ("range", {"Range": "bytes=0-3"})):
        answer = await caller.http.get(
            "/knowledge_base/download_doc", params=kb | {"file_name": name}, headers=headers
        )
        assert answer.status_code in (200, 206, 404)
        seen[what] = answer.status_code != 404
    answer = await caller.http.head("/knowledge_base/download_doc", params=kb | {"file_name": name})
    seen["head"] = answer.status_code == 200
    answer = await caller.get("/knowledge_base/passages", **kb, file_name=name)
    seen["passages"] = answer.status_code == 200
    hits = await caller.search("kb", "年薪", top_k=5)
    seen["search"] = name in {hit["metadata"]["source"] for hit in hits}
    for expected in ({"chunk_id": secret["chunk_id"]}, {"file_name": name}, {"text": "六十万元"}):
        body = kb | {"query": "年薪", "expected": expected}
        answer = (await caller.post("/knowledge_base/explain", body)).json()["data"]["expected"]
        assert answer["reason"] in ("hit", "unknown")
        seen[f"expected {next(iter(expected))}"] = answer["reason"] == "hit"
    said, docs = await caller.ask("kb", "总监的年薪是多少？")
    seen["answer"] = "六十万" in said
    seen["citations"] = any(name in doc for doc in docs)
    answer = await caller.post("/chat/agent_chat", {"query": "总监的年薪是多少？", "model_name": "quote"})
    assert answer.status_code == 200, answer.text
    seen["agent"] = "六十万" in answer.text or name in answer.text
    return seen


async def test_no_route_tells_of_it(callers: Callers, editor: Caller, secret: dict[str, Any]) -> None:
    for caller, sees in (
        (editor, True),
        (await callers.user("acme", "u2"), True),
        (await callers.user("acme", "u1"), False),
        (await callers.user("other", "u2"), False),
        (await callers.user("other", "boss", Role.ADMIN), False),
        (await callers.key("other", "chat", "kb:read", "kb:write"), False),
    ):
        seen = await _sees(caller, secret)
        assert set(seen.values()) == {sees}, seen


async def test_anothers_document_looks_like_none(
    callers: Callers, editor: Caller, secret: dict[str, Any]
) -> None:
    reader = await callers.user("acme", "u1")

    async def refusal(name: str) -> str:
        params = {"knowledge_base_name": "kb", "file_name": name}
        answer = await reader.http.get("/knowledge_base/download_doc", params=params)
        assert answer.status_code == 404
        return answer.text.replace(answer.json()["error"]["request_id"], "").replace(name, "NAME")

    assert await refusal("薪酬.txt") == await refusal("没有.txt")


async def test_a_source_that_was_hidden_since_is_gone(
    callers: Callers, editor: Caller, secret: dict[str, Any]
) -> None:
    reader = await callers.user("acme", "u2")
    body = {"message_id": "a" * 32, "session_id": "5" * 32, "mode": "knowledge_base_chat"}
    body |= {"knowledge_base_name": "kb", "query": "总监的年薪是多少？"}
    assert (await reader.post("/chat/answers", body)).status_code == 202
    assert "finished" in (await reader.get(f"/chat/answers/{'a' * 32}/events")).text
    path = f"/chat/answers/{'a' * 32}/sources/1"
    assert not (await reader.get(path)).json()["data"]["is_gone"]
    change = {"knowledge_base_name": "kb", "file_name": "薪酬.txt", "visible_to": ["u1"]}
    assert (await editor.post("/knowledge_base/update_document", change)).status_code == 200
    named = await callers.user("acme", "u1")
    assert (await named.search("kb", "年薪", top_k=1))[0]["metadata"]["source"] == "薪酬.txt", "at once"
    shown = (await reader.get(path)).json()["data"]
    assert shown["is_gone"]
    assert shown["before"] is shown["after"] is None
    assert await reader.search("kb", "年薪", top_k=5) == await (await callers.user("acme", "u3")).search(
        "kb", "年薪", top_k=5
    )


async def test_files_on_their_way_are_counted_for_those_who_see_them(
    callers: Callers, editor: Caller
) -> None:
    await editor.create_kb()
    assert (await editor.upload("kb", {"薪酬.txt": SECRET.encode()}, visible_to="u2")).status_code == 200
    for user, is_told in (("u1", False), ("u2", True)):
        caller = await callers.user("acme", user)
        _, docs = await caller.ask("kb", "年薪")
        assert any("正在处理" in doc for doc in docs) == is_told


async def _visible_to(editor: Caller, name: str = "a.txt") -> Any:
    return (await editor.documents("kb"))[name]["visible_to"]


async def test_a_replacement_is_seen_by_the_same_people(
    callers: Callers, editor: Caller, worker: Worker
) -> None:
    """Before it is ready and after, however it comes about; and whatever is said while it waits."""
    u1 = await callers.user("acme", "u1")

    async def is_found() -> bool:
        return bool(await u1.search("kb", "年薪 七十万", top_k=3)) or bool(await u1.documents("kb"))

    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": SECRET.encode()}, visible_to="u2", tags="薪酬,人事")
    assert not await is_found()
    assert (await editor.upload("kb", {"a.txt": b"other"}, override=True)).status_code == 200
    assert not await is_found()
    change = {"knowledge_base_name": "kb", "file_name": "a.txt", "visible_to": ["u3"]}
    assert (await editor.post("/knowledge_base/update_document", change)).status_code == 200
    await worker.run_until_idle()
    assert not await is_found()
    assert await _visible_to(editor) == ["u3"]
    assert (await editor.documents("kb"))["a.txt"]["tags"] == ["薪酬", "人事"]
    # Read again, cut anew, shelved and taken up again, uploaded after a failure, the same bytes once more.
    body = {"knowledge_base_name": "kb", "file_names": ["a.txt"]}
    for path, more in (("update_docs", {"chunk_size": 100}), ("delete_docs", {}), ("update_docs", {})):
        assert (await editor.post(f"/knowledge_base/{path}", body | more)).status_code == 200
        await worker.run_until_idle()
        assert not await is_found()
        assert await _visible_to(editor) == ["u3"]
    await editor.ingest("kb", {"b.pdf": b"%PDF-1.4 nothing"}, visible_to="u3")
    await editor.ingest("kb", {"b.pdf": b"%PDF-1.4 nothing at all"}, override=True)
    assert await _visible_to(editor, "b.pdf") == ["u3"]
    await editor.ingest("kb", {"a.txt": b"other"}, override=True)
    assert await _visible_to(editor) == ["u3"]
    await editor.ingest("kb", {"a.txt": b"other"}, override=True, visible_to="null")
    assert await _visible_to(editor) is None
    assert await is_found()


async def test_what_is_decided_while_a_version_is_made_holds(
    editor: Caller, worker: Worker, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": SECRET.encode()})
    real = Versions.copy

    async def copy(self: Versions, document: Document, slot: Slot, chunking: dict[str, Any]) -> Document:
        made = await real(self, document, slot, chunking)
        change = {"knowledge_base_name": "kb", "file_name": "a.txt", "visible_to": [slot]}
        assert (await editor.post("/knowledge_base/update_document", change)).status_code == 200
        return made

    monkeypatch.setattr(Versions, "copy", copy)
    body = {"knowledge_base_name": "kb", "file_names": ["a.txt"], "chunk_size": 100}
    assert (await editor.post("/knowledge_base/update_docs", body)).status_code == 200
    await worker.run_until_idle()
    assert await _visible_to(editor) == ["next"]
    await _rebuild(services)
    await worker.run_until_idle()
    assert await _visible_to(editor) == ["rebuild"]


async def _rebuild(services: Services) -> None:
    """Under the same model, which is another to it."""
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase))).one()
    fingerprint = await services.embedders.fingerprint(await services.embedders.of(kb))
    rebuilds = Rebuilds(services.database, services.files, services.runtime)
    await rebuilds.begin(kb.id, kb.embed_model, fingerprint, Chunking(100, 0, False))


async def test_a_rebuild_keeps_what_is_said(
    callers: Callers, editor: Caller, services: Services, worker: Worker
) -> None:
    await editor.create_kb()
    labels = {"tags": "薪酬", "properties": json.dumps({"年": 2024}), "visible_to": "u2"}
    await editor.ingest("kb", {"a.txt": SECRET.encode()}, **labels)
    first = (await editor.documents("kb"))["a.txt"]["document_id"]
    await _rebuild(services)
    # While it is on its way somebody decides otherwise.
    change = {"knowledge_base_name": "kb", "file_name": "a.txt", "visible_to": ["u3"]}
    assert (await editor.post("/knowledge_base/update_document", change)).status_code == 200
    await worker.run_until_idle()
    row = (await editor.documents("kb"))["a.txt"]
    assert row["document_id"] != first
    assert (row["tags"], row["properties"], row["visible_to"]) == (["薪酬"], {"年": 2024}, ["u3"])
    assert await (await callers.user("acme", "u2")).search("kb", "年薪", top_k=3) == []
