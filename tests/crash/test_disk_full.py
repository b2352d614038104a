"""A disk that is nearly full refuses uploads and nothing else; one that is full loses nothing, and all goes on when there is room."""

import errno
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from server.auth.secret_files import make_secret_file
from server.core.clock import FrozenClock
from server.core.settings import Settings
from server.kb.models import Document, Job
from server.kb.worker import Worker
from server.services import Services
from tests.conftest import test_settings
from tests.kb.test_verify import find
from tests.support.api import Caller

pytestmark = pytest.mark.one_database
LEAVE = "年假五天，连续工作满十年的十天。".encode()


@pytest.fixture
async def settings(database_url: str, tmp_path: Path) -> AsyncIterator[Settings]:
    """A data folder, the database in it, on a disk of 48 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a disk of its own cannot be mounted here (it takes root)")
    shutil.copy(database_url.removeprefix("sqlite:///"), disk / "info.db")
    make_secret_file(disk / "secrets" / "master.key", "ab" * 32)
    yield test_settings(disk, f"sqlite:///{disk / 'info.db'}", KB__MIN_FREE="8MiB")
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(settings: Settings, leave: int = 0) -> Path:
    """Leave so many bytes of the disk."""
    filler = settings.server.data_dir / "filler"
    free = shutil.disk_usage(settings.server.data_dir).free - leave
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while free > 0:
            free -= file.write(b"x" * min(free, 65536))
    return filler


async def test_nearly_full(services: Services, settings: Settings, editor: Caller, reader: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": LEAVE, "b.txt": "病假三天。".encode()})
    filler = fill(settings, 6 * 1024**2)
    for answer in (
        await editor.upload("kb", {"c.txt": LEAVE}),
        await editor.upload("kb", {"c.txt": LEAVE, "d.txt": LEAVE}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
        assert "不足 8 MB" in answer.json()["msg"]
    assert len(await editor.search("kb", "年假")) >= 1
    said, _ = await reader.ask("kb", "工作满十年有几天年假？")
    assert "十天" in said
    body = {"knowledge_base_name": "kb", "file_names": ["b.txt"], "delete_content": True}
    assert (await editor.post("/knowledge_base/delete_docs", body)).status_code == 200
    filler.unlink()
    assert (await editor.ingest("kb", {"c.txt": LEAVE}))["c.txt"]["state"] == "ready"
    assert await find(services) == []


async def test_full(services: Services, settings: Settings, editor: Caller, worker: Worker) -> None:
    """In the middle of uploads, and with documents that wait."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": LEAVE})
    assert (await editor.upload("kb", {"waits.txt": LEAVE})).status_code == 200
    filler = fill(settings, 9 * 1024**2)
    answer = await editor.upload("kb", {"big.txt": b"x" * 12 * 1024**2})
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
    assert not [path for path in settings.server.data_dir.glob("kb_*/content/*") if ".tmp" in path.name]
    filler.unlink()
    filler = fill(settings)
    clock = FrozenClock(services.runtime.clock.now())
    patient = Worker(services.database, worker._ingest, services.settings.ingest, clock)
    for _ in range(6):
        assert not await patient.step(), "nothing is begun"
        clock.at += timedelta(minutes=5)
    for number in range(30):  # until the database has no room for another line
        answer = await editor.post(
            "/knowledge_base/update_info", {"knowledge_base_name": "kb", "kb_info": f"{number}" * 100}
        )
        assert answer.status_code in (200, 507), answer.text
    assert (await editor.upload("kb", {"c.txt": LEAVE})).status_code == 507
    assert len(await editor.search("kb", "年假")) == 1
    got = await editor.get("/knowledge_base/download_doc", knowledge_base_name="kb", file_name="a.txt")
    assert got.content == LEAVE
    assert (await editor.get("/ready")).status_code == 503
    filler.unlink()
    assert (await editor.get("/ready")).status_code == 200
    documents = await editor.ingest("kb", {"c.txt": LEAVE})
    assert {name: row["state"] for name, row in documents.items()} == dict.fromkeys(
        ("a.txt", "waits.txt", "c.txt"), "ready"
    )
    assert await find(services) == []


async def test_full_while_a_document_is_read(
    services: Services, editor: Caller, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tries are not used up by it: it is ready some time after there is room."""
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": LEAVE})
    clock = FrozenClock(services.runtime.clock.now())
    patient = Worker(services.database, worker._ingest, services.settings.ingest, clock)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("server.kb.segments.sync_folder", full)
        for _ in range(6):
            assert await patient.step()
            assert not await patient.step(), "not at once"
            clock.at += timedelta(minutes=1)
    async with services.database.read() as session:
        document = (await session.scalars(select(Document))).one()
        job = (await session.scalars(select(Job))).one()
    assert (document.state, job.state, job.attempts) == ("embedding", "waiting", 0), "found by its words"
    assert await patient.step()
    assert (await editor.documents("kb"))["a.txt"]["state"] == "ready"
