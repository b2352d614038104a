"""T-crashloop: real processes under a steady load, killed again and again."""

import asyncio
import random
import secrets
import sys
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx2
from sqlalchemy import func, select

from server.auth.policy import Policy
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_api_key, add_client
from server.core.runtime import Runtime
from server.core.settings import DatabaseSettings
from server.db.session import Database
from server.db.upgrading import upgrade_schema
from server.kb.files import FileStore
from server.kb.models import Job, JobState
from server.kb.sweep import sweep
from server.kb.verify import Verifier
from server.services import open_services
from tests.conftest import key_pair, test_settings
from tests.crash.load import KB, File, Person, Violation
from tests.crash.processes import Processes

_ENVIRON = {
    "INGEST__LEASE": "2s",
    "INGEST__ATTEMPTS": "10",
    "INGEST__POLL": "50ms",
    "KB__MIN_FREE": "1MiB",
    "AUTH__DEMO": "false",
}
# Steps of a process after which it may be armed to die.
_ARMED = 80


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def run(folder: Path, rounds: int, seed: int, say=_say) -> None:
    """Raises Violation with the seed."""
    source = random.Random(seed)
    key = await _prepare(folder)
    with Processes(folder, **_ENVIRON) as processes:
        people = [Person(n, processes.base, key, random.Random(source.random())) for n in range(4)]
        async with AsyncExitStack() as stack:
            for person in people:
                stack.push_async_callback(person.close)
            try:
                await _rounds(processes, people, rounds, source, key, say)
                await _settle(folder, processes, people)
            except Violation as error:
                log = "\n".join(processes.log().splitlines()[-60:])
                raise Violation(f"seed {seed}: {error}\n{log}") from error
    say(f"{rounds} rounds, {sum(person.done for person in people)} calls, seed {seed}: nothing lost")


async def _prepare(folder: Path) -> str:
    """A data folder with a client; returns a key of it."""
    data = folder / "data"
    make_secret_file(data / "secrets" / "master.key", secrets.token_hex(32))
    url = f"sqlite:///{data / 'info.db'}"
    database = Database(url, DatabaseSettings())
    await upgrade_schema(database)
    await database.close()
    async with open_services(test_settings(data, url)) as services:
        now = services.runtime.clock.now()
        async with services.database.write() as session:
            new = NewClient("acme", "test", Policy.COMPAT)
            await add_client(session, services.vault, new, now, key_pair("acme"))
            return await add_api_key(session, services.vault, "acme", ["chat", "kb:read", "kb:write"], now)


async def _rounds(
    processes: Processes, people: list[Person], rounds: int, source: random.Random, key: str, say
) -> None:
    for name in ("api", "worker", "worker-2"):
        processes.start(name)
    await _await_api(processes)
    async with httpx2.AsyncClient(
        base_url=processes.base, headers={"Authorization": f"Bearer {key}"}, timeout=30
    ) as http:
        body = {"knowledge_base_name": KB, "kb_zh_name": "kb", "kb_info": "kb"}
        assert (await http.post("/knowledge_base/create_knowledge_base", json=body)).status_code == 200
        has_chunks = (await http.get("/knowledge_base/chunks")).status_code != 404
    ended = asyncio.Event()
    for person in people:
        person.can_edit = has_chunks
    working = [asyncio.ensure_future(person.work(ended)) for person in people]
    try:
        for number in range(rounds):
            await asyncio.sleep(source.uniform(0.2, 1.2))
            victims = source.choice([["worker"], ["worker-2"], ["api"], ["worker", "worker-2", "api"]])
            for name in list(processes.running):
                if name in victims or not processes.is_alive(name):
                    processes.kill(name)
                    # Some of them die by themselves next time, in the middle of what they keep.
                    armed = source.randrange(1, _ARMED) if source.random() < 0.4 else 0
                    processes.start(name, armed)
            await _await_api(processes)
            for failed in [task for task in working if task.done()]:
                failed.result()
            if number % 20 == 19:
                say(f"round {number + 1}")
    finally:
        ended.set()
        told = await asyncio.gather(*working, return_exceptions=True)
    for error in told:
        if isinstance(error, BaseException):
            raise error


async def _await_api(processes: Processes) -> None:
    deadline = time.monotonic() + 20
    async with httpx2.AsyncClient(base_url=processes.base, timeout=5) as http:
        while True:
            try:
                if (await http.get("/ready")).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            if not processes.is_alive("api"):
                processes.start("api")
            if time.monotonic() > deadline:
                raise Violation("the API does not come back")
            await asyncio.sleep(0.02)


async def _settle(folder: Path, processes: Processes, people: list[Person]) -> None:
    """Nobody is killed any more: everything comes to its end, and is what people were told."""
    for name in list(processes.running):
        processes.kill(name)
        processes.start(name)
    await _await_api(processes)
    data = folder / "data"
    database = Database(f"sqlite:///{data / 'info.db'}", DatabaseSettings())
    try:
        await _await_jobs(database)
        documents = await people[0].documents()
        for person in people:
            for file in person.files:
                await _check(person, file, documents.get(file.name))
        for name in list(processes.running):
            processes.kill(name)
        files, runtime = FileStore(data), Runtime()
        verifier = Verifier(database, files, runtime)
        faults = [one async for one in verifier.run() if one.is_fault]
        if faults:
            raise Violation(f"kb verify: {[(one.code, one.file, one.path) for one in faults]}")
        await sweep(database, files, runtime.lanes, timedelta(0))
        left = [one async for one in verifier.run(grace=timedelta(0)) if one.is_fault]
        if left:
            raise Violation(f"left after the sweep: {left}")
        if strange := [path.name for path in data.glob("kb_*/**/*.tmp")]:
            raise Violation(f"left after the sweep: {strange}")
    finally:
        await database.close()


async def _await_jobs(database: Database) -> None:
    deadline = time.monotonic() + 60
    while True:
        async with database.read() as session:
            is_open = Job.state.in_((JobState.WAITING, JobState.RUNNING))
            count = await session.scalar(select(func.count()).select_from(Job).where(is_open))
            failed = await session.scalar(
                select(func.count()).select_from(Job).where(Job.state == JobState.FAILED)
            )
        if failed:
            raise Violation(f"{failed} jobs failed")
        if not count:
            return
        if time.monotonic() > deadline:
            raise Violation(f"{count} jobs do not end")
        await asyncio.sleep(0.1)


async def _check(person: Person, file: File, document: dict | None) -> None:
    if document is None:
        if None not in file.can_be:
            raise Violation(f"{file.name} is lost; {file.told} was acknowledged")
        file.told, file.perhaps, file.found = None, [], None
    elif document["state"] != "ready" or not document["chunks"]:
        raise Violation(f"{file.name}: {document}")
    await person.search(file)
    if document is None:
        return
    if file.found not in file.can_be:
        raise Violation(
            f"{file.name}: {file.found} is there; {file.told} was acknowledged, {file.perhaps} not"
        )
    content = await person.download(file)
    if content not in [file.text(n).encode() for n in file.uploaded]:
        raise Violation(f"{file.name}: its bytes are {content!r}")
    if file.found in file.uploaded and content != file.text(file.found).encode():
        raise Violation(f"{file.name}: the file is not what is searched")
