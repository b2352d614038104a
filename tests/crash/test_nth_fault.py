"""SQLite's method: the first, second, third … step of an operation fails, until it passes whole. After each the server is opened anew,
and everything agrees: with what was before, or with what was asked for, and nothing between.

`full` is a disk without room, `broken` one that fails, `dead` the end of the process at that step.
"""

import asyncio
import errno
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from server.auth.principal import Principal, Scope
from server.core.clock import FrozenClock
from server.core.errors import AppError
from server.core.settings import Settings
from server.db.sqlite_file import copy_database
from server.kb.backup import Backups, read_manifest
from server.kb.chunk_change import Wish
from server.kb.chunking import ChunkingWish
from server.kb.faults import Finding
from server.kb.ingest import Ingest
from server.kb.mending import Mender
from server.kb.models import Chunk, KnowledgeBase
from server.kb.parsing import Parser
from server.kb.rebuild import Rebuilds
from server.kb.restore import restore
from server.kb.snapshots import SnapshotWriter, check_file, read_segments
from server.kb.snapshots import read_manifest as read_snapshot
from server.kb.sweep import sweep
from server.kb.uploads import Upload
from server.kb.verify import Verifier
from server.kb.worker import Worker
from server.services import Services, open_services
from server.worker import open_worker
from tests.conftest import test_settings
from tests.crash.faults import Killed, faults

pytestmark = pytest.mark.one_database

MODES = {"full": errno.ENOSPC, "broken": errno.EIO, "dead": None}
# What each run of the suite goes through; all of it, with every statement as a step: make crashloop.
IN_SUITE = {
    ("upload", "full"),
    ("replace", "dead"),
    ("delete", "broken"),
    ("delete_all", "dead"),
    ("edit", "dead"),
    ("restore_version", "full"),
    ("bring_in", "dead"),
}
# The same of a backup, which takes longer.
BACKUP_MODES = [pytest.param(mode, marks=[pytest.mark.crash] * (mode != "dead")) for mode in MODES]
EDITOR = Principal("acme", "editor", "", frozenset(Scope))
OLD, NEW, OTHER = "年假五天，满十年的十天。", "年假六天，满十年的十二天。", "病假凭医院证明。"
# More steps than any of the operations has.
_MOST = 200


@dataclass
class Bench:
    """One process of a server: its services, and its worker."""

    services: Services
    worker: Worker
    clock: FrozenClock

    async def kb(self) -> KnowledgeBase | None:
        async with self.services.database.read() as session:
            return await session.scalar(select(KnowledgeBase).where(KnowledgeBase.name == "kb"))

    async def take(self, name: str, text: str) -> None:
        kb = await self.kb()
        assert kb is not None
        upload = Upload(name, len(text.encode()), io.BytesIO(text.encode()))
        await self.services.kb.uploads.take(kb, upload, self.services.kb.choose_chunking(), override=True)

    async def work(self) -> None:
        """Until nothing is left to do, whatever was left behind by others."""
        for _ in range(3):
            self.clock.at += timedelta(minutes=2)
            await self.worker.run_until_idle()

    async def find(self) -> list[str]:
        verifier = Verifier(self.services.database, self.services.files, self.services.runtime)
        found = [one async for one in verifier.run(grace=timedelta(0))]
        return [f"{one.code} {one.file or one.path}" for one in found]

    async def texts(self) -> dict[str, str]:
        """What is searched of each file, in all knowledge bases that are shown."""
        async with self.services.database.read() as session:
            kbs = list(await session.scalars(select(KnowledgeBase).where(~KnowledgeBase.importing)))
        texts: dict[str, str] = {}
        for kb in kbs:
            hits, _ = await self.services.kb.search_in(kb, "年假 病假", viewer=None, top_k=20, threshold=4.0)
            found = {
                hit.file_name if kb.name == "kb" else f"{kb.name}/{hit.file_name}": hit.text for hit in hits
            }
            assert len(found) == len(hits), "never two versions"
            texts |= found
        return texts


@asynccontextmanager
async def opened(folder: Path, parser: Parser) -> AsyncIterator[Bench]:
    settings = _settings(folder)
    clock = FrozenClock(datetime.now(UTC))
    async with open_services(settings, clock=clock) as services:
        ingest = Ingest(
            services.database,
            services.files,
            parser,
            services.embedders,
            services.runtime,
            settings.kb.keep_versions,
        )
        rebuilds = Rebuilds(services.database, services.files, services.runtime)
        yield Bench(services, Worker(services.database, ingest, settings.ingest, clock, rebuilds), clock)


def _settings(folder: Path) -> Settings:
    return test_settings(folder, f"sqlite:///{folder / 'info.db'}", KB__MIN_FREE="1MiB")


@pytest.fixture
async def parser(services: Services) -> AsyncIterator[Parser]:
    """One child for all: the files are plain text."""
    async with open_worker(services) as worker:
        yield worker._ingest._parser


@pytest.fixture
async def origin(tmp_path: Path, settings: Settings, editor, parser: Parser) -> Path:
    """A data folder with a knowledge base of two files, at rest."""
    folder = tmp_path / "origin"
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": OLD.encode(), "b.txt": OTHER.encode()})
    source = settings.server.data_dir
    shutil.copytree(source, folder)
    await asyncio.to_thread(_copy_database, settings.database_url, folder / "info.db")
    return folder


def _copy_database(url: str, target: Path) -> None:
    copy_database(Path(url.removeprefix("sqlite:///")), target)


BEFORE = {"a.txt": OLD, "b.txt": OTHER}


async def upload(bench: Bench) -> None:
    await bench.take("c.txt", NEW)


async def replace(bench: Bench) -> None:
    await bench.take("a.txt", NEW)


async def delete(bench: Bench) -> None:
    await bench.services.kb.delete_documents(EDITOR, "kb", ["a.txt"], delete_content=True)


async def shelve(bench: Bench) -> None:
    await bench.services.kb.delete_documents(EDITOR, "kb", ["a.txt"], delete_content=False)


async def delete_all(bench: Bench) -> None:
    await bench.services.kb.delete(EDITOR, "kb")


async def reread(bench: Bench) -> None:
    await bench.services.upkeep.update_docs(EDITOR, "kb", ["a.txt"], ChunkingWish(chunk_size=251))


async def change_model(bench: Bench) -> None:
    """To weights that differ from what the knowledge base was made with."""
    await bench.services.upkeep.recreate(EDITOR, "kb", ChunkingWish())


async def repair(bench: Bench) -> None:
    services = bench.services
    verifier = Verifier(services.database, services.files, services.runtime)
    found: list[Finding] = [one async for one in verifier.run()]
    await Mender(services.database, services.files, services.runtime).mend(found)


async def other_weights(bench: Bench) -> None:
    async with bench.services.database.write() as session:
        kb = await session.scalar(select(KnowledgeBase))
        assert kb is not None
        kb.fingerprint = kb.fingerprint | {"spelling": "as written"}


async def lose_vectors(bench: Bench) -> None:
    next(bench.services.files.data_dir.glob("kb_*/vector_store/*/*.npy")).unlink()


async def edit(bench: Bench) -> None:
    async with bench.services.database.read() as session:
        number = await session.scalar(select(Chunk.id).where(Chunk.text == OLD))
    assert number is not None
    await bench.services.kb.editing.update(EDITOR, "kb", number, Wish(text=NEW))


async def replaced(bench: Bench) -> None:
    await replace(bench)
    await bench.work()


async def restore_version(bench: Bench) -> None:
    versions = await bench.services.history.versions(EDITOR, "kb", "a.txt")
    (old,) = (one.document.id for one in versions if one.document.slot is None)
    await bench.services.history.restore(EDITOR, "kb", "a.txt", old)


async def bring_in(bench: Bench) -> None:
    """Out of one knowledge base, into another."""
    exports = bench.services.exports
    snapshot = await exports.begin(EDITOR, "kb")
    package = b"".join([part async for part in exports.stream(snapshot)])
    await bench.services.imports.take(EDITOR, io.BytesIO(package), "neu")


Operation = Callable[[Bench], Awaitable[None]]
Texts = dict[str, str]

# What is searched when it is done, what prepares it, and what is searched before.
OPERATIONS: list[tuple[Operation, Texts, Operation | None, Texts]] = [
    (upload, BEFORE | {"c.txt": NEW}, None, BEFORE),
    (replace, BEFORE | {"a.txt": NEW}, None, BEFORE),
    (delete, {"b.txt": OTHER}, None, BEFORE),
    (shelve, {"b.txt": OTHER}, None, BEFORE),
    (delete_all, {}, None, BEFORE),
    (reread, BEFORE, None, BEFORE),
    (change_model, BEFORE, other_weights, BEFORE),
    (repair, BEFORE, lose_vectors, BEFORE),
    (edit, BEFORE | {"a.txt": NEW}, None, BEFORE),
    (restore_version, BEFORE, replaced, BEFORE | {"a.txt": NEW}),
    (bring_in, BEFORE | {f"neu/{name}": text for name, text in BEFORE.items()}, None, BEFORE),
]


def _cases() -> list:
    """Of the suite, and all with every statement as a step."""
    cases = []
    for operation, after, first, before in OPERATIONS:
        name = operation.__name__
        for mode in MODES:
            if (name, mode) in IN_SUITE:
                cases.append(pytest.param(mode, operation, after, first, before, False, id=f"{name}-{mode}"))
            marks = [pytest.mark.crash, pytest.mark.timeout(900)]
            cases.append(
                pytest.param(
                    mode, operation, after, first, before, True, id=f"{name}-{mode}-all", marks=marks
                )
            )
    return cases


@pytest.mark.parametrize(("mode", "operation", "after", "first", "before", "statements"), _cases())
async def test_before_or_after_and_nothing_between(
    origin: Path,
    parser: Parser,
    tmp_path: Path,
    mode: str,
    operation: Operation,
    after: Texts,
    first: Operation | None,
    before: Texts,
    statements: bool,
) -> None:
    if first is not None:
        async with opened(origin, parser) as bench:
            await first(bench)
    for number in range(1, _MOST):
        folder = tmp_path / "work"
        shutil.copytree(origin, folder)
        is_done, steps = await _try(folder, parser, operation, number, MODES[mode], statements)
        where = f"{mode} at step {number}: {steps[number - 1 :][:1]}"
        async with opened(folder, parser) as bench:
            first_found = [one for one in await bench.find() if not one.startswith("left_over")]
            if operation is not repair:
                assert first_found == [], where
            await bench.work()
            if operation is repair and await bench.find():  # which may be run again
                await repair(bench)
                await bench.work()
            await sweep(
                bench.services.database, bench.services.files, bench.services.runtime.lanes, timedelta(0)
            )
            assert await bench.find() == [], where
            now = await bench.texts()
            assert now == after if is_done else now in (before, after), where
        shutil.rmtree(folder)
        if len(steps) < number:  # it has passed untouched
            assert is_done
            assert number > 3, "the steps are counted"
            return
    pytest.fail("it has no end")


async def _try(
    folder: Path, parser: Parser, operation: Operation, number: int, code: int | None, statements: bool
) -> tuple[bool, list[str]]:
    """Was it acknowledged? And the steps."""
    is_done = False
    async with opened(folder, parser) as bench:
        with faults(folder, number, code, statements=statements) as given, suppress(Killed):
            status = await _refusal(operation(bench))
            assert status in (None, 507)
            is_done = status is None
            with suppress(Exception):
                await bench.work()
        return is_done, given.steps


async def _refusal(doing: Awaitable[None]) -> int | None:
    """The status that a caller sees; None when it was done."""
    try:
        await doing
    except AppError as error:
        return error.status
    return None


@pytest.mark.parametrize("mode", BACKUP_MODES)
async def test_a_backup_is_whole_or_the_one_before(
    origin: Path, parser: Parser, tmp_path: Path, mode: str
) -> None:
    async with opened(origin, parser) as bench:
        await Backups(bench.services.database, bench.services.files, bench.services.runtime).make(
            tmp_path / "first"
        )
        await replace(bench)
        await bench.work()
    for number in range(1, _MOST):
        folder = tmp_path / "work"
        shutil.copytree(tmp_path / "first", folder)
        async with opened(origin, parser) as bench:
            services = bench.services
            with faults(folder, number, MODES[mode]) as given, suppress(Killed, OSError, AppError):
                await Backups(services.database, services.files, services.runtime).make(folder)
        assert read_manifest(folder)
        back = tmp_path / "back"
        restore(folder, back, back / "info.db", lambda *_: None)
        async with opened(back, parser) as bench:
            assert [one for one in await bench.find() if not one.startswith("left_over")] == []
            assert await bench.texts() in (BEFORE, BEFORE | {"a.txt": NEW})
        shutil.rmtree(folder)
        shutil.rmtree(back)
        if not given.has_struck:
            assert number > 8
            return
    pytest.fail("it has no end")


@pytest.mark.parametrize("mode", MODES)
def test_a_snapshot_is_whole_or_the_one_before(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "index" / "x.json"
    facts = {"dimension": 3, "vectors": 2, "lists": 0, "probes": 0, "recall": 1.0, "seconds": 0.1}

    def write(content: bytes) -> None:
        writer = SnapshotWriter(path)
        writer.index.write_bytes(content)
        writer.commit({"s": np.array([1, 2])}, **facts)

    write(b"before")
    for number in range(1, _MOST):
        with faults(tmp_path, number, MODES[mode]) as given, suppress(Killed, OSError):
            write(b"after")
        manifest = read_snapshot(path)
        assert manifest is not None
        check_file(path.parent / manifest.index, manifest.index_sha256)
        assert list(read_segments(path, manifest)) == ["s"]
        if not given.has_struck:
            assert number > 6
            return
    pytest.fail("it has no end")
