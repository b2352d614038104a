"""How people come in: a token or a ticket becomes a session, and a login is handed over to the page."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.api_token import USER_ID_RULE, TokenError, check_user_id, clean_username
from server.auth.audit import SERVER, audit
from server.auth.guard import Guard
from server.auth.models import AuthSession, User
from server.auth.principal import Principal
from server.auth.sessions import TICKET_PREFIX, Origin, end_sessions, issue_ticket, start_session
from server.auth.tokens import Opened, Tokens, digest_of, learn_padding, recheck, refusal
from server.auth.users import meet_user, welcome
from server.auth.vault import hash_session
from server.core.errors import Invalid, NotFound
from server.core.i18n import Text
from server.core.limits import RateLimit
from server.core.runtime import Runtime
from server.core.settings import AuthSettings, H5Settings
from server.db.session import Database

# Refusals of a second that the audit tells one by one.
_NOTED, _ALL = 20, "*"
# And how many are kept while the database cannot be written.
_MAX_REFUSED = 10_000


@dataclass(frozen=True, slots=True)
class Login:
    """A session that has just begun. Its secret is shown this once."""

    secret: str
    user: User


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where to send a browser that came in, and the session for its cookie where one is wanted."""

    location: str
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A login that was refused, as the audit tells it."""

    at: datetime
    reason: str
    # The first characters of the credential's hash.
    credential: str
    address: str
    # What the token said, where it said something.
    opened: Opened | None

    def note(self, session: AsyncSession) -> None:
        client_id = self.opened.client.id if self.opened else None
        target = self.opened.claims.user_id if self.opened else self.credential
        detail = {"reason": self.reason, "address": self.address, "credential": self.credential}
        audit(session, self.at, SERVER, "session.refuse", client_id, target, **detail)


class SignOn:
    """Exchanges what vouches for a person. What fails leaves neither a use counted nor a user nor a session."""

    def __init__(
        self,
        database: Database,
        tokens: Tokens,
        guard: Guard,
        settings: AuthSettings,
        h5: H5Settings,
        runtime: Runtime,
    ) -> None:
        self._database, self._tokens, self._guard = database, tokens, guard
        self._settings, self._h5 = settings, h5
        self._clock, self._tasks = runtime.clock, runtime.tasks
        # What is not in the audit yet.
        self._refused: list[_Refusal] = []
        self._writing: asyncio.Task[None] | None = None
        self._noting = RateLimit(_NOTED, 1)

    async def login(self, credential: str, address: str) -> Login:
        """Turn a token or a ticket into a session. Its arrival is counted before: `check_arrival`.

        Raises Unauthenticated with one answer for all that is bad, TooManyRequests.
        """
        opened = None
        try:
            if credential.startswith(TICKET_PREFIX):
                return await self._login_by_ticket(credential)
            async with self._guard.stranger(address):
                opened = await self._tokens.open(credential, address, exchanging=True)
            now = self._clock.now()
            async with self._database.write() as session:
                user = await self._redeem(session, opened, now)
                return await self._start(session, user, now, "token")
        except TokenError as error:
            self._note(error, credential, address, opened)
            raise refusal(error, credential) from None

    def foresee(self, address: str) -> None:
        """Raise at once what a login from here is sure to raise without any work: TooManyRequests."""
        self._guard.check_forger(address)
        self._guard.check_strangers(address)

    async def ticket_for_token(self, token: str, address: str) -> str:
        """Turn a token into a ticket, for a back end that keeps tokens out of addresses. Raises as `login`."""
        self._guard.check_exchange(address)
        opened = None
        try:
            async with self._guard.stranger(address):
                opened = await self._tokens.open(token, address, exchanging=True)
            now = self._clock.now()
            async with self._database.write() as session:
                user = await self._redeem(session, opened, now)
                return await issue_ticket(session, user, now, "ticket")
        except TokenError as error:
            self._note(error, token, address, opened)
            raise refusal(error, token) from None

    async def ticket_for_user(self, voucher: Principal, user_id: str, username: str) -> str:
        """A ticket for a user whom an api key vouches for. Raises Invalid, Forbidden, TooManyRequests (user_quota)."""
        now = self._clock.now()
        try:
            check_user_id(user_id)
        except TokenError:
            raise Invalid(USER_ID_RULE) from None
        async with self._database.write() as session:
            user = await meet_user(
                session, voucher.client_id, user_id, clean_username(username), self._settings, now
            )
            audit(session, now, voucher.actor, "ticket.issue", voucher.client_id, user_id)
            return await issue_ticket(session, user, now, "ticket")

    async def sessions_of(self, caller: Principal) -> list[AuthSession]:
        """The caller's own sessions that are still good, the newest first."""
        async with self._database.read() as session:
            return await repository.list_auth_sessions(
                session, self._clock.now(), self._settings.session_idle, caller.client_id, caller.user_id
            )

    async def logout(self, caller: Principal, session_id: str | None) -> None:
        """End one of the caller's own sessions. Raises NotFound."""
        async with self._database.write() as session:
            ended = session_id and await end_sessions(session, caller.client_id, caller.user_id, session_id)
            if not ended:
                raise NotFound(Text("没有这个登录会话", "there is no such session"))
            audit(
                session,
                self._clock.now(),
                caller.actor,
                "session.end",
                caller.client_id,
                caller.user_id,
                session_id=session_id,
            )

    def check_arrival(self, address: str) -> None:
        """Count somebody unknown, before anything is read or written for them. Raises TooManyRequests."""
        self._guard.check_exchange(address)

    async def hand_over(self, session: AsyncSession, user: User, origin: Origin) -> Arrival:
        """Send a user whom somebody vouched for on to the page. Raises Forbidden for a disabled user."""
        now, page = self._clock.now(), self._h5.page
        login = None
        if self._h5.cookie or self._h5.handover == "token":
            login = await start_session(session, user, self._settings, now, origin)
        cookie = login if self._h5.cookie else None
        if self._h5.handover == "token":
            return Arrival(f"{page}sso?token={login}", cookie)
        return Arrival(f"{page}#tk={await issue_ticket(session, user, now, origin)}", cookie)

    def turn_away(self, message: str) -> Arrival:
        """Send a browser on to the page's refusal."""
        return Arrival(f"{self._h5.page}401?message={quote(message)}")

    async def _login_by_ticket(self, secret: str) -> Login:
        now = self._clock.now()
        async with self._database.write() as session:
            ticket = await repository.take_ticket(session, hash_session(secret), now)
            if ticket is None:
                raise TokenError("unknown_ticket")
            client = await repository.find_client(session, ticket.client_id)
            user = await repository.find_user(session, ticket.client_id, ticket.user_id)
            if not (client and client.enabled and user and user.enabled):
                raise TokenError("disabled")
            origin: Origin = ticket.origin  # type: ignore[assignment]  # written by issue_ticket
            return await self._start(session, user, now, origin)

    async def _redeem(self, session: AsyncSession, opened: Opened, now: datetime) -> User:
        """Count a use of the token and return its user. Raises TokenError when it was used up or the user is disabled."""
        claims = opened.claims
        known = await recheck(session, opened, now)
        if opened.max_uses is not None:
            uses = await repository.count_use(session, claims.use_hash, opened.forget_at)
            if uses > opened.max_uses:
                raise TokenError("replayed")
        user = await welcome(
            session, known, opened.client.id, claims.user_id, claims.username, self._settings, now
        )
        await learn_padding(session, opened)
        return user

    async def _start(self, session: AsyncSession, user: User, now: datetime, origin: Origin) -> Login:
        return Login(await start_session(session, user, self._settings, now, origin), user)

    def _note(self, error: TokenError, credential: str, address: str, opened: Opened | None) -> None:
        """Write a refusal to the audit, afterwards: a time that tells one reason from another tells too much."""
        if len(self._refused) < _MAX_REFUSED:
            mark, now = digest_of(credential)[:8], self._clock.now()
            self._refused.append(_Refusal(now, error.reason, mark, address, opened))
        if self._writing is None or self._writing.done():
            self._writing = self._tasks.start(self._write_refused())

    async def _write_refused(self) -> None:
        """Together, so that a flood does not keep those who log in from writing; of a flood the first ones, and a number."""
        while self._refused:
            if pause := self._noting.wait(_ALL):
                await asyncio.sleep(pause)
            async with self._database.write() as session:
                for one in self._refused[:_NOTED]:
                    one.note(session)
                    self._noting.add(_ALL)
                if left := self._refused[_NOTED:]:
                    audit(session, left[-1].at, SERVER, "session.refuse", more=len(left))
                self._refused.clear()
