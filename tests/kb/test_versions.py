"""Earlier versions of files: kept, found by nothing, compared, restored, and gone with the file."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from sqlalchemy import select, update

from server.core.settings import Settings
from server.kb import (
    chunk_repository,
    document_repository,
    lexical_repository,
    retrieval_repository,
    slot_repository,
    version_repository,
)
from server.kb.filters import Filters
from server.kb.lexicon import token
from server.kb.models import Chunk, Document, DocumentTerms, KnowledgeBase, Slot
from server.kb.sweep import sweep
from server.kb.word_indexing import WordIndexing
from server.services import Services, open_services
from server.worker import open_worker
from tests.conftest import Callers, test_settings
from tests.support.api import Caller
from tests.support.moved import started
from tests.support.provider import KEY, Provider, provider_server

PATH = "/knowledge_base"
NAME = {"knowledge_base_name": "kb"}
FILE = NAME | {"file_name": "a.txt"}
ONE, TWO, THREE = "年假五天，须提前申请。", "病假三天，须有证明。", "婚假十天，须有证书。"


@pytest.fixture(scope="module")
def vendor() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, vendor: Provider) -> Settings:
    far = {
        "EMBEDDING__FAR__KIND": "openai",
        "EMBEDDING__FAR__MODEL": "vectors",
        "EMBEDDING__FAR__BASE_URL": vendor.openai,
        "EMBEDDING__FAR__API_KEY": KEY,
        "KB__KEEP_VERSIONS": "2",
    }
    return test_settings(settings.server.data_dir, settings.database_url, **far)


@pytest.fixture
async def filled(editor: Caller) -> None:
    """Two versions of one file."""
    await editor.create_kb()
    for text in (ONE, TWO):
        await editor.ingest("kb", {"a.txt": text.encode()}, override=True)


async def _versions(caller: Caller) -> list[dict[str, Any]]:
    answer = await caller.get(f"{PATH}/versions", **FILE)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _restore(caller: Caller, document_id: str) -> httpx2.Response:
    return await caller.post(f"{PATH}/restore_version", FILE | {"document_id": document_id})


async def _found(caller: Caller, question: str = "假") -> list[str]:
    return [hit["page_content"] for hit in await caller.search("kb", question, top_k=9, score_threshold=1)]


async def _kb(services: Services) -> KnowledgeBase:
    async with services.database.read() as session:
        return (await session.scalars(select(KnowledgeBase))).one()


async def _count(services: Services, table: type) -> int:
    async with services.database.read() as session:
        return len(list(await session.scalars(select(table))))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _embedded(vendor: Provider) -> list[str]:
    """Passages that the vendor was asked to embed since; it also gets questions and the probes of fingerprints."""
    texts = [text for call in vendor.asked("vectors") for text in call.body["input"]]
    return [text for text in texts if "规定了" in text or "新的一条" in text]


@pytest.mark.usefixtures("filled")
async def test_what_was_replaced_is_kept_and_told(editor: Caller, services: Services) -> None:
    current, earlier = await _versions(editor)
    assert (current["current"], current["state"], current["can_restore"]) == (True, "ready", False)
    assert (earlier["current"], earlier["state"], earlier["can_restore"]) == (False, "archived", True)
    assert earlier["chunking"]["chunk_method"] == "recursive"
    assert (current["sha256"], earlier["sha256"]) == (_sha256(TWO), _sha256(ONE))
    assert earlier["chunks"] == 1
    assert earlier["archive_time"] >= earlier["ready_time"]
    where = FILE | {"document_id": earlier["document_id"]}
    assert (await editor.get(f"{PATH}/download_doc", **where)).content == ONE.encode()
    assert (await editor.get(f"{PATH}/download_doc", **FILE)).content == TWO.encode()
    again = await editor.upload("kb", {"a.txt": TWO.encode()}, override=True)
    assert again.json()["data"]["documents"][0]["job_id"] is None, "the same bytes change nothing"
    assert len(await _versions(editor)) == 2
    await sweep(services.database, services.files, services.runtime.lanes)
    assert len(list(services.settings.server.data_dir.rglob("*.npy"))) == 2


@pytest.mark.usefixtures("filled")
async def test_nothing_finds_it(editor: Caller, services: Services) -> None:
    """Neither by words, by meaning, in lists, in counts, by filters nor by the id of a passage."""
    assert await _found(editor) == [TWO]
    assert await _found(editor, "年假须提前申请") == [TWO]
    kb = await _kb(services)
    async with services.database.read() as session:
        old = await session.scalar(select(Chunk).where(Chunk.text == ONE))
        live = await session.scalar(select(Document).where(Document.slot == Slot.LIVE))
        assert old is not None
        assert live is not None
        tokens = [token(kb.id, term) for term in ("年假", "病假")]
        found = await lexical_repository.look_up(session, tokens, 100)
        assert found[:, 0].tolist() == [1], "the text index has the searched version's words alone"
        assert await lexical_repository.load_passages(session, [old.id], None, "acme") == {}
        assert await lexical_repository.list_indexed(session, kb.id) == {live.id: live.segment}
        assert await chunk_repository.load_chunks(session, [old.id]) == {}
        assert await chunk_repository.find_same_chunk(session, kb.id, "a.txt", ONE) is None
        assert await chunk_repository.find_chunk_ids(session, kb, None, limit=9, chunk_id=old.id) == []
        assert await chunk_repository.find_chunk_ids(session, kb, None, limit=9, containing="年假") == []
        assert await document_repository.list_ready(session, kb.id) == {live.id}
        assert set(await document_repository.list_ready_segments(session, kb.id)) == {live.segment}
        assert await document_repository.filter_documents(
            session, kb.id, Filters(files=frozenset({"a.txt"}))
        ) == {live.id}
        assert await document_repository.count_files(session, kb.id, but="b.txt") == 1
        assert await document_repository.count_unread(session, kb, None) == 0
        assert set(await slot_repository.list_wanted(session, kb.id, Slot.LIVE)) == {live.segment}
        assert await slot_repository.count_vectors(session, kb.id) == 1
        sampled = await retrieval_repository.sample_chunks(session, kb.id, 9, 1)
        assert [one.text for one in sampled] == [TWO]
        assert (await document_repository.list_documents(session, kb, None))[1] == 1
    documents = (await editor.get(f"{PATH}/documents", **NAME)).json()["data"]
    assert (documents["total"], documents["items"][0]["document_id"]) == (1, live.id)
    assert (await editor.get(f"{PATH}/list_files", **NAME)).json()["data"] == ["a.txt"]
    told = (await editor.get(f"{PATH}/list_knowledge_bases_v2")).json()["data"]
    assert [row["file_count"] for row in told] == [1]
    jobs = (await editor.get("/jobs")).json()["data"]
    assert {job["document_id"] for job in jobs["items"]} == {live.id}
    passages = (await editor.get(f"{PATH}/passages", **FILE, near=old.id)).json()["data"]
    assert [row["text"] for row in passages["items"]] == [TWO]
    explained = await editor.post(
        f"{PATH}/explain", NAME | {"query": "年假五天", "expected": {"chunk_id": old.id}}
    )
    assert ONE not in explained.text
    async with services.database.write() as session:
        await session.execute(update(DocumentTerms).values(version=0))
    while await WordIndexing(services.database, services.runtime).step():
        pass
    async with services.database.read() as session:
        assert len(await lexical_repository.look_up(session, tokens, 100)) == 1


@pytest.mark.usefixtures("filled")
async def test_restoring_is_a_switch(editor: Caller, services: Services) -> None:
    assert await _found(editor) == [TWO]
    labelled = {"tags": ["人事"], "visible_to": ["boss"]}
    assert (await editor.post(f"{PATH}/update_document", FILE | labelled)).status_code == 200
    second, first = await _versions(editor)
    restored = await _restore(editor, first["document_id"])
    assert restored.status_code == 200, restored.text
    assert restored.json()["data"] == {
        "document_id": first["document_id"],
        "state": "ready",
        "job_id": None,
    }
    assert await _found(editor) == [ONE]
    assert await _found(editor, "年假") == [ONE]
    kb = await _kb(services)
    async with services.database.read() as session:
        tokens = [token(kb.id, term) for term in ("年假", "病假")]
        found = await lexical_repository.look_up(session, tokens, 100)
    assert found[:, 0].tolist() == [0]
    document = (await editor.documents("kb"))["a.txt"]
    assert (document["tags"], document["visible_to"]) == (["人事"], ["boss"]), "of the file, not of a version"
    current, earlier = await _versions(editor)
    assert (current["document_id"], earlier["document_id"]) == (first["document_id"], second["document_id"])
    assert (await _restore(editor, first["document_id"])).status_code == 200, "it is there already"
    assert (await _restore(editor, second["document_id"])).status_code == 200
    assert await _found(editor, "病假") == [TWO]
    assert (await editor.get(f"{PATH}/download_doc", **FILE)).content == TWO.encode()


@pytest.mark.usefixtures("filled")
@pytest.mark.one_database
async def test_refusals(editor: Caller, callers: Callers) -> None:
    _, first = await _versions(editor)
    await editor.ingest("kb", {"b.txt": b"other"})
    other = (await editor.documents("kb"))["b.txt"]["document_id"]
    for document_id in ("nothing", other):
        assert (await _restore(editor, document_id)).status_code == 404
        where = FILE | {"document_id": document_id}
        assert (await editor.get(f"{PATH}/download_doc", **where)).status_code == 404
        where = FILE | {"old": first["document_id"], "new": document_id}
        assert (await editor.get(f"{PATH}/compare_versions", **where)).status_code == 404
    assert (await editor.get(f"{PATH}/versions", **NAME, file_name="c.txt")).status_code == 404
    reader = await callers.user("acme", "u9")
    where = FILE | {"document_id": first["document_id"]}
    assert (await reader.get(f"{PATH}/download_doc", **where)).status_code == 403
    await editor.upload("kb", {"a.txt": THREE.encode()}, override=True)
    busy = await _restore(editor, first["document_id"])
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "in_progress")
    pending, *_ = versions = await _versions(editor)
    assert [row["state"] for row in versions] == ["waiting", "ready", "archived"]
    where = FILE | {"old": first["document_id"], "new": pending["document_id"]}
    unread = await editor.get(f"{PATH}/compare_versions", **where)
    assert (unread.status_code, unread.json()["error"]["code"]) == (409, "not_read")


@pytest.mark.one_database
async def test_a_replacement_that_failed_makes_room_for_a_version(editor: Caller) -> None:
    await editor.create_kb()
    for text in ('{"x": "年假五天"}', '{"x": "病假三天"}', "{oops"):
        await editor.ingest("kb", {"a.json": text.encode()}, override=True)
    where = NAME | {"file_name": "a.json"}
    rows = (await editor.get(f"{PATH}/versions", **where)).json()["data"]
    assert [row["state"] for row in rows] == ["failed", "ready", "archived"]
    restored = await editor.post(f"{PATH}/restore_version", where | {"document_id": rows[2]["document_id"]})
    assert restored.status_code == 200, restored.text
    rows = (await editor.get(f"{PATH}/versions", **where)).json()["data"]
    assert [row["state"] for row in rows] == ["ready", "archived"]


@pytest.mark.one_database
async def test_a_version_is_deleted_and_the_file_stays(editor: Caller, services: Services) -> None:
    await editor.create_kb()
    for text in ('{"x": "年假五天"}', '{"x": "病假三天"}', "{oops"):
        await editor.ingest("kb", {"a.json": text.encode()}, override=True)
    where = NAME | {"file_name": "a.json"}
    failed, current, old = (await editor.get(f"{PATH}/versions", **where)).json()["data"]
    answer = await editor.post(f"{PATH}/delete_version", where | {"document_id": current["document_id"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "current_version")
    for one in (failed, old):
        answer = await editor.post(f"{PATH}/delete_version", where | {"document_id": one["document_id"]})
        assert answer.status_code == 200, answer.text
        assert not list(services.settings.server.data_dir.rglob(f"{one['document_id']}*")), "nor its bytes"
        answer = await editor.post(f"{PATH}/delete_version", where | {"document_id": one["document_id"]})
        assert answer.status_code == 404
    (left,) = (await editor.get(f"{PATH}/versions", **where)).json()["data"]
    assert left["document_id"] == current["document_id"]
    assert [hit["metadata"]["source"] for hit in await editor.search("kb", "病假")] == ["a.json"]


@pytest.mark.one_database
async def test_the_searched_bytes_again_put_a_failed_replacement_away(editor: Caller) -> None:
    await editor.create_kb()
    good = '{"x": "年假五天"}'.encode()
    for data in (good, b"{oops", good):
        await editor.ingest("kb", {"a.json": data}, override=True)
    answer = await editor.get(f"{PATH}/documents", **NAME)
    assert [row["state"] for row in answer.json()["data"]["items"]] == ["ready"]
    for data, words in ((good, "内容相同"), ('{"x": "年假六天"}'.encode(), "override=true")):
        told = (await editor.upload("kb", {"a.json": data})).json()
        assert words in str(told)


async def test_as_many_are_kept_as_the_setting_says(editor: Caller, services: Services) -> None:
    await editor.create_kb()
    for number in range(5):
        await editor.ingest("kb", {"a.txt": f"第{number}版。".encode()}, override=True)
    kept = [row["sha256"] for row in await _versions(editor)]
    assert kept == [_sha256(f"第{number}版。") for number in (4, 3, 2)]
    folder = services.settings.server.data_dir
    assert len(list(folder.rglob("content/*"))) == len(list(folder.rglob("*.npy"))) == 3
    fewer = test_settings(folder, services.settings.database_url, KB__KEEP_VERSIONS="1")
    async with open_services(fewer) as less:
        assert await less.history.tidy() == 1
    assert [row["sha256"] for row in await _versions(editor)] == kept[:2]
    assert len(list(folder.rglob("content/*"))) == 2


@pytest.mark.one_database
async def test_none_are_kept_where_none_are_wanted(editor: Caller, services: Services) -> None:
    await editor.create_kb()
    none = test_settings(
        services.settings.server.data_dir, services.settings.database_url, KB__KEEP_VERSIONS="0"
    )
    async with open_services(none) as least, open_worker(least) as worker:
        for text in (ONE, TWO):
            await editor.upload("kb", {"a.txt": text.encode()}, override=True)
            await worker.run_until_idle()
    assert [row["current"] for row in await _versions(editor)] == [True]
    assert len(list(services.settings.server.data_dir.rglob("content/*"))) == 1


async def test_comparing(editor: Caller) -> None:
    await editor.create_kb(chunk_size=20, chunk_overlap=0)
    rows = [f"第{number}条规定了第{number}件事。\n\n" for number in range(30)]
    changed = [rows[20], *rows[:7], "新的一条在这里。\n\n", *rows[8:20], *rows[21:], rows[3]]
    for text in (rows, changed):
        await editor.ingest("kb", {"a.txt": "".join(text).encode()}, override=True)
    new, old = await _versions(editor)
    where = FILE | {"old": old["document_id"]}
    found = (await editor.get(f"{PATH}/compare_versions", **where)).json()["data"]
    assert found["unchanged"] == 29, "one moved"
    assert [row["text"] for row in found["added"]] == ["新的一条在这里。", rows[3].strip()]
    assert [row["text"] for row in found["removed"]] == [rows[7].strip()]
    assert (found["added_total"], found["removed_total"]) == (2, 1)
    back = FILE | {"old": new["document_id"], "new": old["document_id"], "limit": 1}
    found = (await editor.get(f"{PATH}/compare_versions", **back)).json()["data"]
    assert (len(found["added"]), len(found["removed"]), found["removed_total"]) == (1, 1, 2)


@pytest.mark.usefixtures("filled")
@pytest.mark.one_database
async def test_deleting_a_file_deletes_them_and_their_bytes(editor: Caller, services: Services) -> None:
    body: dict[str, Any] = NAME | {"file_names": ["a.txt"]}
    assert (await editor.post(f"{PATH}/delete_docs", body)).status_code == 200
    stored, earlier = await _versions(editor)
    assert (stored["state"], earlier["can_restore"]) == ("stored", True)
    assert (await _restore(editor, earlier["document_id"])).json()["data"]["state"] == "ready"
    assert await _found(editor) == [ONE]
    _, earlier = await _versions(editor)
    restored = await _restore(editor, earlier["document_id"])
    assert restored.json()["data"]["state"] == "waiting", "what was taken out of search has no vectors"
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert await _found(editor) == [TWO]
    body["delete_content"] = True
    assert (await editor.post(f"{PATH}/delete_docs", body)).status_code == 200
    assert (await editor.get(f"{PATH}/versions", **FILE)).status_code == 404
    folder = services.settings.server.data_dir
    assert [*folder.rglob("content/*"), *folder.rglob("*.npy"), *folder.rglob("orphans/*")] == []
    async with services.database.read() as session:
        assert list(await session.scalars(select(Document.id))) == []
        assert list(await session.scalars(select(Chunk.id))) == []


@pytest.mark.usefixtures("filled")
@pytest.mark.one_database
async def test_damaged_vectors_are_made_again_and_lost_bytes_are_told(
    editor: Caller, services: Services
) -> None:
    _, first = await _versions(editor)
    (segment,) = services.settings.server.data_dir.rglob(f"{first['document_id']}.*.npy")
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    restored = await _restore(editor, first["document_id"])
    assert restored.json()["data"]["state"] == "waiting"
    assert await _found(editor) == [TWO], "until the other is ready"
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert await _found(editor) == [ONE]
    _, second = await _versions(editor)
    (content,) = services.settings.server.data_dir.rglob(f"content/{second['document_id']}.txt")
    content.unlink()
    assert (await _versions(editor))[1]["can_restore"] is False
    gone = await _restore(editor, second["document_id"])
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "document_not_found")


async def test_only_what_changed_is_embedded(editor: Caller, vendor: Provider) -> None:
    """Also what an earlier version has, and nothing when one is restored; the old version is searched until the switch."""
    vendor.calls.clear()
    await editor.create_kb(embed_model="far", chunk_size=20, chunk_overlap=0)
    rows = [f"第{number}条规定了第{number}件事。\n\n" for number in range(9)]
    await editor.ingest("kb", {"a.txt": "".join(rows).encode()})
    assert len(_embedded(vendor)) == 9
    vendor.calls.clear()
    answer = await editor.upload(
        "kb", {"a.txt": "".join([*rows[:5], "新的一条。\n\n"]).encode()}, override=True
    )
    assert answer.status_code == 200
    before = await editor.search("kb", "第8条", top_k=9, score_threshold=1)
    assert len((await editor.get(f"{PATH}/passages", **FILE)).json()["data"]["items"]) == 9
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    (fresh,) = _embedded(vendor)
    assert "新的一条" in fresh
    assert before is not None
    vendor.calls.clear()
    await editor.ingest("kb", {"a.txt": "".join(rows[3:]).encode()}, override=True)
    assert _embedded(vendor) == [], "rows 5 to 8 come from the archived version"
    *_, first = await _versions(editor)
    assert (await _restore(editor, first["document_id"])).json()["data"]["state"] == "ready"
    assert _embedded(vendor) == []
    assert len((await editor.get(f"{PATH}/passages", **FILE)).json()["data"]["items"]) == 9


@pytest.mark.usefixtures("filled")
@pytest.mark.one_database
async def test_after_a_change_of_the_model_it_is_read_again(editor: Caller, services: Services) -> None:
    recreate = asyncio.create_task(
        editor.post(f"{PATH}/recreate_vector_store", NAME | {"embed_model": "far"})
    )
    assert editor.worker is not None
    while not recreate.done():
        await editor.worker.run_until_idle()
        hits, _ = await services.kb.search_in(await _kb(services), "病假", viewer=None, top_k=9, threshold=4)
        assert [hit.text for hit in hits] == [TWO], "no gap"
        await asyncio.sleep(0.01)
    current, first = await _versions(editor)
    assert (current["sha256"], first["sha256"]) == (_sha256(TWO), _sha256(ONE)), "no version of its own"
    folder = services.settings.server.data_dir
    assert [path.parent.name for path in folder.rglob("*.npy")] == ["far"]
    assert (await _restore(editor, first["document_id"])).json()["data"]["state"] == "waiting"
    assert (await editor.get(f"{PATH}/passages", **FILE)).json()["data"]["items"][0]["text"] == TWO
    assert [row["state"] for row in await _versions(editor)] == ["waiting", "ready"]
    await editor.worker.run_until_idle()
    assert (await editor.get(f"{PATH}/passages", **FILE)).json()["data"]["items"][0]["text"] == ONE
    restored, earlier = await _versions(editor)
    assert (restored["document_id"], earlier["sha256"]) == (first["document_id"], _sha256(TWO))
    kb = await _kb(services)
    async with services.database.read() as session:
        tokens = [token(kb.id, term) for term in ("年假", "病假")]
        assert (await lexical_repository.look_up(session, tokens, 100))[:, 0].tolist() == [0]


@pytest.mark.usefixtures("filled")
@pytest.mark.one_database
async def test_restored_while_the_model_changes(editor: Caller, services: Services) -> None:
    """What is searched when all are ready is the restored version, under the new model."""
    recreate = asyncio.create_task(
        editor.post(f"{PATH}/recreate_vector_store", NAME | {"embed_model": "far"})
    )
    assert editor.worker is not None
    while await _count(services, Document) < 3:
        await asyncio.sleep(0.01)
    _, first = await _versions(editor)
    assert (await _restore(editor, first["document_id"])).json()["data"]["state"] == "ready"
    assert await _found(editor) == [ONE]
    while not recreate.done():
        await editor.worker.run_until_idle()
        await asyncio.sleep(0.01)
    kb = await _kb(services)
    assert (kb.embed_model, kb.rebuild) == ("far", None)
    hits, _ = await services.kb.search_in(kb, "年假", viewer=None, top_k=9, threshold=4)
    assert [hit.text for hit in hits] == [ONE]
    assert [row["sha256"] for row in await _versions(editor)] == [_sha256(ONE), _sha256(TWO)]
    folder = services.settings.server.data_dir
    assert [path.parent.name for path in folder.rglob("*.npy")] == ["far"]


@pytest.mark.one_database
async def test_given_passages_are_a_version_and_a_mere_rereading_is_none(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": ONE.encode()})
    assert editor.worker is not None
    body = NAME | {"file_names": ["a.txt"], "chunk_size": 20, "chunk_overlap": 0}
    assert (await editor.post(f"{PATH}/update_docs", body)).status_code == 200
    await editor.worker.run_until_idle()
    assert len(await _versions(editor)) == 1
    docs = json.dumps({"a.txt": [{"page_content": "试用期三个月。"}]})
    assert (
        await editor.post(f"{PATH}/update_docs", NAME | {"file_names": [], "docs": docs})
    ).status_code == 200
    await editor.worker.run_until_idle()
    given, plain = await _versions(editor)
    assert (given["custom_docs"], plain["custom_docs"]) == (True, False)
    await _restore(editor, plain["document_id"])
    assert await _found(editor) == [ONE]
    await _restore(editor, given["document_id"])
    assert await _found(editor) == ["试用期三个月。"]
    body = NAME | {"file_names": ["a.txt"], "override_custom_docs": False}
    assert (await editor.post(f"{PATH}/update_docs", body)).status_code == 200
    assert len(await _versions(editor)) == 2


@pytest.mark.one_database
async def test_files_of_conversations_keep_none(reader: Caller, services: Services) -> None:
    session_id = "a" * 32
    saved = {"session_id": session_id, "session_name": "附件", "mode": "LLM"}
    assert (await reader.post("/session/save", saved)).status_code == 200
    assert reader.worker is not None
    for text in (ONE, TWO):
        parts = [("files", ("a.txt", text.encode()))]
        form = {"session_id": session_id}
        assert (await reader.http.post("/session/files", data=form, files=parts)).status_code == 202
        await reader.worker.run_until_idle()
    async with services.database.read() as session:
        assert [row.sha256 for row in await session.scalars(select(Document))] == [_sha256(TWO)]
    assert len(list(services.settings.server.data_dir.rglob("content/*"))) == 1


@pytest.mark.one_database
async def test_moving_the_data_folder_breaks_nothing(
    settings: Settings, tmp_path: Path, database_url: str
) -> None:
    """Stop, move, start with another path: search, download and restore."""

    async with started(settings) as editor:
        await editor.create_kb()
        for text in (ONE, TWO):
            await editor.ingest("kb", {"a.txt": text.encode()}, override=True)
        key = editor.http.headers["authorization"]
    elsewhere = tmp_path / "elsewhere" / "数据"
    elsewhere.parent.mkdir()
    shutil.move(settings.server.data_dir, elsewhere)
    moved = test_settings(elsewhere, database_url)
    async with started(moved, key) as editor:
        assert await _found(editor) == [TWO]
        assert (await editor.get(f"{PATH}/download_doc", **FILE)).content == TWO.encode()
        _, first = await _versions(editor)
        assert (await _restore(editor, first["document_id"])).json()["data"]["state"] == "ready"
        assert await _found(editor) == [ONE]
        await editor.ingest("kb", {"a.txt": THREE.encode()}, override=True)
        assert await _found(editor) == [THREE]
    assert not settings.server.data_dir.exists()


@pytest.mark.usefixtures("filled")
@pytest.mark.one_database
async def test_searching_while_versions_are_exchanged(editor: Caller) -> None:
    """One of the two at every moment, never none and never both."""
    second, first = await _versions(editor)
    done = asyncio.Event()

    async def exchange() -> None:
        for number in range(6):
            wanted = first if number % 2 == 0 else second
            assert (await _restore(editor, wanted["document_id"])).status_code == 200
        done.set()

    exchanging = asyncio.create_task(exchange())
    while not done.is_set() and not exchanging.done():
        assert await _found(editor, "须") in ([ONE], [TWO])
    await exchanging


async def test_passages_are_walked_in_portions(
    services: Services, editor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_repository, "_AT_ONCE", 4)
    await editor.create_kb(chunk_size=20, chunk_overlap=0)
    text = "".join(f"第{number}条规定了第{number}件事。\n\n" for number in range(9))
    await editor.ingest("kb", {"a.txt": text.encode()})
    async with services.database.read() as session:
        document = (await session.scalars(select(Document))).one()
        portions = [rows async for rows in version_repository.walk_texts(session, document.id)]
    assert [len(rows) for rows in portions] == [4, 4, 1]
    assert np.concatenate([[row[0] for row in rows] for rows in portions]).tolist() == list(range(9))


async def _restored_without_vectors(editor: Caller, services: Services, *texts: str) -> str:
    """The first of these versions is restored, and must be read again; returns its id. The worker is not asked to."""
    await editor.create_kb()
    for text in texts:
        await editor.ingest("kb", {"a.txt": text.encode()}, override=True)
    rows = (await editor.get(f"{PATH}/versions", **FILE)).json()["data"]
    first = rows[-1]["document_id"]
    for path in services.settings.server.data_dir.glob(f"kb_*/vector_store/*/{first}.*"):
        path.unlink()
    assert (await _restore(editor, first)).status_code == 200
    return first


async def _states(editor: Caller) -> dict[str, str]:
    rows = (await editor.get(f"{PATH}/versions", **FILE)).json()["data"]
    return {row["document_id"]: row["state"] for row in rows}


@pytest.mark.one_database
async def test_a_restore_that_is_cancelled_leaves_the_version_where_it_was(
    editor: Caller, services: Services
) -> None:
    first = await _restored_without_vectors(editor, services, ONE, TWO)
    (job,) = (await editor.get("/jobs", **NAME, state="open")).json()["data"]["items"]
    cancelled = await editor.post(f"/jobs/{job['job_id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["data"]["error_code"]) == (200, "cancelled")
    assert sorted((await _states(editor)).values()) == ["archived", "ready"]
    assert (await _restore(editor, first)).status_code == 200
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert (await _states(editor))[first] == "ready"


@pytest.mark.one_database
async def test_a_restore_that_failed_is_not_lost_to_the_next_upload(
    editor: Caller, services: Services
) -> None:
    first = await _restored_without_vectors(editor, services, ONE, TWO)
    async with services.database.write() as session:
        await session.execute(update(Document).where(Document.id == first).values(state="failed"))
    await editor.ingest("kb", {"a.txt": "婚假十天。".encode()}, override=True)
    states = await _states(editor)
    assert states[first] == "archived"
    assert sorted(states.values()) == ["archived", "archived", "ready"]


@pytest.mark.one_database
async def test_the_same_bytes_restored_are_a_version_of_their_own(editor: Caller, services: Services) -> None:
    """Each may have changes of people."""
    await _restored_without_vectors(editor, services, ONE, TWO, ONE)
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert sorted((await _states(editor)).values()) == ["archived", "archived", "ready"]


@pytest.mark.one_database
async def test_a_restore_whose_worker_was_killed_is_found_by_words_too(
    editor: Caller, services: Services
) -> None:
    first = await _restored_without_vectors(editor, services, ONE, TWO)
    async with services.database.write() as session:
        await session.execute(update(Document).where(Document.id == first).values(state="embedding"))
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    async with services.database.read() as session:
        tokens = list(await session.scalars(select(Chunk.tokens).where(Chunk.document_id == first)))
    assert tokens
    assert all(tokens)


@pytest.mark.one_database
async def test_what_people_changed_outlives_an_upload_over_a_file_that_lost_its_vectors(
    editor: Caller, services: Services
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": ONE.encode()})
    (chunk,) = (await editor.get(f"{PATH}/chunks", **FILE)).json()["data"]["items"]
    changed = {"knowledge_base_name": "kb", "chunk_id": chunk["chunk_id"], "text": "年假九天。"}
    assert (await editor.post(f"{PATH}/update_chunk", changed)).status_code == 200
    async with services.database.write() as session:
        await session.execute(update(Document).values(state="failed", error_code="segment_lost"))
    await editor.ingest("kb", {"a.txt": ONE.encode()}, override=True)
    assert await _found(editor, "年假") == ["年假九天。"]
