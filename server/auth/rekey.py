"""Another master key, so that whatever cuts it short leaves a server that starts (see master_key.py)."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.api_token import new_key_pair
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
from server.auth.models import ClientKey, KeyKind, KeyState, SealedSecret
from server.auth.sealed import PEPPER, Sealed, list_sealed
from server.auth.secret_files import write_secret_file
from server.auth.service import add_key_pair
from server.auth.tokens import is_open
from server.auth.vault import Vault
from server.core.errors import Conflict
from server.core.i18n import Text
from server.db.session import Database


@dataclass(frozen=True, slots=True)
class Losses:
    """What ended because nothing opens it, and what came instead."""

    renewed: list[ClientKey] = field(default_factory=list)
    # For PKCS#1 v1.5; nothing comes instead by itself.
    ended: list[ClientKey] = field(default_factory=list)
    # How many api keys ended.
    api_keys: int = 0


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """What became of the keys."""

    # Holds the new master key.
    file: Path
    # Holds what was in `master.key` before.
    kept: Path | None
    losses: Losses


async def rekey(
    database: Database,
    configured: str | None,
    data_dir: Path,
    actor: str,
    now: datetime,
    *,
    lost: bool = False,
) -> Rekeyed:
    """Draw a new master key and seal everything again with it.

    With a configured key the new one is in `master.key.new`, and its text must take the place of `[auth] master_key`.
    `lost`: what opens with no key that there is ends, and the clients get new key pairs instead.
    Raises Conflict while a server or command uses the data folder, and for `lost` where nothing is; SettingsError when
    something sealed does not open.
    """
    with alone_with_key(data_dir):
        ring, fresh = read_ring(configured, data_dir), secrets.token_bytes(32)
        drawn = await _draw_keys(database, ring, now) if lost else {}
        async with database.write() as session:
            change = _Change(session, ring, Vault(fresh), actor, now)
            losses = await change.run(drawn, lost=lost)
            await session.flush()
            # The last thing before the commit: where the database is busy, nothing was done.
            _store_successor(data_dir, fresh, now)
        if configured is not None:
            return Rekeyed(successor_file(data_dir), None, losses)
        kept = take_over(data_dir, now)
        return Rekeyed(master_key_file(data_dir), kept, losses)


async def _draw_keys(database: Database, ring: KeyRing, now: datetime) -> dict[str, RSA.RsaKey]:
    """A key pair for each client that lost its own, by client id. Each takes a second, which no transaction should last."""
    async with database.read() as session:
        rows = await list_sealed(session)
    return {client_id: new_key_pair() for client_id in _clients_without(_lost_keys(rows, ring), now)}


def _lost_keys(rows: list[Sealed], ring: KeyRing) -> list[ClientKey]:
    return [row.row for row in rows if isinstance(row.row, ClientKey) and ring.find_for([row]) is None]


def _clients_without(lost: list[ClientKey], now: datetime) -> dict[str, list[str]]:
    """The clients that need a new key pair, each with the names of those it lost."""
    needy: dict[str, list[str]] = {}
    for key in lost:
        if key.kind == KeyKind.RSA and is_open(key, now):
            needy.setdefault(key.client_id, []).append(key.kid)
    return needy


def _store_successor(data_dir: Path, key: bytes, now: datetime) -> None:
    new = successor_file(data_dir)
    # It may hold the key in force, of a rekey before, which the operator has not put into the settings yet.
    keep_copy(new, now)
    write_secret_file(new, key.hex().encode("ascii") + b"\n")


@dataclass(frozen=True, slots=True)
class _Change:
    """What happens in the database."""

    session: AsyncSession
    ring: KeyRing
    successor: Vault
    actor: str
    now: datetime

    async def run(self, drawn: dict[str, RSA.RsaKey], *, lost: bool) -> Losses:
        rows = await list_sealed(self.session, hold=True)
        lost_keys, pepper = _lost_keys(rows, self.ring), _find_pepper(rows, self.ring)
        is_lost = bool(lost_keys) or pepper is None
        if is_lost and not (lost and rows):
            raise self.ring.refusal(rows)
        if lost and not is_lost:
            raise Conflict(
                Text("没有丢失任何密钥，请用不带 --lost 的 rekey", "nothing is lost; rekey without --lost")
            )
        for row in rows:
            opener = self.ring.find_for([row])
            if opener is not None and not row.is_pepper:
                row.reseal(opener.vault, self.successor)
        await self._keep_pepper(pepper or self.successor.pepper)
        if not is_lost:
            sealed = sum(isinstance(row.row, ClientKey) for row in rows)
            audit(self.session, self.now, self.actor, "master-key.rekey", keys=sealed)
            return Losses()
        ended = [key for key in lost_keys if key.kind == KeyKind.RSA_V15 and is_open(key, self.now)]
        renewed = await self._renew(lost_keys, drawn)
        api_keys = 0 if pepper else await repository.disable_api_keys(self.session)
        audit(
            self.session,
            self.now,
            self.actor,
            "master-key.lost",
            keys=len(lost_keys),
            renewed=len(renewed),
            api_keys=api_keys,
        )
        return Losses(renewed, ended, api_keys)

    async def _keep_pepper(self, pepper: bytes) -> None:
        """Api keys are stored as hashes that nobody can make again: what they were hashed with stays."""
        sealed = self.successor.seal(pepper, context=PEPPER)
        await self.session.merge(SealedSecret(name=PEPPER, sealed=sealed))

    async def _renew(self, lost: list[ClientKey], drawn: dict[str, RSA.RsaKey]) -> list[ClientKey]:
        needy, renewed = _clients_without(lost, self.now), []
        for key in lost:
            key.state, key.retire_at, key.sealed_private = KeyState.DISABLED, None, None
        await self.session.flush()
        for client_id, kids in needy.items():
            fresh = await add_key_pair(
                self.session, self.successor, client_id, self.now, key=drawn.get(client_id)
            )
            audit(self.session, self.now, self.actor, "key.lost", client_id, fresh.kid, lost=kids)
            renewed.append(fresh)
        return renewed


def _find_pepper(rows: list[Sealed], ring: KeyRing) -> bytes | None:
    """What api keys are hashed with; None when that is lost."""
    for row in rows:
        if row.is_pepper:
            opener = ring.find_for([row])
            return row.open(opener.vault) if opener else None
    # Before the first rekey it is derived from the master key.
    opener = next((key for row in rows if (key := ring.find_for([row]))), None) if rows else ring.find_for([])
    return opener.vault.pepper if opener else None
