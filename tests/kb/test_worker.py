"""The worker: every uploaded document comes to an end that people can read, whatever happens to a worker."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from server.core.clock import FrozenClock
from server.core.errors import Deadlock, EmbeddingUnavailable, Overtaken
from server.core.i18n import Text
from server.db.sqlite import database_busy
from server.kb import job_repository
from server.kb.ingest import Ingest, LeaseLost, Work
from server.kb.loaders.base import LoadError
from server.kb.models import Chunk, Document, Job, KnowledgeBase
from server.kb.vectorstores.faiss import FaissIndex
from server.kb.worker import Worker
from server.services import Services, open_services
from server.worker import open_worker
from tests.support.api import Caller


class Scripted(Ingest):
    """An ingestion that fails as it is told, then does what it always does."""

    def __init__(self, real: Ingest, *faults: BaseException | None) -> None:
        self.real, self.faults, self.ran = real, list(faults), 0
        self._files, self._lanes = real._files, real._lanes

    async def run(self, work: Work, progress, pages=None) -> None:
        self.ran += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        await self.real.run(work, progress, pages)


async def _rows(services: Services) -> tuple[Document, Job]:
    async with services.database.read() as session:
        return (await session.scalars(select(Document))).one(), (await session.scalars(select(Job))).one()


@pytest.fixture
async def uploaded(editor: Caller) -> None:
    await editor.create_kb()
    answer = await editor.upload("kb", {"a.txt": "年假五天。".encode()})
    assert answer.status_code == 200


def _worker(
    services: Services, worker: Worker, clock: FrozenClock, *faults: BaseException | None
) -> tuple[Worker, Scripted]:
    ingest = Scripted(worker._ingest, *faults)
    return Worker(services.database, ingest, services.settings.ingest, clock), ingest


@pytest.fixture
def clock(services: Services) -> FrozenClock:
    return FrozenClock(services.runtime.clock.now() + timedelta(minutes=1))


async def test_a_passing_fault_is_tried_again_after_a_pause(
    services: Services, uploaded, worker: Worker, clock: FrozenClock
) -> None:
    busy = EmbeddingUnavailable(Text("忙", "busy"), retry_after=5)
    scripted, ingest = _worker(services, worker, clock, busy)
    assert await scripted.step()
    document, job = await _rows(services)
    assert (document.state, job.state, job.attempts) == ("waiting", "waiting", 1)
    assert not await scripted.step(), "not before its time"
    clock.at += timedelta(seconds=6)
    assert await scripted.step()
    document, job = await _rows(services)
    assert (document.state, job.state, job.attempts, ingest.ran) == ("ready", "done", 2, 2)


async def test_the_last_try_leaves_a_reason_for_people(
    services: Services, uploaded, worker: Worker, clock: FrozenClock, editor: Caller
) -> None:
    busy = EmbeddingUnavailable(Text("向量服务忙", "the service is busy"), retry_after=5)
    scripted, ingest = _worker(services, worker, clock, busy, busy, busy, busy)
    for _ in range(5):
        await scripted.step()
        clock.at += timedelta(minutes=1)
    assert ingest.ran == services.settings.ingest.attempts == 3
    document = (await editor.documents("kb"))["a.txt"]
    assert (document["state"], document["error_code"], document["reason"]) == (
        "failed",
        "embedding_unavailable",
        "向量服务忙",
    )
    english = await editor.http.get(
        "/knowledge_base/documents", params={"knowledge_base_name": "kb"}, headers={"Accept-Language": "en"}
    )
    assert english.json()["data"]["items"][0]["reason"] == "the service is busy"


async def test_what_will_never_work_is_not_tried_again(
    services: Services, uploaded, worker: Worker, clock: FrozenClock
) -> None:
    scripted, ingest = _worker(services, worker, clock, LoadError("encrypted", "已加密", "encrypted"))
    await scripted.run_until_idle()
    clock.at += timedelta(hours=1)
    await scripted.run_until_idle()
    document, job = await _rows(services)
    assert (document.state, document.error_code, job.state, ingest.ran) == (
        "failed",
        "encrypted",
        "failed",
        1,
    )


async def test_a_bug_is_tried_again_and_never_shown(
    services: Services, uploaded, worker: Worker, clock: FrozenClock, editor: Caller
) -> None:
    bug = RuntimeError("secret path /root/x")
    scripted, _ = _worker(services, worker, clock, bug, bug, bug)
    for _ in range(3):
        await scripted.step()
        clock.at += timedelta(minutes=1)
    document = (await editor.documents("kb"))["a.txt"]
    assert (document["state"], document["error_code"]) == ("failed", "internal_error")
    assert "root" not in str(document)


async def test_a_dead_workers_document_is_taken_by_another(
    services: Services, uploaded, worker: Worker, clock: FrozenClock
) -> None:
    dead = Worker(services.database, worker._ingest, services.settings.ingest, clock)
    dead.owner = "elsewhere:1"
    work = await dead._claim()
    assert work is not None
    alive, _ = _worker(services, worker, clock)
    assert not await alive.step(), "the lease still runs"
    clock.at += timedelta(seconds=31)
    assert await alive.step()
    document, job = await _rows(services)
    assert (document.state, job.attempts) == ("ready", 2)
    # The dead one was only asleep: it must not publish over its successor, and leaves nothing behind.
    with pytest.raises(LeaseLost):
        await worker._ingest.run(work, lambda done, total: dead._report(work, done, total))
    async with services.database.read() as session:
        assert len(list(await session.scalars(select(Chunk)))) == 1
    (kb,) = (path for path in services.settings.server.data_dir.iterdir() if path.name.startswith("kb_"))
    assert [path.name for path in (kb / "vector_store" / "e5-small").iterdir()] == [document.segment]


async def test_a_document_that_kills_its_workers_is_given_up(
    services: Services, uploaded, worker: Worker, clock: FrozenClock, editor: Caller
) -> None:
    for _ in range(services.settings.ingest.attempts):
        assert (
            await Worker(services.database, worker._ingest, services.settings.ingest, clock)._claim()
            is not None
        )
        clock.at += timedelta(seconds=31)
    scripted, ingest = _worker(services, worker, clock)
    assert not await scripted.step()
    assert ingest.ran == 0
    document = (await editor.documents("kb"))["a.txt"]
    assert (document["state"], document["error_code"]) == ("failed", "worker_died")


async def test_two_workers_never_take_the_same_job(
    services: Services, editor: Caller, worker: Worker
) -> None:
    await editor.create_kb()
    await editor.upload("kb", {f"{n}.txt": f"第{n}条。".encode() for n in range(8)})
    workers = [
        Worker(services.database, worker._ingest, services.settings.ingest, services.runtime.clock)
        for _ in range(4)
    ]
    taken = [
        work.job_id
        for work in await asyncio.gather(*(one._claim() for one in workers for _ in range(2)))
        if work
    ]
    while (work := await workers[0]._claim()) is not None:
        taken.append(work.job_id)
    assert len(taken) == len(set(taken)) == 8


async def test_a_worker_that_others_are_in_the_way_of_looks_again(
    editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": "年假五天。".encode()})
    real, refused = job_repository.claim_job, 3

    async def in_the_way(*args: Any) -> Any:
        nonlocal refused
        job = await real(*args)
        refused -= 1
        if refused >= 0:
            raise Deadlock(database_busy().text)
        return job

    monkeypatch.setattr(job_repository, "claim_job", in_the_way)
    work = await worker._claim()
    assert work is not None
    assert work.attempt == 1
    refused = 100
    with pytest.raises(Deadlock):
        await worker._claim()


@pytest.mark.one_database
async def test_a_long_document_keeps_its_lease_and_shows_progress(
    services: Services, editor: Caller, worker: Worker
) -> None:
    await editor.create_kb()
    text = "".join(f"第{n}条规定了第{n}件事情，凡是第{n}类的员工都要遵守，不得有误。" for n in range(290))
    answer = await editor.upload("kb", {"long.txt": text.encode()})
    job_id = answer.json()["data"]["documents"][0]["job_id"]
    running = asyncio.ensure_future(worker.step())
    seen: list[dict] = []
    while not running.done():
        seen.append((await editor.get(f"/jobs/{job_id}")).json()["data"])
        await asyncio.sleep(0.05)
    await running
    final = (await editor.get(f"/jobs/{job_id}")).json()["data"]
    assert (final["state"], final["stage"], final["percent"]) == ("done", "ready", 100)
    assert final["done"] == final["total"] > 50
    stages = list(dict.fromkeys(item["stage"] for item in seen))
    assert stages == [stage for stage in ("waiting", "parsing", "embedding", "ready") if stage in stages]
    assert "embedding" in stages
    shares = [item["percent"] for item in seen]
    assert shares == sorted(shares)
    assert len(set(shares)) >= 3


async def test_deleting_a_document_in_work_leaves_nothing_behind(
    services: Services, editor: Caller, worker: Worker
) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": ("年假五天。" * 2000).encode()})
    work = await worker._claim()
    assert work is not None
    answer = await editor.post(
        "/knowledge_base/delete_docs",
        {"knowledge_base_name": "kb", "file_names": ["a.txt"], "delete_content": True},
    )
    assert answer.status_code == 200
    with pytest.raises((LeaseLost, LoadError)):
        await worker._ingest.run(work, lambda done, total: worker._report(work, done, total))
    assert await editor.documents("kb") == {}
    assert [path for path in _kb_folder(services).rglob("*") if path.is_file()] == []


@pytest.fixture
async def calls(services: Services, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the model was given, call by call."""
    embedder = await services.embedders.get("e5-small")
    real, calls = embedder.embed_passages, list[list[str]]()

    def watched(texts):
        calls.append(list(texts))
        return real(texts)

    monkeypatch.setattr(embedder, "embed_passages", watched)
    return calls


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "wide.csv",
            ",".join(f"列{n}" for n in range(500)) + "\n" + ",".join(f"值{n}" for n in range(500)),
        ),
        ("long.json", '[{"正文": "' + "".join(f"第{n}句话。" for n in range(700)) + '"}]'),
    ],
)
async def test_one_huge_record_is_embedded_in_small_steps(
    editor: Caller, calls: list[list[str]], name: str, data: str
) -> None:
    await editor.create_kb()
    documents = await editor.ingest("kb", {name: data.encode()})
    assert documents[name]["state"] == "ready"
    assert documents[name]["chunks"] > 20
    assert len(calls) > 2
    assert max(sum(map(len, texts)) for texts in calls) <= 3000


async def test_a_worker_notices_between_two_steps_that_the_knowledge_base_is_gone(
    services: Services, editor: Caller, worker: Worker, calls: list[list[str]]
) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": "".join(f"第{n}条规定了一件事。" for n in range(2000)).encode()})
    running = asyncio.ensure_future(worker.step())
    while not calls:
        await asyncio.sleep(0.01)
    answer = await editor.http.post("/knowledge_base/delete_knowledge_base", json="kb")
    assert answer.status_code == 200
    await running
    assert len(calls) <= 2
    assert list(services.settings.server.data_dir.glob("kb_*")) == []


@pytest.mark.parametrize("vanished", ["before the segment is written", "before it is published"])
async def test_a_knowledge_base_deleted_at_the_last_moment_leaves_no_folder(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch, vanished: str
) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": "年假五天。".encode()})
    ingest, real = worker._ingest, worker._ingest._publish

    async def late(*args):
        assert (await editor.http.post("/knowledge_base/delete_knowledge_base", json="kb")).status_code == 200
        if vanished == "before the segment is written":
            raise FileNotFoundError("the folder went while the segment was renamed")
        return await real(*args)

    monkeypatch.setattr(ingest, "_publish", late)
    assert await worker.step()
    assert list(services.settings.server.data_dir.glob("kb_*")) == []


async def test_unchanged_passages_are_not_embedded_again(
    services: Services, editor: Caller, worker: Worker
) -> None:
    """Counted at the model itself."""
    await editor.create_kb()
    lines = [f"第{n}条：" + f"这里写着第{n}条规定的全部内容，足够长，自成一段。" * 4 for n in range(30)]
    await editor.ingest("kb", {"a.txt": "\n\n".join(lines).encode()}, chunk_size=120, chunk_overlap=0)
    embedder = await services.embedders.get("e5-small")
    counted: list[int] = []
    real = embedder.embed_passages

    def counting(texts):
        counted.append(len(texts))
        return real(texts)

    embedder.embed_passages = counting  # type: ignore[method-assign]
    lines[7] = "第7条：完全改写了，现在说的是别的事情，请注意。" * 4
    await editor.ingest(
        "kb", {"a.txt": "\n\n".join(lines).encode()}, chunk_size=120, chunk_overlap=0, override=True
    )
    async with services.database.read() as session:
        total = len(list(await session.scalars(select(Chunk.id))))
    assert 0 < sum(counted) <= 3 < total
    (hit, *_) = await editor.search("kb", "第12条规定", top_k=1)
    assert hit["page_content"] in "\n\n".join(lines)


async def test_equal_passages_are_embedded_once(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    documents = await editor.ingest("kb", {"a.csv": ("问题,回答\n" + "年假几天,五天\n" * 40).encode()})
    assert documents["a.csv"]["chunks"] == 40
    (hit,) = await editor.search("kb", "年假", top_k=50)  # who reads it forty times knows no more
    assert hit["page_content"] == "问题: 年假几天\n回答: 五天"


async def test_a_damaged_segment_is_embedded_again(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    for path in _kb_folder(services).rglob("*.npy"):
        path.write_bytes(b"garbage")
    documents = await editor.ingest(
        "kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()}, chunk_size=251, override=True
    )
    assert {document["state"] for document in documents.values()} == {"ready"}
    assert [hit["page_content"] for hit in await editor.search("kb", "年假", top_k=1)] == ["年假五天。"]


def _damage(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["gone", "flipped"])
async def test_a_lost_segment_is_made_again(
    services: Services, settings, editor: Caller, worker: Worker, how: str
) -> None:
    """Several processes notice at once, one job comes of it; the document's passages stay listed meanwhile."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()})
    (first,) = [p for p in _kb_folder(services).rglob("*.npy") if await _owner(services, p) == "a.txt"]
    _damage(first, how)
    async with open_services(settings) as one, open_services(settings) as two:
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        found = await asyncio.gather(
            *(each.kb.search_in(kb, "假", viewer=None, top_k=5, threshold=2.0) for each in (one, two))
        )
        assert {hit.file_name for hits, _ in found for hit in hits} == {"b.txt"}
        document = (await editor.documents("kb"))["a.txt"]
        assert (document["state"], document["chunks"]) == ("waiting", 1)
        assert (await editor.get("/jobs")).json()["data"]["total"] == 3
        await worker.run_until_idle()
        assert (await editor.documents("kb"))["a.txt"]["state"] == "ready"
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        for each in (one, two, services):
            hits, _ = await each.kb.search_in(kb, "假", viewer=None, top_k=5, threshold=2.0)
            assert {hit.file_name for hit in hits} == {"a.txt", "b.txt"}
    assert len(list(_kb_folder(services).rglob("*.npy"))) == 2


async def test_a_process_that_has_the_vectors_still_takes_the_new_passages(
    services: Services, settings, editor: Caller, worker: Worker
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    assert len(await editor.search("kb", "年假")) == 1  # in the memory of the process behind HTTP
    _damage(next(_kb_folder(services).rglob("*.npy")), "flipped")
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase))).one()
    await services.kb.search_in(kb, "年假", viewer=None, top_k=1, threshold=2.0)
    await worker.run_until_idle()
    assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假五天。"]


async def test_a_segment_that_is_lost_again_and_again_is_given_up(
    services: Services, editor: Caller, worker: Worker
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    for _ in range(2):
        _damage(next(_kb_folder(services).rglob("*.npy")), "flipped")
        services.kb._indexes._loaded.clear()
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        await services.kb.search_in(kb, "年假", viewer=None, top_k=1, threshold=2.0)
        await worker.run_until_idle()
    document = (await editor.documents("kb"))["a.txt"]
    assert (document["state"], document["error_code"]) == ("failed", "segment_lost")
    assert (await editor.ingest("kb", {"a.txt": "年假五天。".encode()}))["a.txt"]["state"] == "ready"


@pytest.mark.parametrize("what", ["content/*", "vector_store/*/*.npy"])
@pytest.mark.parametrize("override", [True, False])
async def test_the_same_bytes_again_repair_what_is_lost(
    services: Services, editor: Caller, what: str, override: bool
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    next(_kb_folder(services).glob(what)).unlink()
    documents = await editor.ingest("kb", {"a.txt": "年假五天。".encode()}, override=override)
    assert [documents["a.txt"][key] for key in ("state", "chunks")] == ["ready", 1]
    assert len(await editor.search("kb", "年假")) == 1
    got = await editor.get("/knowledge_base/download_doc", knowledge_base_name="kb", file_name="a.txt")
    assert got.content == "年假五天。".encode()
    assert len([path for path in _kb_folder(services).rglob("*") if path.is_file()]) == 2


async def test_a_document_whose_content_is_gone_says_so(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": "年假五天。".encode()})
    next(_kb_folder(services).glob("content/*")).unlink()
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    document = (await editor.documents("kb"))["a.txt"]
    assert (document["state"], document["error_code"]) == ("failed", "content_gone")
    got = await editor.get("/knowledge_base/download_doc", knowledge_base_name="kb", file_name="a.txt")
    assert (got.status_code, got.json()["error"]["code"]) == (404, "document_not_found")
    assert "重新上传" in got.json()["msg"]


@pytest.mark.parametrize("fault", [OSError("no route to host"), Overtaken()])
async def test_the_worker_survives_a_database_that_is_away_and_others_that_write(
    services: Services, worker: Worker, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    class Away(Worker):
        tried = 0

        async def step(self) -> bool:
            self.tried += 1
            raise fault

    away = Away(services.database, worker._ingest, services.settings.ingest, services.runtime.clock)
    running = asyncio.ensure_future(away.run())
    while away.tried < 6:
        await asyncio.sleep(0.01)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert "worker cannot reach the database" in caplog.text


async def test_another_process_sees_every_change(services: Services, editor: Caller, settings) -> None:
    """Two API processes over one database: what the worker publishes is found by both, what is deleted by neither."""
    async with open_services(settings) as second:
        kb_row = None
        await editor.create_kb()
        for round_, (name, text) in enumerate(
            {"a.txt": "年假五天。", "b.txt": "病假三天。"}.items(), start=1
        ):
            await editor.ingest("kb", {name: text.encode()})
            async with second.database.read() as session:
                kb_row = (await session.scalars(select(KnowledgeBase))).one()
            hits, trace = await second.kb.search_in(kb_row, text, viewer=None, top_k=5, threshold=2.0)
            assert {hit.file_name for hit in hits} == {"a.txt", "b.txt"} if round_ == 2 else {"a.txt"}
            assert trace.kbs == {"kb": kb_row.generation}
        await editor.post(
            "/knowledge_base/delete_docs",
            {"knowledge_base_name": "kb", "file_names": ["a.txt"], "delete_content": True},
        )
        async with second.database.read() as session:
            kb_row = (await session.scalars(select(KnowledgeBase))).one()
        hits, _ = await second.kb.search_in(kb_row, "年假", viewer=None, top_k=5, threshold=2.0)
        assert [hit.file_name for hit in hits] == ["b.txt"]


async def test_a_search_that_began_before_a_replacement_finds_the_new_version(
    services: Services, editor: Caller
) -> None:
    """Its index holds the old version, which is gone from SQL by the time the passages are read."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    async with services.database.read() as session:
        before = (await session.scalars(select(KnowledgeBase))).one()
    await services.kb.search_in(before, "年假", viewer=None, top_k=1, threshold=2.0)
    await editor.ingest("kb", {"a.txt": "年假六天，病假三天。".encode()}, override=True)
    hits, trace = await services.kb.search_in(before, "年假", viewer=None, top_k=1, threshold=2.0)
    assert [hit.text for hit in hits] == ["年假六天，病假三天。"]
    assert trace.kbs == {"kb": before.generation + 1}


async def test_readers_see_exactly_one_version_all_through_replacements(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "第0版：年假五天。".encode()})
    ended, seen = asyncio.Event(), list[int]()

    async def read() -> None:
        while not ended.is_set():
            seen.append(len(await editor.search("kb", "年假", top_k=5)))

    readers = [asyncio.create_task(read()) for _ in range(4)]
    for version in range(1, 9):
        text = f"第{version}版：年假{version}天。"
        assert (await editor.ingest("kb", {"a.txt": text.encode()}, override=True))["a.txt"][
            "state"
        ] == "ready"
    ended.set()
    await asyncio.gather(*readers)
    assert len(seen) > 8, "once a version, at least"
    assert set(seen) == {1}


async def test_an_index_is_never_without_both_versions(
    services: Services, editor: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    await editor.search("kb", "年假")
    sizes: list[int] = []
    for name in ("add_vectors", "remove_vectors"):
        real = getattr(FaissIndex, name)

        def watched(store: FaissIndex, *args, real=real):
            result = real(store, *args)
            sizes.append(len(store))
            return result

        monkeypatch.setattr(FaissIndex, name, watched)
    await editor.ingest("kb", {"a.txt": "年假六天，病假三天。".encode()}, override=True)
    await editor.search("kb", "年假")
    assert sizes == [2, 1]


async def test_a_document_of_another_model_is_refused(services: Services, editor: Caller) -> None:
    """The weights behind the name were exchanged: never mix, say so."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    async with services.database.write() as session:
        row = (await session.scalars(select(KnowledgeBase))).one()
        probe = dict(row.fingerprint)
        probe["probe"] = [-x for x in probe["probe"]]
        await session.execute(update(KnowledgeBase).values(fingerprint=probe, id=row.id))
    services.embedders._verified.clear()
    async with open_services(services.settings) as fresh, open_worker(fresh) as worker:
        async with fresh.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        with pytest.raises(Exception, match="another embedding model"):
            await fresh.kb.search_in(kb, "年假", viewer=None, top_k=1, threshold=2.0)
        await editor.upload("kb", {"b.txt": "病假。".encode()})
        await worker.run_until_idle()
    assert (await editor.documents("kb"))["b.txt"]["error_code"] == "embedding_mismatch"


async def test_claims_are_fair_by_age(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    for n in range(3):
        await editor.upload("kb", {f"{n}.txt": b"x"})
    now = services.runtime.clock.now()
    names = []
    for _ in range(3):
        async with services.database.write() as session:
            job = await job_repository.claim_job(session, "w", now, now + timedelta(seconds=30), 3)
            assert job is not None
            names.append((await session.get_one(Document, job.document_id)).file_name)
    assert names == ["0.txt", "1.txt", "2.txt"]


def _kb_folder(services: Services) -> Path:
    (folder,) = (path for path in services.settings.server.data_dir.iterdir() if path.name.startswith("kb_"))
    return folder


async def _owner(services: Services, segment: Path) -> str:
    async with services.database.read() as session:
        query = select(Document.file_name).where(Document.segment == segment.name)
        return (await session.scalars(query)).one()
