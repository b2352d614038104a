"""The master key: found at the start, and changed by `rekey` so that a crash at any moment leaves a server that starts.

The new key is on disk (`master.key.new`) before anything is sealed with it, and takes its place only after the commit
that sealed everything again. Whichever of the two opens the keys is the right one.
"""

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from server.auth import repository
from server.auth.audit import audit
from server.auth.models import ClientKey, SealedSecret
from server.auth.vault import Vault, load_master_key, master_key_file, read_master_key, write_secret_file
from server.core.errors import Conflict
from server.core.i18n import Text
from server.db.session import Database

log = logging.getLogger(__name__)

_PEPPER = "api-key pepper"


async def open_vault(database: Database, configured: str | None, data_dir: Path) -> Vault:
    """Return the vault of the master key that sealed the private keys.

    Raises SettingsError with the remedy when the key is missing, malformed or another one.
    """
    async with database.read() as session:
        sealed = await repository.find_any_key(session)
        pepper = await repository.find_sealed_secret(session, _PEPPER)
    vault = Vault(load_master_key(configured, data_dir))
    if sealed is not None and not _opens(vault, sealed):
        vault = _finish_rekey(vault, sealed, configured, data_dir)
    if pepper is not None:
        vault.use_pepper(vault.open(pepper.sealed, context=_PEPPER))
    return vault


def _finish_rekey(vault: Vault, sealed: ClientKey, configured: str | None, data_dir: Path) -> Vault:
    """After a crash between commit and renaming. Raises SettingsError when the new key is not the right one either."""
    path, new = master_key_file(data_dir), _new_file(data_dir)
    if new.is_file() and _opens(successor := Vault(read_master_key(new)), sealed):
        if configured is None:
            new.replace(path)
        else:
            log.warning("the master key is in a file; give it as [auth] master_key", extra={"file": str(new)})
        return successor
    assert sealed.sealed_private is not None
    vault.open(sealed.sealed_private, context=_context(sealed))
    return vault


async def rekey(
    database: Database, vault: Vault, configured: str | None, data_dir: Path, actor: str, now: datetime
) -> Path:
    """Draw a new master key and seal everything again with it; returns the file that holds it.

    Run it while no server runs: one that does goes on with the old key until it is started again. With a configured key
    the file is `master.key.new`, and its text must take the place of `[auth] master_key`. Raises Conflict when another
    rekey runs.
    """
    path, new = master_key_file(data_dir), _new_file(data_dir)
    with _alone(path.with_suffix(".lock")):
        fresh = secrets.token_bytes(32)
        write_secret_file(new, fresh.hex())
        successor = Vault(fresh)
        async with database.write() as session:
            keys = await repository.list_sealed_keys(session)
            for key in keys:
                assert key.sealed_private is not None
                plain = vault.open(key.sealed_private, context=_context(key))
                key.sealed_private = successor.seal(plain, context=_context(key))
            # Api keys are stored as hashes that nobody can make again: what they were hashed with stays.
            pepper = successor.seal(vault.pepper, context=_PEPPER)
            await session.merge(SealedSecret(name=_PEPPER, sealed=pepper))
            audit(session, now, actor, "master-key.rekey", keys=len(keys))
        if configured is not None:
            return new
        new.replace(path)
        return path


def _new_file(data_dir: Path) -> Path:
    return master_key_file(data_dir).with_suffix(".key.new")


def _context(key: ClientKey) -> str:
    return f"{key.client_id}|{key.id}"


def _opens(vault: Vault, key: ClientKey) -> bool:
    assert key.sealed_private is not None
    return vault.can_open(key.sealed_private, context=_context(key))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict(Text("另一个 rekey 正在运行", "another rekey is running")) from None
    finally:
        os.close(descriptor)
