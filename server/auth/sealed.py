"""Everything that the master key sealed: the private halves of client keys, and secrets of the server's own."""

import logging
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.models import ClientKey, SealedSecret
from server.auth.vault import Vault
from server.core.errors import Conflict
from server.core.i18n import Text

log = logging.getLogger(__name__)

# The name of the sealed secret that api keys are hashed with; there is none before the first `rekey`.
PEPPER = "api-key pepper"


@dataclass(frozen=True, slots=True)
class Sealed:
    """One row with something sealed in it."""

    row: ClientKey | SealedSecret

    @property
    def name(self) -> str:
        """What it is, for people."""
        if isinstance(self.row, ClientKey):
            return f"client {self.row.client_id} key {self.row.kid}"
        return self.row.name

    @property
    def is_pepper(self) -> bool:
        return isinstance(self.row, SealedSecret) and self.row.name == PEPPER

    def open(self, vault: Vault) -> bytes:
        """Raises WrongMasterKey."""
        return vault.open(self._blob, context=self._context)

    def opens_with(self, vault: Vault) -> bool:
        return vault.can_open(self._blob, context=self._context)

    def reseal(self, old: Vault, new: Vault) -> None:
        """Raises WrongMasterKey."""
        blob = new.seal(self.open(old), context=self._context)
        if isinstance(self.row, ClientKey):
            self.row.sealed_private = blob
        else:
            self.row.sealed = blob

    @property
    def _blob(self) -> bytes:
        if isinstance(self.row, SealedSecret):
            return self.row.sealed
        assert self.row.sealed_private is not None
        return self.row.sealed_private

    @property
    def _context(self) -> str:
        return self.row.seal_context


async def list_sealed(session: AsyncSession, *, hold: bool = False) -> list[Sealed]:
    """All of it; `hold`: against changes until the end of the transaction."""
    keys = await repository.list_sealed_keys(session, hold=hold)
    rows: list[ClientKey | SealedSecret] = [*keys, *await repository.list_sealed_secrets(session)]
    return [Sealed(row) for row in rows]


async def check_in_force(session: AsyncSession, vault: Vault) -> None:
    """Before something is sealed or hashed: raises Conflict when another master key took this one's place meanwhile.

    `rekey` does not run beside a server of the same data folder; this is for one that it could not know of.
    """
    key = await repository.find_any_key(session)
    if key is not None and not Sealed(key).opens_with(vault):
        log.error("the master key was changed: restart this server")
        raise Conflict(
            Text(
                "主密钥已更换，请管理员重启服务",
                "the master key was changed; your operator must restart the server",
            )
        )
