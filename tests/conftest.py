"""Fixtures: a real database of the kind that `--database` names, the real bundled model, the real FAISS, the real app
behind a real socket. Nothing is patched; what differs is passed in."""

import asyncio
import functools
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from Crypto.PublicKey import RSA
from fastapi import FastAPI
from sqlalchemy import delete

from server.app import create_app
from server.auth.api_token import new_key_pair
from server.auth.models import User
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_api_key, add_client, make_token
from server.core.configuration import load_settings
from server.core.settings import DatabaseSettings, Settings
from server.db.schema import upgrade_schema
from server.db.session import Database
from server.kb.worker import Worker
from server.services import Services, open_services
from server.tables import Base
from server.worker import open_worker
from tests.support.api import Caller, serving
from tests.support.databases import KINDS, database_server

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=KINDS, default="sqlite", help="the database to run against")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What uses the database is marked by itself, and tests of the full set run only when asked for."""
    for item in items:
        if "database_url" in getattr(item, "fixturenames", ()) and not item.get_closest_marker(
            "one_database"
        ):
            item.add_marker(pytest.mark.database)
    if "full" not in (config.option.markexpr or ""):
        reason = pytest.mark.skip(reason="needs the full package set: make test-full")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(reason)


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


@pytest.fixture
async def database_url(migrated_url: str, tmp_path: Path) -> AsyncIterator[str]:
    """An empty database of this test's own."""
    if migrated_url.startswith("sqlite"):
        path = tmp_path / "info.db"
        shutil.copy(migrated_url.removeprefix("sqlite:///"), path)
        yield f"sqlite:///{path}"
        return
    yield migrated_url
    database = Database(migrated_url, DatabaseSettings())
    async with database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            await session.execute(delete(table))
    await database.close()


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


@pytest.fixture
async def worker(services: Services) -> AsyncIterator[Worker]:
    async with open_worker(services) as opened:
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
