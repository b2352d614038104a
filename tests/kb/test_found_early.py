"""A file is found by its words as soon as it is read, and by its meaning when it is embedded."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from server.core.clock import FrozenClock
from server.kb.models import Chunk, Document, DocumentTerms, Job
from server.kb.worker import Worker
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller
from tests.support.held import hold, working

SENSOR = "传感器-温度-TH01 的量程是零下四十度到八十五度。"


async def _upload(caller: Caller, **files: str) -> None:
    answer = await caller.upload(
        "kb", {f"{name}.txt": text.encode() for name, text in files.items()}, override=True
    )
    assert answer.status_code == 200, answer.text


async def _explain(caller: Caller, query: str, **fields: Any) -> dict[str, Any]:
    answer = await caller.post(
        "/knowledge_base/explain", {"knowledge_base_name": "kb", "query": query} | fields
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_found_by_words_then_by_meaning(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.ingest(
        "kb", {"假期.txt": "年假五天。".encode(), "出差.txt": "住宿标准每晚四百元。".encode()}
    )
    await _upload(editor, 设备=SENSOR)
    held = hold(worker, monkeypatch)
    async with working(worker) as running:
        await held.came.wait()
        row = (await editor.documents("kb"))["设备.txt"]
        assert (row["state"], row["found_by"], row["chunks"]) == ("embedding", ["words"], 1)
        (hit, *others) = await editor.search("kb", "TH01 的量程", top_k=3)
        assert hit["page_content"] == SENSOR
        assert len(others) == 2, "the others are found by meaning, as ever"
        assert 0 < hit["score"] <= 1, "that of passages in general, not of one that is near"
        assert hit["score"] >= min(other["score"] for other in others)
        # Not nearer than it can be known to be: a threshold below leaves it out.
        close = await editor.search("kb", "TH01 的量程", score_threshold=hit["score"] - 0.01)
        assert SENSOR not in [one["page_content"] for one in close]
        told = await _explain(editor, "TH01 的量程", expected={"file_name": "设备.txt"})
        (first, *_) = told["hits"]
        assert (first["embedded"], first["vector_rank"], first["word_rank"]) == (False, None, 1)
        assert told["expected"]["reason"] == "hit"
        assert "尚未向量化" in told["expected"]["message"]
        told = await _explain(editor, "TH01 的量程", score_threshold=0.01, expected={"file_name": "设备.txt"})
        assert told["expected"]["reason"] == "not_embedded"
        one = await editor.search("kb", "TH01 的量程", filters={"files": ["设备.txt"]})
        assert [found["page_content"] for found in one] == [SENSOR]
        assert SENSOR not in str(await editor.search("kb", "TH01", filters={"files": ["假期.txt"]}))
        held.go.set()
        await running
    row = (await editor.documents("kb"))["设备.txt"]
    assert (row["state"], row["found_by"]) == ("ready", ["words", "meaning"])
    (later, *_) = await editor.search("kb", "TH01 的量程", top_k=3)
    assert later["metadata"] == hit["metadata"], "the same passage"
    assert later["score"] < hit["score"]
    assert (await editor.search("kb", "温度探头能测多冷", top_k=1))[0]["page_content"] == SENSOR


async def test_the_first_file_of_all_is_found_too(
    callers: Callers, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no vector yet; and who may not see it does not find it."""
    reader = await callers.user("acme", "u1")
    await editor.create_kb()
    answer = await editor.upload("kb", {"设备.txt": SENSOR.encode()}, visible_to="u2")
    assert answer.status_code == 200
    held = hold(worker, monkeypatch)
    async with working(worker):
        await held.came.wait()
        assert [hit["page_content"] for hit in await editor.search("kb", "TH01")] == [SENSOR]
        assert await reader.search("kb", "TH01") == []
        held.go.set()


async def test_a_replacement_waits_for_the_switch(
    editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"设备.txt": SENSOR.encode()})
    await _upload(editor, 设备=SENSOR.replace("TH01", "TH02"))
    held = hold(worker, monkeypatch)
    async with working(worker) as running:
        await held.came.wait()
        assert [hit["page_content"] for hit in await editor.search("kb", "TH02")] == [SENSOR]
        rows = (await editor.get("/knowledge_base/documents", knowledge_base_name="kb")).json()["data"]
        assert [row["found_by"] for row in rows["items"]] == [["words", "meaning"], []]
        held.go.set()
        await running
    assert "TH02" in (await editor.search("kb", "TH02"))[0]["page_content"]


async def _end_before_vectors(editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker stores what a file says, and ends."""
    await editor.create_kb()
    await _upload(editor, 设备=SENSOR)
    with monkeypatch.context() as patch:
        held = hold(worker, patch)
        async with working(worker):
            await held.came.wait()


def _heir(services: Services, worker: Worker) -> Worker:
    """Another one, when the lease of the first has run out."""
    clock = FrozenClock(services.runtime.clock.now() + timedelta(minutes=1))
    return Worker(services.database, worker._ingest, services.settings.ingest, clock)


async def test_what_is_stored_is_gone_on_with(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that ends between the two commits: the next one embeds what there is, and does not read again."""
    await _end_before_vectors(editor, worker, monkeypatch)
    async with services.database.read() as session:
        before = list(await session.scalars(select(Chunk.id)))
    assert [hit["page_content"] for hit in await editor.search("kb", "TH01")] == [SENSOR]
    monkeypatch.setattr(worker._ingest, "_parser", None)
    assert await _heir(services, worker).step()
    async with services.database.read() as session:
        assert list(await session.scalars(select(Chunk.id))) == before
    row = (await editor.documents("kb"))["设备.txt"]
    assert (row["state"], row["found_by"], row["chunks"], row["chars"]) == (
        "ready",
        ["words", "meaning"],
        1,
        len(SENSOR),
    )


async def test_what_another_reading_would_say_is_read_again(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with passages that are not what the model would be given now."""
    await _end_before_vectors(editor, worker, monkeypatch)
    async with services.database.write() as session:
        await session.execute(update(Chunk).values(content_hash="0" * 64))
    assert await _heir(services, worker).step()
    assert (await editor.documents("kb"))["设备.txt"]["state"] == "ready"
    async with services.database.read() as session:
        assert len(list(await session.scalars(select(Chunk.id)))) == 1
        assert len(list(await session.scalars(select(DocumentTerms.document_id)))) == 1


async def test_cut_otherwise_while_it_is_embedded_again(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for its next try, found by its words, when somebody has all files cut otherwise."""
    await editor.create_kb()
    await _upload(editor, 设备=SENSOR * 3)
    with monkeypatch.context() as patch:
        held = hold(worker, patch)
        async with working(worker):
            await held.came.wait()
    async with services.database.write() as session:
        await session.execute(update(Document).values(state="embedding"))
        await session.execute(update(Job).values(state="waiting", lease_until=None))
    asking = asyncio.create_task(
        editor.post(
            "/knowledge_base/recreate_vector_store",
            {"knowledge_base_name": "kb", "chunk_size": 30, "chunk_overlap": 0},
        )
    )
    while (await editor.documents("kb"))["设备.txt"]["state"] == "embedding":
        await asyncio.sleep(0.02)
    assert await editor.search("kb", "TH01") == []
    await worker.run_until_idle()
    assert json.loads((await asking).text.splitlines()[-1])["code"] == 200
    assert (await editor.documents("kb"))["设备.txt"]["chunks"] == 3
