"""Jobs over HTTP: what is told of them, whose turn it is, watching, cancelling, trying again."""

import asyncio
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from server.auth.secret_files import make_secret_file
from server.core.errors import EmbeddingUnavailable
from server.core.i18n import Text
from server.core.settings import Settings
from server.kb import job_repository
from server.kb.loaders.base import LoadLimits
from server.kb.models import Chunk, Document, Job, JobKind, JobState
from server.kb.parsing import Parser
from server.kb.worker import Worker
from server.services import Services
from tests.conftest import ROOT, Callers, test_settings
from tests.support.api import Caller, sse_events
from tests.support.held import hold, working

LONG = "".join(f"第{n}条规定了第{n}件事情，凡是第{n}类的员工都要遵守，不得有误。" for n in range(150))


async def _job(caller: Caller, job_id: str) -> dict[str, Any]:
    answer = await caller.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _upload(caller: Caller, kb: str = "kb", **files: str) -> dict[str, str]:
    """Texts by names without suffix; returns the jobs."""
    answer = await caller.upload(
        kb, {f"{name}.txt": text.encode() for name, text in files.items()}, override=True
    )
    assert answer.status_code == 200, answer.text
    return {row["file_name"][:-4]: row["job_id"] for row in answer.json()["data"]["documents"]}


async def _jobs(caller: Caller, **query: str) -> list[str]:
    answer = await caller.get("/jobs", **query)
    assert answer.status_code == 200, answer.text
    return sorted(item["file_name"] for item in answer.json()["data"]["items"])


def _stored(services: Services) -> list[str]:
    return sorted(path.name for path in services.settings.server.data_dir.glob("kb_*/**/*") if path.is_file())


async def test_lists_are_filtered_by_what_becomes_of_jobs(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.create_kb("other")
    await _upload(editor, good="年假五天。")
    await editor.upload("kb", {"bad.json": b"{no"})
    await worker.run_until_idle()
    await _upload(editor, first="病假三天。", second="婚假十天。")
    await _upload(editor, "other", third="丧假三天。")
    held = hold(worker, monkeypatch)
    async with working(worker):
        await held.came.wait()
        lists = {
            state: await _jobs(editor, knowledge_base_name="kb", state=state)
            for state in ("open", "waiting", "embedding", "parsing", "failed", "done")
        }
        assert lists == {
            "open": ["first.txt", "second.txt"],
            "waiting": ["second.txt"],
            "embedding": ["first.txt"],
            "parsing": [],
            "failed": ["bad.json"],
            "done": ["good.txt"],
        }
        assert len(await _jobs(editor)) == 5
        assert (await editor.get("/jobs", state="nonsense")).status_code == 422
        running, waiting = await _named(editor, "first.txt"), await _named(editor, "second.txt")
        assert (running["state"], running["stage"], running["attempts"]) == ("running", "embedding", 1)
        assert (running["can_cancel"], running["can_retry"], running["max_attempts"]) == (True, False, 3)
        assert (waiting["state"], waiting["eta_seconds"], waiting["percent"]) == ("waiting", None, 0)
        failed = await _named(editor, "bad.json")
        assert (failed["can_cancel"], failed["can_retry"]) == (False, True)
        assert failed["error_code"]
        assert failed["reason"]
        held.go.set()


async def _named(caller: Caller, name: str) -> dict[str, Any]:
    items = (await caller.get("/jobs")).json()["data"]["items"]
    return next(item for item in items if item["file_name"] == name)


# ── whose turn it is ──────────────────────────────────────────────────────────────────────────────────────────────────


async def _claimed(services: Services, number: int) -> list[str]:
    now, names = services.runtime.clock.now(), []
    for _ in range(number):
        async with services.database.write() as session:
            job = await job_repository.claim_job(session, "w", now, now + timedelta(seconds=30), 3)
            assert job is not None
            names.append((await session.get_one(Document, job.document_id)).file_name[:-4])
    return names


async def test_clients_take_turns(services: Services, callers: Callers, editor: Caller) -> None:
    """One with many files does not hold up one with a single file, whichever of its knowledge bases they are in."""
    await callers.client("other")
    other = await callers.key("other", "kb:read", "kb:write")
    await editor.create_kb()
    await editor.create_kb("kb2")
    await other.create_kb()
    await _upload(editor, **{f"a{n}": "甲" for n in range(3)})
    await _upload(editor, "kb2", a3="甲", a4="甲")
    await _upload(other, b0="乙")
    assert await _claimed(services, 3) == ["a0", "b0", "a1"]
    # It comes again and again: no more often than the one that waits.
    await _upload(other, b1="乙", b2="乙")
    assert await _claimed(services, 3) == ["a2", "b1", "a3"]
    # Somebody sits and waits for what is attached to a conversation.
    async with services.database.write() as session:
        document = (await session.scalars(select(Document).where(Document.file_name == "a0.txt"))).one()
        await job_repository.add_job(session, document, services.runtime.clock.now(), JobKind.ATTACH)
    assert await _claimed(services, 3) == ["a0", "b2", "a4"]


class TestBounds:
    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Path) -> Settings:
        data_dir = tmp_path / "data"
        make_secret_file(data_dir / "secrets" / "master.key", "0f" * 32)
        bounds = {"INGEST__MAX_QUEUE_PER_CLIENT": "2", "INGEST__MAX_QUEUE": "4"}
        return test_settings(data_dir, database_url, **bounds)

    @pytest.mark.one_database
    async def test_of_each_client_and_of_all(self, callers: Callers, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {f"{n}.txt": b"x" for n in range(3)})
        told = answer.json()["data"]
        assert (answer.status_code, len(told["documents"]), list(told["failed_files"])) == (200, 2, ["2.txt"])
        assert "2 个文件" in told["failed_files"]["2.txt"]
        answer = await editor.upload("kb", {"3.txt": b"x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        for client_id, is_room in (("other", True), ("third", False)):
            await callers.client(client_id)
            another = await callers.key(client_id, "kb:read", "kb:write")
            await another.create_kb()
            answer = await another.upload("kb", {"a.txt": b"x", "b.txt": b"x"})
            assert answer.status_code == (200 if is_room else 429), answer.text
        assert "稍后" in answer.json()["msg"]


# ── cancelling ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_waits_is_cancelled_at_once(services: Services, editor: Caller, worker: Worker) -> None:
    await editor.create_kb()
    jobs = await _upload(editor, a="年假五天。", b="病假三天。")
    told = (await editor.post(f"/jobs/{jobs['a']}/cancel")).json()["data"]
    assert (told["state"], told["stage"], told["error_code"]) == ("failed", "failed", "cancelled")
    assert (told["can_cancel"], told["can_retry"]) == (False, True)
    again = await editor.post(f"/jobs/{jobs['a']}/cancel")
    assert (again.status_code, again.json()["data"]["state"]) == (200, "failed"), "twice is once"
    await worker.run_until_idle()
    documents = await editor.documents("kb")
    assert {name: row["state"] for name, row in documents.items()} == {"a.txt": "failed", "b.txt": "ready"}
    assert "取消" in documents["a.txt"]["reason"]
    late = await editor.post(f"/jobs/{jobs['b']}/cancel", headers={"Accept-Language": "en"})
    assert (late.status_code, "done" in late.text) == (409, True)
    assert (await editor.search("kb", "病假", top_k=1))[0]["metadata"]["source"] == "b.txt"
    # From the same bytes.
    told = (await editor.post(f"/jobs/{jobs['a']}/retry")).json()["data"]
    assert (told["job_id"], told["state"], told["error_code"]) == (jobs["a"], "waiting", None)
    await worker.run_until_idle()
    assert (await _job(editor, jobs["a"]))["stage"] == "ready"
    assert (await editor.post(f"/jobs/{jobs['a']}/retry")).status_code == 409


async def test_what_is_read_is_cancelled_within_seconds_and_its_parser_killed(
    services: Services, editor: Caller, worker: Worker
) -> None:
    parser = Parser(
        LoadLimits(),
        timeout=timedelta(seconds=100),
        memory=2 * 1024**3,
        loaders="tests.kb.loaders.hostile",
    )
    worker._ingest._parser = parser
    await editor.create_kb()
    jobs = await _upload(editor, a="x")
    async with services.database.write() as session:
        document = (await session.scalars(select(Document))).one()
        content = services.files.content_path(document.kb_id, document.id, ".txt")
        content.rename(content.with_suffix(".hang"))
        await session.execute(update(Document).values(suffix=".hang"))
    hung = content.with_name("hung")
    async with working(worker) as running:
        while not hung.exists() or not hung.read_text():
            await asyncio.sleep(0.02)
        child = int(hung.read_text())
        assert (await editor.post(f"/jobs/{jobs['a']}/cancel")).status_code == 200
        async with asyncio.timeout(5):
            assert await running
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert (await _job(editor, jobs["a"]))["error_code"] == "cancelled"
    await parser.close()


async def test_a_cancelled_replacement_goes_and_the_old_version_stays(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    before = _stored(services)
    held = hold(worker, monkeypatch)
    asking = asyncio.create_task(
        editor.upload("kb", {"a.txt": "年假十天。".encode()}, override=True, wait=60)
    )
    while not (jobs := (await editor.get("/jobs", state="open")).json()["data"]["items"]):
        await asyncio.sleep(0.02)
    job_id = jobs[0]["job_id"]
    async with working(worker) as running:
        await held.came.wait()
        told = (await editor.post(f"/jobs/{job_id}/cancel")).json()["data"]
        assert (told["state"], told["error_code"], told["can_retry"]) == ("failed", "cancelled", False)
        assert await running
    assert "取消" in (await asking).json()["data"]["failed_files"]["a.txt"]
    assert _stored(services) == before
    assert [row["state"] for row in (await editor.documents("kb")).values()] == ["ready"]
    assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假五天。"]
    assert (await editor.get(f"/jobs/{job_id}")).status_code == 404


@pytest.mark.parametrize("is_first", [True, False])
async def test_cancelling_and_publishing_never_both_happen(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """Both at the last moment: whoever commits first has decided."""
    await editor.create_kb()
    jobs = await _upload(editor, a="年假五天。")
    real = worker._ingest._publish

    async def late(*args: Any) -> Any:
        if is_first:
            answer = await editor.post(f"/jobs/{jobs['a']}/cancel")
            replaced = await real(*args)
        else:
            answer, replaced = await asyncio.gather(editor.post(f"/jobs/{jobs['a']}/cancel"), real(*args))
        answers.append(answer.status_code)
        return replaced

    answers: list[int] = []
    monkeypatch.setattr(worker._ingest, "_publish", late)
    await worker.step()
    state = (await editor.documents("kb"))["a.txt"]["state"]
    assert state == ("ready" if answers == [409] else "failed")
    if is_first:
        assert state == "failed"
    is_kept = state == "ready"
    assert any(name.endswith(".npy") for name in _stored(services)) == is_kept
    assert bool(await editor.search("kb", "年假")) == is_kept
    async with services.database.read() as session:
        assert bool(list(await session.scalars(select(Chunk.id)))) == is_kept


# ── trying again ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_all_that_failed_is_tried_again(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    jobs = await _upload(editor, a="年假五天。", b="病假三天。")
    real = worker._ingest._embedding.embed

    async def away(*_: Any, **__: Any) -> Any:
        raise EmbeddingUnavailable(Text("没有模型", "no model"))

    monkeypatch.setattr(worker._ingest._embedding, "embed", away)
    await worker.run_until_idle()
    assert (await _job(editor, jobs["a"]))["error_code"] == "embedding_unavailable"
    assert await editor.search("kb", "年假") == [], "what was found by its words is not any more"
    monkeypatch.setattr(worker._ingest._embedding, "embed", real)
    answer = await editor.post("/jobs/retry", {"knowledge_base_name": "kb"})
    assert answer.json()["data"] == {"retried": 2, "left": 0}
    assert (await editor.post(f"/jobs/{jobs['a']}/retry")).json()["data"]["state"] == "waiting", "already"
    await worker.run_until_idle()
    assert {row["state"] for row in (await editor.documents("kb")).values()} == {"ready"}
    assert len(await _jobs(editor)) == 2, "they keep their ids"


# ── watching ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.one_database
async def test_watching(app: FastAPI, editor: Caller, worker: Worker) -> None:
    """What is open, and everything that becomes of it, whoever does it; and of nothing else. It ends with the process."""
    await editor.create_kb()
    await editor.create_kb("other")
    jobs = await _upload(editor, a=LONG, b="病假三天。", c="婚假十天。")
    await _upload(editor, "other", d="丧假三天。")
    text = ""

    async def follow() -> None:
        nonlocal text
        async with editor.http.stream("GET", "/jobs/events", params={"knowledge_base_name": "kb"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for piece in answer.aiter_text():
                text += piece

    async def until(condition: Any) -> list[tuple[str, dict[str, Any]]]:
        async with asyncio.timeout(15):
            while not condition(events := sse_events(text)):
                await asyncio.sleep(0.02)
        return events

    watching = asyncio.create_task(follow())
    events = await until(lambda events: len(events) == 3)
    assert [name for name, _ in events] == ["job"] * 3
    assert {data["job_id"] for _, data in events} == set(jobs.values())
    await worker.step()
    a = jobs["a"]
    events = await until(
        lambda events: any(data["job_id"] == a and data.get("stage") == "ready" for _, data in events)
    )
    told = [data for _, data in events if data["job_id"] == a]
    stages = list(dict.fromkeys(data["stage"] for data in told))
    assert stages == [stage for stage in ("waiting", "parsing", "embedding", "ready") if stage in stages]
    assert stages[-2:] == ["embedding", "ready"]
    assert any(data["eta_seconds"] is not None for data in told)
    document = (await editor.documents("kb"))["a.txt"]
    last = {name: told[-1][name] for name in ("chars", "chunks", "total", "percent")}
    assert last == {
        "chars": document["chars"],
        "chunks": document["chunks"],
        "total": last["chunks"],
        "percent": 100,
    }
    await editor.post(f"/jobs/{jobs['b']}/cancel")
    await until(lambda events: events[-1][1].get("error_code") == "cancelled")
    await editor.post(
        "/knowledge_base/delete_docs",
        {"knowledge_base_name": "kb", "file_names": ["c.txt"], "delete_content": True},
    )
    events = await until(lambda events: events[-1][0] == "gone")
    assert events[-1][1] == {"job_id": jobs["c"]}
    assert {data["job_id"] for _, data in events} == set(jobs.values())
    app.state.jobs.watch.close()
    async with asyncio.timeout(5):
        await watching


@pytest.mark.one_database
async def test_pages_are_told_while_a_file_is_read(
    services: Services, editor: Caller, worker: Worker
) -> None:
    worker._ingest._parser = Parser(
        LoadLimits(),
        timeout=timedelta(seconds=20),
        memory=2 * 1024**3,
        loaders="tests.kb.loaders.hostile",
    )
    await editor.create_kb()
    jobs = await _upload(editor, a="x")
    async with services.database.write() as session:
        document = (await session.scalars(select(Document))).one()
        content = services.files.content_path(document.kb_id, document.id, ".txt")
        content.rename(content.with_suffix(".slow"))
        await session.execute(update(Document).values(suffix=".slow"))
    seen = []
    async with working(worker) as running:
        while not running.done():
            seen.append(await _job(editor, jobs["a"]))
            await asyncio.sleep(0.1)
    pages = [(one["pages_done"], one["pages_total"]) for one in seen if one["stage"] == "parsing"]
    assert len(set(pages)) > 2
    assert pages == sorted(pages)
    assert any(one["eta_seconds"] for one in seen if one["stage"] == "parsing")
    assert all(one["eta_seconds"] is None for one in seen if one["pages_total"] == 0)
    shares = [one["percent"] for one in seen]
    assert shares == sorted(shares)
    await worker._ingest._parser.close()


# ── several workers ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_worker_that_lost_its_lease_stops_at_once(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await editor.create_kb()
    await _upload(editor, a="年假五天。")
    held = hold(worker, monkeypatch)
    async with working(worker) as running:
        await held.came.wait()
        async with services.database.write() as session:
            await session.execute(update(Job).values(lease_owner="elsewhere:1"))
        async with asyncio.timeout(5):
            assert await running
    async with services.database.read() as session:
        assert (await session.scalars(select(Job.lease_owner))).one() == "elsewhere:1"


async def test_two_worker_processes_share_the_work(
    editor: Caller,
    settings: Settings,
    database_url: str,
    database_kind: str,
    services: Services,
    tmp_path: Path,
) -> None:
    """On PostgreSQL, with one data folder: every document is read once, by one of them."""
    if database_kind != "postgresql":
        pytest.skip("several machines share PostgreSQL")
    await editor.create_kb()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SERVER__DATA_DIR": str(settings.server.data_dir),
        "DATABASE__URL": database_url,
        "INGEST__POLL": "20ms",
        "INGEST__CONCURRENCY": "1",
    }
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    command = [sys.executable, "-m", "server", "worker"]
    processes = []
    for log in logs:
        with log.open("wb") as file:
            processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environ, stdout=file, stderr=subprocess.STDOUT)
            )
    try:
        async with asyncio.timeout(60):
            while not all("worker ready" in log.read_text() for log in logs):
                await asyncio.sleep(0.1)
            answer = await editor.upload("kb", {f"{n}.txt": f"第{n}条。".encode() for n in range(30)})
            assert answer.status_code == 200
            while {row["state"] for row in (await editor.documents("kb")).values()} != {"ready"}:
                await asyncio.sleep(0.2)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
    async with services.database.read() as session:
        rows = list(await session.scalars(select(Job)))
        chunks = list(await session.scalars(select(Chunk.document_id)))
    assert {(job.state, job.attempts) for job in rows} == {(JobState.DONE, 1)}
    read = [_read_by(log) for log in logs]
    assert all(read), "both have worked"
    assert sorted([*read[0], *read[1]]) == sorted(job.document_id for job in rows), "none twice"
    documents = await editor.documents("kb")
    assert sum(row["chunks"] for row in documents.values()) == len(chunks)


def _read_by(log: Path) -> list[str]:
    return re.findall(r"document ready.*?(doc_[a-z0-9]+)", log.read_text())
