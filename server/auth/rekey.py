"""Another master key, so that whatever cuts it short leaves a server that starts (see master_key.py)."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.audit import audit
from server.auth.key_lock import alone_with_key
from server.auth.master_key import (
    KeyRing,
    keep_copy,
    master_key_file,
    read_ring,
    successor_file,
    take_over,
)
from server.auth.models import SealedSecret
from server.auth.sealed import PEPPER, Sealed, list_sealed
from server.auth.secret_files import write_secret_file
from server.auth.vault import Vault
from server.db.session import Database


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What became of the keys."""

    # Holds the new master key.
    file: Path
    # Holds the one before, where that came from `master.key`.
    kept: Path | None


async def rekey(
    database: Database, configured: str | None, data_dir: Path, actor: str, now: datetime
) -> Rekeyed:
    """Draw a new master key and seal everything again with it.

    With a configured key the new one is in `master.key.new`, and its text must take the place of `[auth] master_key`.
    Raises Conflict while a server or command uses the data folder, SettingsError when something sealed does not open.
    """
    with alone_with_key(data_dir):
        ring, fresh = read_ring(configured, data_dir), secrets.token_bytes(32)
        async with database.write() as session:
            rows = await list_sealed(session, hold=True)
            _seal_again(session, rows, ring, Vault(fresh))
            audit(session, now, actor, "master-key.rekey", keys=sum(not row.is_pepper for row in rows))
            await session.flush()
            # The last thing before the commit: where the database is busy, nothing was done.
            _store_successor(data_dir, fresh, now)
        if configured is not None:
            return Rekeyed(successor_file(data_dir), None)
        kept = take_over(data_dir, now)
        return Rekeyed(master_key_file(data_dir), kept)


def _store_successor(data_dir: Path, key: bytes, now: datetime) -> None:
    new = successor_file(data_dir)
    # It may hold the key in force, of a rekey before, which the operator has not put into the settings yet.
    keep_copy(new, now)
    write_secret_file(new, key.hex().encode("ascii") + b"\n")


def _seal_again(session: AsyncSession, rows: list[Sealed], ring: KeyRing, successor: Vault) -> None:
    """Raises SettingsError when a row opens with none of the keys."""
    openers = [ring.find_for([row]) for row in rows]
    pepper = _find_pepper(rows, ring)
    if pepper is None or None in openers:
        raise ring.refusal(rows)
    for row, opener in zip(rows, openers, strict=True):
        assert opener is not None
        row.reseal(opener.vault, successor)
    if not any(row.is_pepper for row in rows):
        # Api keys are stored as hashes that nobody can make again: what they were hashed with stays.
        session.add(SealedSecret(name=PEPPER, sealed=successor.seal(pepper, context=PEPPER)))


def _find_pepper(rows: list[Sealed], ring: KeyRing) -> bytes | None:
    """What api keys are hashed with; None when that is lost."""
    for row in rows:
        if row.is_pepper:
            opener = ring.find_for([row])
            return row.open(opener.vault) if opener else None
    # Before the first rekey it is derived from the master key.
    opener = next((key for row in rows if (key := ring.find_for([row]))), None) if rows else ring.find_for([])
    return opener.vault.pepper if opener else None
