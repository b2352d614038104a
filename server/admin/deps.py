"""Who operates, and what an operation works with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from Crypto.PublicKey import RSA
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.api_token import new_key_pair
from server.auth.deps import Needs
from server.auth.management import get_client
from server.auth.principal import Principal, Scope
from server.auth.service import Authenticator
from server.auth.vault import Vault
from server.chat.running import RunningAnswers
from server.core.errors import Busy, Forbidden, NotFound
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database

Admin = Annotated[Principal, Depends(Needs(Scope.ADMIN))]
# Keys that are asked for while one is drawn.
_KEYS_WAITING = 4


@dataclass(frozen=True, slots=True)
class Desk:
    """What the operations of `server.auth.management` need."""

    database: Database
    vault: Vault
    settings: Settings
    runtime: Runtime
    authenticator: Authenticator
    running: RunningAnswers

    @property
    def now(self) -> datetime:
        return self.runtime.clock.now()

    @asynccontextmanager
    async def change(self, caller: Principal, client_id: str) -> AsyncIterator[AsyncSession]:
        """A transaction about one client. Once it is committed, the answers of whoever it disabled end.

        Raises NotFound for a client that is none of the caller's business.
        """
        async with self.database.write() as session:
            await self._check(session, caller, client_id)
            yield session
        self.authenticator.forget(client_id)
        await self.running.check()

    @asynccontextmanager
    async def look(self, caller: Principal, client_id: str) -> AsyncIterator[AsyncSession]:
        """The same for reading."""
        async with self.database.read() as session:
            await self._check(session, caller, client_id)
            yield session

    async def draw_key(self) -> RSA.RsaKey:
        """A new RSA key; takes a second, which no transaction should last, so ask before whether it is wanted.

        Raises Busy when several wait for theirs.
        """
        if self.runtime.lanes.waiting("keys") >= _KEYS_WAITING:
            raise Busy(
                Text("正在生成其他密钥，请稍后再试", "other keys are being drawn; try again in a moment"),
                retry_after=5,
            )
        return await self.runtime.lanes.run("keys", new_key_pair)

    async def _check(self, session: AsyncSession, caller: Principal, client_id: str) -> None:
        if caller.client_id != client_id and not is_operator(caller):
            raise NotFound(Text("未找到该客户端", "client not found"))
        await get_client(session, client_id)


def is_operator(caller: Principal) -> bool:
    """An api key with the scope `admin` operates the whole server; a person with the role `admin` their own client."""
    return caller.api_key_id is not None and caller.may(Scope.ADMIN)


class NeedsOperator(Needs):
    """403 for an administrator of one client."""

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        caller = await super().__call__(request)
        if not is_operator(caller):
            words = Text(
                "没有权限：此操作需要带 admin 权限的 API 密钥",
                "not allowed: this needs an api key with the scope admin",
            )
            raise Forbidden(words)
        return caller


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


Operator = Annotated[Principal, Depends(NeedsOperator(Scope.ADMIN))]
DeskDep = Annotated[Desk, Depends(_desk)]
