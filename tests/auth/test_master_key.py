"""Another master key: everything opens as before, whenever the change was cut short."""

import secrets
import stat
from pathlib import Path

import pytest

from server.auth import master_key
from server.auth.audit import CLI
from server.auth.master_key import open_vault, rekey
from server.auth.service import add_api_key
from server.auth.vault import Vault, master_key_file
from server.core.errors import Conflict, SettingsError
from server.core.settings import Settings
from tests.auth.conftest import World


class Crash(Exception):
    pass


@pytest.fixture
async def key(world: World) -> str:
    """A client, and an api key."""
    await world.client("c1")
    await world.client("c2")
    async with world.database.write() as session:
        return await add_api_key(session, world.vault, "c1", ["chat"], world.clock.at)


async def _all_works(world: World, vault: Vault, api_key: str) -> None:
    world.vault = vault
    process = world.process()
    for client in ("c1", "c2"):
        assert await process.login(world.token(client, secrets.token_hex(4)))
    assert (await process.user(api_key)).client_id == "c1"


async def test_rekey(world: World, key: str, settings: Settings) -> None:
    data_dir = settings.server.data_dir
    before = master_key_file(data_dir).read_text()
    for _ in range(2):
        path = await rekey(world.database, world.vault, None, data_dir, CLI, world.clock.at)
        assert path == master_key_file(data_dir)
        world.vault = await open_vault(world.database, None, data_dir)
        await _all_works(world, world.vault, key)
    assert path.read_text() != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(SettingsError, match=r"master\.key"):
        await open_vault(world.database, before.strip(), data_dir)
    (row, *_) = [row for row in await world.audit() if row.action == "master-key.rekey"]
    assert row.detail == {"keys": 2}


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
async def test_a_crash(world: World, key: str, settings: Settings, monkeypatch, moment: str) -> None:
    data_dir = settings.server.data_dir

    def crash(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        if moment == "before the commit":
            patch.setattr(master_key, "audit", crash)
        else:
            patch.setattr(Path, "replace", _crash_on_new)
        with pytest.raises(Crash):
            await rekey(world.database, world.vault, None, data_dir, CLI, world.clock.at)
    vault = await open_vault(world.database, None, data_dir)
    await _all_works(world, vault, key)
    world.vault = await open_vault(world.database, None, data_dir)
    await rekey(world.database, world.vault, None, data_dir, CLI, world.clock.at)
    await _all_works(world, await open_vault(world.database, None, data_dir), key)


def _crash_on_new(path: Path, target: Path) -> Path:
    if path.name == "master.key.new":
        raise Crash
    return path.rename(target)


async def test_a_key_from_the_environment(world: World, key: str, settings: Settings) -> None:
    data_dir = settings.server.data_dir
    old = master_key_file(data_dir).read_text().strip()
    path = await rekey(world.database, world.vault, old, data_dir, CLI, world.clock.at)
    assert path.name == "master.key.new"
    for configured in (old, path.read_text().strip()):
        await _all_works(world, await open_vault(world.database, configured, data_dir), key)


async def test_two_at_once(world: World, key: str, settings: Settings) -> None:
    data_dir = settings.server.data_dir
    with master_key._alone(master_key_file(data_dir).with_suffix(".lock")), pytest.raises(Conflict):
        await rekey(world.database, world.vault, None, data_dir, CLI, world.clock.at)
    await _all_works(world, await open_vault(world.database, None, data_dir), key)
