"""Another master key: everything opens as before, whenever the change was cut short."""

import asyncio
import contextlib
import secrets
import shutil
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from server.auth import rekey as rekey_module
from server.auth.audit import CLI
from server.auth.client_keys import Rotation, allow_pkcs1v15, revoke_key, rotate_key
from server.auth.inspection import inspect_token
from server.auth.key_lock import alone_with_key, working_with_key
from server.auth.master_key import master_key_file, open_vault, read_ring, successor_file
from server.auth.models import Audit, ClientKey, SealedSecret
from server.auth.rekey import Rekeyed, rekey
from server.auth.repository import list_audit
from server.auth.secret_files import make_secret_file
from server.auth.service import add_api_key, add_key_pair, make_token
from server.auth.vault import Vault
from server.core.clock import FrozenClock
from server.core.errors import Busy, Conflict, SettingsError
from server.core.settings import Settings
from server.db.session import Database
from server.services import Services, open_services
from tests.auth.conftest import World
from tests.conftest import key_pair


class Crash(Exception):
    """As a power cut, but that what is open is closed."""


def _crash(*_: object) -> None:
    raise Crash


@dataclass
class Server:
    """A server that is started and stopped: with two clients and an api key."""

    settings: Settings
    clock: FrozenClock
    api_key: str = ""
    # `[auth] master_key`.
    configured: str | None = None

    @property
    def data_dir(self) -> Path:
        return self.settings.server.data_dir

    @property
    def file(self) -> Path:
        return master_key_file(self.data_dir)

    @property
    def new(self) -> Path:
        return successor_file(self.data_dir)

    @property
    def earlier(self) -> list[Path]:
        return sorted(set(self.file.parent.glob("master.key.*")) - {self.new})

    @asynccontextmanager
    async def started(self) -> AsyncIterator[tuple[Services, World]]:
        key = SecretStr(self.configured) if self.configured else None
        auth = self.settings.auth.model_copy(update={"master_key": key})
        async with open_services(self.settings.model_copy(update={"auth": auth})) as services:
            yield services, World(services.database, services.vault, self.clock, auth, services.attachments)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        database = Database(self.settings.database_url, self.settings.database)
        try:
            yield database
        finally:
            await database.close()

    async def works(self) -> None:
        async with self.started() as (_, world):
            process = world.process()
            for client in ("c1", "c2"):
                assert await process.login(world.token(client, secrets.token_hex(4)))
            assert (await process.user(self.api_key)).client_id == "c1"
            for runtime in world.opened:
                await runtime.tasks.drain()

    async def rekey(self, *, lost: bool = False) -> Rekeyed:
        async with self.database() as database:
            return await rekey(database, self.configured, self.data_dir, CLI, self.clock.at, lost=lost)

    async def audit(self) -> list[Audit]:
        async with self.database() as database, database.read() as session:
            return await list_audit(session, None, offset=0, limit=1000)


@pytest.fixture
async def server(settings: Settings) -> Server:
    server = Server(settings, FrozenClock(datetime.now(UTC).replace(microsecond=0)))
    async with server.started() as (services, world):
        await world.client("c1")
        await world.client("c2")
        async with services.database.write() as session:
            server.api_key = await add_api_key(session, services.vault, "c1", ["chat"], server.clock.at)
    return server


def _move_to_the_settings(server: Server) -> None:
    server.configured = server.file.read_text("ascii").strip()
    server.file.unlink()


async def test_rekey(server: Server) -> None:
    keys = []
    for _ in range(3):
        keys.append(server.file.read_text("ascii"))
        done = await server.rekey()
        assert done.file == server.file
        assert not server.new.exists()
        assert done.kept is not None
        assert done.kept.read_text("ascii") == keys[-1], "older backups of the database need it"
        assert stat.S_IMODE(done.kept.stat().st_mode) == stat.S_IMODE(server.file.stat().st_mode) == 0o600
        await server.works()
    assert [file.read_text("ascii") for file in server.earlier] == keys, "also of three within a second"
    assert server.file.read_text("ascii") not in keys
    rows = [row for row in await server.audit() if row.action == "master-key.rekey"]
    assert [row.detail for row in rows] == [{"keys": 2}] * 3


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
async def test_a_crash(server: Server, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """In the process itself; tests/live/test_rekey_killed.py kills one at every step."""
    before = server.file.read_text("ascii")
    name = "_store_successor" if moment == "before the commit" else "take_over"
    with monkeypatch.context() as patch:
        patch.setattr(rekey_module, name, _crash)
        with pytest.raises(Crash):
            await server.rekey()
    await server.works()
    assert not server.new.exists(), "the start puts it right"
    assert (server.file.read_text("ascii") == before) == (moment == "before the commit")
    await server.rekey()
    await server.works()


async def test_of_many_that_start_after_a_crash(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rekey_module, "take_over", _crash)
        with pytest.raises(Crash):
            await server.rekey()
    async with server.database() as database:
        vaults = await asyncio.gather(*(open_vault(database, None, server.data_dir) for _ in range(20)))
    assert len(vaults) == 20
    await server.works()


async def test_a_key_from_the_settings(server: Server) -> None:
    _move_to_the_settings(server)
    old = server.configured
    done = await server.rekey()
    assert done.file == server.new
    assert not server.file.exists(), "what was configured is not written to a file"
    for configured in (old, server.new.read_text("ascii").strip()):
        server.configured = configured
        await server.works()


async def test_again_before_the_key_is_in_the_settings(server: Server) -> None:
    """The key in force is in `master.key.new` alone, then."""
    _move_to_the_settings(server)
    await server.rekey()
    first = server.new.read_text("ascii")
    await server.rekey()
    assert [file.read_text("ascii") for file in server.earlier] == [first]
    await server.works()
    server.configured = server.new.read_text("ascii").strip()
    await server.works()
    await server.rekey()
    await server.works()


@pytest.mark.parametrize("configured", [False, True])
async def test_again_while_the_database_is_busy(server: Server, configured: bool) -> None:
    if not server.settings.database_url.startswith("sqlite"):
        pytest.skip("holds SQLite's one lock")
    if configured:
        _move_to_the_settings(server)
    await server.rekey()
    files = {file.name: file.read_bytes() for file in server.file.parent.iterdir()}
    impatient = server.settings.database.model_copy(update={"lock_timeout": timedelta(milliseconds=50)})
    server.settings = server.settings.model_copy(update={"database": impatient})
    path = server.settings.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy):
            await server.rekey()
        other.execute("ROLLBACK")
    assert {file.name: file.read_bytes() for file in server.file.parent.iterdir()} == files
    await server.works()


async def test_beside_a_server(server: Server) -> None:
    """It would go on with the old key, and seal what is lost then."""
    before = server.file.read_text("ascii")
    async with server.started():
        with pytest.raises(Conflict, match="stop the server"):
            await server.rekey()
        async with server.started():
            pass
        with pytest.raises(Conflict):
            await server.rekey()
    assert (server.file.read_text("ascii"), server.earlier) == (before, [])
    await server.rekey()
    await server.works()


async def test_a_start_waits_for_a_rekey(server: Server) -> None:
    with alone_with_key(server.data_dir):
        start = asyncio.create_task(server.works())
        await asyncio.sleep(0.3)
        assert not start.done()
        with pytest.raises(Conflict):
            async with working_with_key(server.data_dir, patience=0.1):
                pass
    await start


async def test_a_folder_that_cannot_be_locked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "secrets").write_text("")
    async with working_with_key(tmp_path):
        assert "cannot lock" in caplog.text


async def test_a_server_that_went_on_with_the_old_key(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On another machine, say, which shares the database and nothing else: it seals nothing, and says what to do."""
    async with server.started() as (services, world):
        elsewhere = tmp_path / "elsewhere"
        shutil.copytree(server.file.parent, elsewhere / "secrets")
        await rekey(services.database, None, elsewhere, CLI, server.clock.at)
        process = world.process()
        for _ in range(2):
            assert await process.no_login(world.token("c1")) == "invalid_token"
            assert await process.no_login(world.token("c2")) == "invalid_token"
            assert await process.no_login(world.token("nobody")) == "invalid_token"
        told = [record for record in caplog.records if record.levelname == "ERROR"]
        assert [record.__dict__["client"] for record in told] == ["c1", "c2"], "once, not for every stranger"
        assert "restart this server" in told[0].message
        assert (await process.user(server.api_key)).client_id == "c1"
        for work in (
            lambda session: add_api_key(session, services.vault, "c1", ["chat"], server.clock.at),
            lambda session: add_key_pair(session, services.vault, "c1", server.clock.at, key=key_pair("c1")),
        ):
            with pytest.raises(Conflict, match="restart the server"):
                async with services.database.write() as session:
                    await work(session)
        async with services.database.read() as session:
            *_, step = await inspect_token(
                session,
                services.vault,
                services.runtime.lanes,
                world.token("c1"),
                world.settings,
                server.clock.at,
            )
        assert "restart the server" in step.found.en
        for runtime in world.opened:
            await runtime.tasks.drain()


async def test_two_at_once(server: Server) -> None:
    before = server.file.read_text("ascii")
    with alone_with_key(server.data_dir), pytest.raises(Conflict):
        await server.rekey()
    assert (server.file.read_text("ascii"), server.earlier) == (before, [])
    await server.works()


async def test_an_older_backup_of_the_database(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Is opened with the key of its day; the next rekey seals it with a new one."""
    async with server.database() as database:
        async with database.read() as session:
            backup = {key.id: key.sealed_private for key in await session.scalars(select(ClientKey))}
        await server.rekey()
        async with database.write() as session:
            for key in await session.scalars(select(ClientKey)):
                key.sealed_private = backup[key.id]
            for secret in await session.scalars(select(SealedSecret)):
                await session.delete(secret)
    await server.works()
    assert "an earlier master key is in force" in caplog.text
    await server.rekey()
    caplog.clear()
    await server.works()
    assert "earlier" not in caplog.text


async def _seal_with_another(server: Server, client: str, key: bytes) -> None:
    """What a server of another machine could do that went on with its key."""
    vault = Vault(key)
    async with server.database() as database, database.write() as session:
        for row in await session.scalars(select(ClientKey)):
            if row.client_id == client:
                row.sealed_private = vault.seal(b"x", context=row.seal_context)


async def test_rows_that_do_not_open_are_named(server: Server) -> None:
    other = secrets.token_bytes(32)
    await _seal_with_another(server, "c2", other)
    files = server.file.read_text("ascii"), server.earlier
    for work in (server.works, server.rekey):
        with pytest.raises(SettingsError, match=r"1 of 2 keys .* client c2 key k1\. Put .*\.old .*--lost"):
            await work()
    assert (server.file.read_text("ascii"), server.earlier, server.new.exists()) == (*files, False)
    # Its key is found again.
    server.file.with_name("master.key.old").write_text(other.hex(), "ascii")
    with pytest.raises(SettingsError, match=r"more than one master key; `python -m server rekey`"):
        await server.works()
    await server.rekey()
    async with server.database() as database:
        await open_vault(database, None, server.data_dir)


async def test_a_key_that_is_gone(server: Server) -> None:
    server.file.unlink()
    with pytest.raises(SettingsError) as caught:
        await server.works()
    words = str(caught.value)
    assert "2 of 2 keys in the database were sealed with a master key that is gone" in words
    assert "client c1 key k1, client c2 key k1" in words
    assert "rekey --lost" in words
    assert "init_db" not in words
    server.configured = "ab" * 32
    with pytest.raises(SettingsError, match="is gone"):
        await server.works()


def _damage(server: Server, how: str) -> None:
    if how == "settings":
        _move_to_the_settings(server)
        server.configured = "ab" * 32
    elif how == "gone":
        server.file.unlink()
    else:
        server.file.write_bytes(b"\xef\xbb\xbf" + server.file.read_bytes())


@pytest.mark.parametrize("how", ["gone", "damaged", "settings"])
@pytest.mark.parametrize("before", [False, True], ids=["never changed", "changed before"])
async def test_the_way_out_without_a_backup(server: Server, how: str, before: bool) -> None:
    if before:
        await server.rekey()
        for file in server.earlier:
            file.unlink()
    async with server.started() as (services, _), services.database.write() as session:
        await revoke_key(session, CLI, "c1", "k1", server.clock.at)
        await rotate_key(
            session, services.vault, CLI, "c1", Rotation(timedelta(days=1)), server.clock.at, key_pair("c1")
        )
        await allow_pkcs1v15(session, services.vault, CLI, "c2", server.clock.at, key_pair("c2"))
    _damage(server, how)
    with pytest.raises(SettingsError, match="is gone"):
        await server.rekey()
    done = await server.rekey(lost=True)
    assert [(key.client_id, key.kid) for key in done.losses.renewed] == [("c1", "k3"), ("c2", "k3")]
    assert [(key.client_id, key.kid) for key in done.losses.ended] == [("c2", "k2")]
    assert done.losses.api_keys == 1
    if how == "settings":
        server.configured = done.file.read_text("ascii").strip()
    async with server.started() as (services, world):
        process = world.process()
        for client in ("c1", "c2"):
            assert await process.no_login(world.token(client)) == "invalid_token", "made with the old key"
            async with services.database.read() as session:
                token = await make_token(session, client, "u1", "", server.clock.at)
            assert await process.login(token)
        assert await process.refusal(server.api_key) == "invalid_token"
        async with services.database.write() as session:
            fresh = await add_api_key(session, services.vault, "c1", ["chat"], server.clock.at)
        assert (await process.user(fresh)).client_id == "c1"
        for runtime in world.opened:
            await runtime.tasks.drain()
    rows = {(row.action, row.client_id): row.detail for row in await server.audit()}
    assert rows["master-key.lost", None] == {"keys": 4, "renewed": 2, "api_keys": 1}
    assert (rows["key.lost", "c1"], rows["key.lost", "c2"]) == ({"lost": ["k2"]}, {"lost": ["k1"]})
    with pytest.raises(Conflict, match="nothing is lost"):
        await server.rekey(lost=True)
    server.api_key = fresh
    await server.rekey()


async def test_what_still_opens_is_kept(server: Server) -> None:
    await _seal_with_another(server, "c2", secrets.token_bytes(32))
    done = await server.rekey(lost=True)
    assert [(key.client_id, key.kid) for key in done.losses.renewed] == [("c2", "k2")]
    assert done.losses.api_keys == 0
    async with server.started() as (_, world):
        process = world.process()
        assert await process.login(world.token("c1"))
        assert (await process.user(server.api_key)).client_id == "c1"


def test_others_may_read_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = master_key_file(tmp_path)
    assert make_secret_file(path, "ab" * 32)
    read_ring(None, tmp_path)
    assert caplog.text == ""
    path.chmod(0o640)
    read_ring(None, tmp_path)
    assert "chmod 600" in caplog.text
    assert caplog.records[0].__dict__["mode"] == "0640"


def test_what_a_master_key_is(tmp_path: Path) -> None:
    assert "init_db" in (read_ring(None, tmp_path).problem or "")
    path = master_key_file(tmp_path)
    path.parent.mkdir(mode=0o700)
    for bad in (b"", b"xyz", b"ab" * 31, b"\xef\xbb\xbf" + b"ab" * 32, secrets.token_bytes(64)):
        path.write_bytes(bad)
        assert "64 hexadecimal" in (read_ring(None, tmp_path).problem or "")
    path.write_text("ab" * 32 + "\n")
    for configured, expected in ((None, "ab"), ("cd" * 32, "cd")):
        (key, *_) = read_ring(configured, tmp_path).keys
        assert key.vault.pepper == Vault(bytes.fromhex(expected * 32)).pepper
    assert "[auth] master_key: a master key is 64" in (read_ring("ab", tmp_path).problem or "")
