"""A world of its own for each test of identities: a clock that the test moves, and as many processes as it opens."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from Crypto.PublicKey import RSA

from server.auth.api_token import Padding, make_token
from server.auth.guard import Guard
from server.auth.models import Audit
from server.auth.policy import Policy
from server.auth.principal import Principal
from server.auth.repository import list_audit
from server.auth.service import Authenticator, NewClient, add_client
from server.auth.signon import SignOn
from server.auth.tokens import Tokens
from server.auth.vault import Vault
from server.core.clock import FrozenClock
from server.core.errors import AppError
from server.core.runtime import Runtime
from server.core.settings import AuthSettings, H5Settings
from server.db.session import Database
from server.kb.attachments import Attachments
from server.services import Services
from tests.conftest import key_pair

HOME = "192.0.2.1"


@dataclass
class Process:
    """What one API process has of identities."""

    authenticator: Authenticator
    signon: SignOn
    guard: Guard
    runtime: Runtime

    async def user(self, credential: str, address: str = HOME) -> Principal:
        return await self.authenticator.authenticate(credential, address)

    async def refusal(self, credential: str, address: str = HOME) -> str:
        """The code with which a credential is refused on a route."""
        return await _code(self.authenticator.authenticate(credential, address))

    def forget(self) -> None:
        """What a minute does: callers and refusals are forgotten, tokens that were opened are not."""
        self.see_changes()
        self.authenticator._tokens._forged.clear()
        self.authenticator._tokens._doubtful.clear()

    def see_changes(self) -> None:
        """What five seconds do: clients and callers are read again."""
        self.authenticator._principals.clear()
        self.authenticator._tokens._issuers.clear()
        self.authenticator._tokens._nobodies.clear()

    async def login(self, credential: str, address: str = HOME) -> str:
        self.signon.check_arrival(address)
        return (await self.signon.login(credential, address)).secret

    async def no_login(self, credential: str, address: str = HOME) -> str:
        """The code with which an exchange is refused."""
        return await _code(self.login(credential, address))


async def _code(work: Any) -> str:
    try:
        await work
    except AppError as error:
        return error.code
    raise AssertionError("was let in")


@dataclass
class World:
    database: Database
    vault: Vault
    clock: FrozenClock
    settings: AuthSettings
    attachments: Attachments
    opened: list[Runtime] = field(default_factory=list)

    def process(self, h5: H5Settings | None = None, **settings: Any) -> Process:
        """Another process on the same database, as after a restart: with an empty memory."""
        auth, runtime = self.settings.model_copy(update=settings), Runtime(self.clock)
        self.opened.append(runtime)
        guard = Guard(auth)
        tokens = Tokens(self.database, self.vault, auth, runtime, guard)
        authenticator = Authenticator(self.database, self.vault, tokens, guard, auth, runtime)
        return Process(
            authenticator,
            SignOn(self.database, tokens, guard, auth, h5 or H5Settings(), runtime),
            guard,
            runtime,
        )

    async def client(self, client_id: str, policy: Policy = Policy.EXCHANGE) -> None:
        async with self.database.write() as session:
            await add_client(
                session, self.vault, NewClient(client_id, policy=policy), self.clock.at, key_pair(client_id)
            )

    def token(
        self,
        client_id: str,
        user_id: str = "u1",
        *,
        age: timedelta = timedelta(0),
        key: RSA.RsaKey | None = None,
        padding: Padding = "oaep-256/256",
    ) -> str:
        key = (key or key_pair(client_id)).public_key()
        return make_token(client_id, user_id, "张三", self.clock.at - age, key, padding)

    async def audit(self) -> list[Audit]:
        async with self.database.read() as session:
            return await list_audit(session, offset=0, limit=1000)


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    clock = FrozenClock(datetime.now(UTC).replace(microsecond=0))
    world = World(services.database, services.vault, clock, services.settings.auth, services.attachments)
    yield world
    for runtime in world.opened:
        await runtime.tasks.drain()
