"""Fixtures: a real database of the kind that `--database` names, the real bundled model, the real FAISS, the real app
behind a real socket. Nothing is patched; what differs is passed in."""

import asyncio
import functools
import gc
import secrets
import shutil
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from Crypto.PublicKey import RSA
from fastapi import FastAPI
from sqlalchemy import delete

from embeddings import EMBEDDERS
from server.app import create_app
from server.auth.api_token import new_key_pair
from server.auth.models import User
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_api_key, add_client, make_token
from server.core.configuration import load_settings
from server.core.settings import DatabaseSettings, Settings
from server.db.session import Database
from server.db.upgrading import upgrade_schema
from server.kb.parsing import Parser
from server.kb.worker import Worker
from server.services import Services, open_services
from server.tables import Base
from server.worker import open_worker
from tests.support.api import Caller, serving
from tests.support.databases import KINDS, database_server
from tests.support.statements import share_compiled_statements

# The bundled model is read once by each test process.
EMBEDDERS["bundled"] = functools.cache(EMBEDDERS["bundled"])
share_compiled_statements()

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=KINDS, default="sqlite", help="the database to run against")
    parser.addoption(
        "--half", action="store_true", help="leave out what the other database server is asked in its stead"
    )


# Those that take longest, in that order.
_LONG = {
    name: place
    for place, name in enumerate(
        (
            "test_processes.py",
            "test_main_job.py",
            "test_matrix.py",
            "test_faults_at_the_start.py",
            "test_identity_commands.py",
            "test_answers_killed.py",
            "test_worker.py",
            "test_makers.py",
            "test_nth_fault.py",
            "test_bad_input.py",
            "test_chat_with_provider.py",
            "test_local_models.py",
            "test_rekey_killed.py",
            "test_upkeep.py",
            "test_stores.py",
            "test_import_odd.py",
            "test_paths.py",
            "test_engines.py",
            "test_maintenance.py",
            "test_parsing.py",
            "test_answers.py",
            "test_memory.py",
            "test_providers.py",
            "test_crashloop.py",
            "test_knowledge_bases.py",
            "test_explain.py",
            "test_evaluation_killed.py",
            "test_calibration.py",
            "test_chunk_editing.py",
            "test_engine.py",
            "test_remote.py",
        )
    )
}
# Locks, conflicts, ways of searching, and whatever else servers do each in its own way.
_ON_EVERY_DATABASE = {
    "auth/test_policies.py",
    "auth/test_sessions.py",
    "auth/test_wecom_login.py",
    "chat/test_answers.py",
    "chat/test_sessions.py",
    "chat/test_storing.py",
    "cli/test_import_db.py",
    "db/test_schema.py",
    "db/test_session.py",
    "evaluation/test_sets.py",
    "kb/test_chunk_editing.py",
    "kb/test_jobs.py",
    "kb/test_knowledge_bases.py",
    "kb/test_labels.py",
    "kb/test_stores.py",
    "kb/test_visibility.py",
    "kb/test_words.py",
    "kb/test_worker.py",
    "test_races.py",
}
_WHEN_ASKED_FOR = {
    "full": "needs the full package set: make test-full",
    "crash": "takes minutes: make crashloop",
    "milvus": "the same as with PostgreSQL: make test-milvus",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What uses the database is marked by itself, and some run only when they are asked for.

    Files that take long come first, so that at the end no process waits for another that has one of them left.
    """
    items.sort(key=lambda item: _LONG.get(item.path.name, len(_LONG)))
    for_all = {item for item in items if item.get_closest_marker("database")}
    for item in items:
        if "database_url" in getattr(item, "fixturenames", ()) and not _on_sqlite_alone(item):
            item.add_marker(pytest.mark.database)
    if config.option.half:
        kept = {item for item in items if item in for_all or _is_of(config.option.database, item)}
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]
    for mark, reason in _WHEN_ASKED_FOR.items():
        if mark not in (config.option.markexpr or ""):
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Python's collector need not walk through what all tests have imported, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _is_of(database: str, item: pytest.Item) -> bool:
    """Of what is not about what servers do each in its own way, each of the two is asked one half."""
    if item.path.relative_to(ROOT / "tests").as_posix() in _ON_EVERY_DATABASE:
        return True
    return zlib.crc32(item.nodeid.encode()) % 2 == KINDS.index(database) % 2


def _on_sqlite_alone(item: pytest.Item) -> bool:
    """The nearer of the two marks decides: a test's own goes before its module's."""
    named = (mark.name for mark in item.iter_markers() if mark.name in {"database", "one_database"})
    return next(named, "database") == "one_database"


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--database")


@pytest.fixture(scope="session")
def migrated_url(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database with every table and no rows, migrated once for all tests."""
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('database') / 'template.db'}"
        asyncio.run(_migrate(url))
        yield url
        return
    with database_server(database_kind) as url:
        asyncio.run(_migrate(url))
        yield url


async def _migrate(url: str) -> None:
    database = Database(url, DatabaseSettings())
    await upgrade_schema(database)
    await database.close()


@pytest.fixture(scope="session")
async def sweeper(migrated_url: str) -> AsyncIterator[Database]:
    """Takes the rows away after each test; one for all, as a connection and its statements cost more than that."""
    database = Database(migrated_url, DatabaseSettings())
    yield database
    await database.close()


@pytest.fixture
async def database_url(migrated_url: str, sweeper: Database, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database of this test's own."""
    if migrated_url.startswith("sqlite"):
        path = tmp_path / "info.db"
        shutil.copy(migrated_url.removeprefix("sqlite:///"), path)
        yield f"sqlite:///{path}"
        return
    yield migrated_url
    async with sweeper.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            await session.execute(delete(table))


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    data_dir = tmp_path / "data"
    make_secret_file(data_dir / "secrets" / "master.key", secrets.token_hex(32))
    return test_settings(data_dir, database_url)


def test_settings(data_dir: Path, database_url: str, **environ: str) -> Settings:
    """The shipped configuration over a data folder of the test's own."""
    given = {"SERVER__DATA_DIR": str(data_dir), "DATABASE__URL": database_url, "INGEST__POLL": "20ms"}
    return load_settings(environ=given | environ)


test_settings.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
async def parsers() -> AsyncIterator[dict[str, Parser]]:
    """By how they are bounded. They outlive the tests, as starting a child that reads costs more than most of these."""
    made: dict[str, Parser] = {}
    yield made
    for one in made.values():
        await one.close()


@pytest.fixture
async def worker(services: Services, parsers: dict[str, Parser]) -> AsyncIterator[Worker]:
    settings = services.settings.ingest
    shared = parsers.setdefault(settings.model_dump_json(exclude={"poll", "lease"}), Parser.of(settings))
    async with open_worker(services, shared) as opened:
        yield opened


@pytest.fixture
async def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    """Where the app is served."""
    async with serving(app) as base:
        yield base


@functools.cache
def key_pair(client_id: str) -> RSA.RsaKey:
    return new_key_pair()


@dataclass
class Callers:
    """Makes callers of all kinds."""

    services: Services
    address: str
    worker: Worker | None = None
    made: list[Caller] = field(default_factory=list)

    def _caller(self, **headers: str) -> Caller:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.made.append(Caller(self.address, names, self.worker))
        return self.made[-1]

    async def client(self, client_id: str, policy: Policy = Policy.COMPAT) -> None:
        now = self.services.runtime.clock.now()
        async with self.services.database.write() as session:
            # Each client a key of its own, drawn once for all tests: drawing one takes most of a second.
            new = NewClient(client_id, "test", policy)
            await add_client(session, self.services.vault, new, now, key_pair(client_id))

    async def token(self, client_id: str, user_id: str, name: str = "") -> str:
        async with self.services.database.read() as session:
            return await make_token(session, client_id, user_id, name, self.services.runtime.clock.now())

    async def user(self, client_id: str, user_id: str, role: Role = Role.READER) -> Caller:
        """A person with an api_token; `role` as an operator would have given it."""
        if role != Role.READER:
            async with self.services.database.write() as session:
                now = self.services.runtime.clock.now()
                session.add(
                    User(
                        client_id=client_id, id=user_id, username="", role=role, enabled=True, created_at=now
                    )
                )
        return self._caller(Api_Token=await self.token(client_id, user_id))

    async def key(self, client_id: str, *scopes: str) -> Caller:
        """A program with an api key."""
        async with self.services.database.write() as session:
            now = self.services.runtime.clock.now()
            secret = await add_api_key(session, self.services.vault, client_id, list(scopes), now)
        return self._caller(Authorization=f"Bearer {secret}")

    def nobody(self, **headers: str) -> Caller:
        """Without a credential; `headers` may bring anything."""
        return self._caller(**headers)


@pytest.fixture
async def callers(services: Services, address: str, worker: Worker) -> AsyncIterator[Callers]:
    """With one client, `acme`, to begin with."""
    callers = Callers(services, address, worker)
    await callers.client("acme")
    yield callers
    for caller in callers.made:
        await caller.http.aclose()


@pytest.fixture
async def editor(callers: Callers) -> Caller:
    """A program of `acme` that may do everything with knowledge bases."""
    return await callers.key("acme", "chat", "kb:read", "kb:write")


@pytest.fixture
async def reader(callers: Callers) -> Caller:
    """A person of `acme`."""
    return await callers.user("acme", "u1")
