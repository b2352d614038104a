"""From a credential to a Principal, and how clients, keys and tokens are made."""

import secrets
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache, TTLCache
from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, repository
from server.auth.api_token import TokenError
from server.auth.audit import CLI, audit
from server.auth.guard import Guard
from server.auth.models import APIKey, Client, ClientKey, KeyKind, User
from server.auth.policy import Policy
from server.auth.principal import KEY_CALLER, ROLE_SCOPES, Principal, Role, Scope, is_persons_id
from server.auth.sealed import check_in_force
from server.auth.sessions import SESSION_PREFIX, TICKET_PREFIX
from server.auth.tokens import Opened, Tokens, digest_of, form_of, learn_padding, recheck, refusal
from server.auth.users import is_visitor, welcome
from server.auth.vault import Vault, hash_session
from server.core.errors import AlreadyExists, Busy, Invalid, NotFound, SettingsError, Unauthenticated
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.core.settings import AuthSettings
from server.db.session import Database

KEY_PREFIX = "sk-"
_CACHED_CREDENTIALS = 10_000
# A disabled client, user or key is refused everywhere after this long at the latest.
_PRINCIPAL_SECONDS = 5
# A session's last use is written at most this often, or four times in `session_idle`.
_TOUCH = timedelta(minutes=1)

_MISSING = Text(
    "Authentication required: 缺少Api-Token! 请在请求头里加 Api-Token，或 Authorization: Bearer st_… / sk-…",
    "Authentication required: send the header Api-Token, or Authorization: Bearer st_… / sk-…",
)


class Authenticator:
    """Turns credentials into Principals, with a short memory so that a busy caller costs no RSA and no SQL."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        tokens: Tokens,
        guard: Guard,
        settings: AuthSettings,
        runtime: Runtime,
    ) -> None:
        self._database, self._vault, self._tokens, self._guard = database, vault, tokens, guard
        self._settings, self._clock = settings, runtime.clock
        self.skew = tokens.skew
        self._touch = min(_TOUCH, settings.session_idle / 4)
        # While a caller is remembered, their session's use is not seen.
        seconds = min(_PRINCIPAL_SECONDS, self._touch.total_seconds())
        self._principals: TTLCache[str, Principal] = TTLCache(_CACHED_CREDENTIALS, seconds)
        # Credentials that were good when they were asked about last: they need not wait among strangers.
        self._good: LRUCache[str, bool] = LRUCache(_CACHED_CREDENTIALS)

    async def authenticate(self, credential: str | None, address: str = "") -> Principal:
        """Return who calls; `address` is where from.

        Raises Unauthenticated with one public answer for every bad credential, TooManyRequests where floods come from.
        """
        if not credential:
            raise Unauthenticated(_MISSING, code="token_missing")
        digest = digest_of(credential)
        # A token may be good from some addresses only.
        place = digest if credential.startswith((KEY_PREFIX, SESSION_PREFIX)) else digest + address
        if (known := self._principals.get(place)) is not None:
            return known
        was_good = digest in self._good
        try:
            async with nullcontext() if was_good else self._guard.stranger(address):
                principal = await self._resolve(credential, address)
        except TokenError as error:
            self._good.pop(digest, None)
            raise refusal(error, credential) from None
        self._principals[place], self._good[digest] = principal, True
        return principal

    def foresee(self, credential: str, address: str) -> None:
        """Raise at once what `authenticate` is sure to raise without any work: Unauthenticated, TooManyRequests."""
        digest = digest_of(credential)
        if digest in self._good:
            return
        if not credential.startswith((KEY_PREFIX, SESSION_PREFIX, TICKET_PREFIX)):
            self._tokens.foresee(digest, address)
        self._guard.check_strangers(address)

    def forget(self, client_id: str, user_id: str | None = None) -> None:
        """Ask the database again about this caller, or about all of a client. Other processes do so within seconds by
        themselves."""
        mine = [
            place
            for place, principal in self._principals.items()
            if principal.client_id == client_id and user_id in (None, principal.user_id)
        ]
        for place in mine:
            self._principals.pop(place, None)
        self._tokens.forget(client_id)

    async def _resolve(self, credential: str, address: str) -> Principal:
        if credential.startswith(KEY_PREFIX):
            return await self._by_api_key(credential)
        if credential.startswith(SESSION_PREFIX):
            return await self._by_session(credential)
        if credential.startswith(TICKET_PREFIX):
            raise TokenError("ticket_as_credential")
        return await self._by_token(await self._tokens.open(credential, address, exchanging=False))

    async def _by_api_key(self, secret: str) -> Principal:
        async with self._database.read() as session:
            found = await repository.find_api_key(session, self._vault.hash_api_key(secret))
        if found is None:
            raise TokenError("unknown_key")
        key, client = found
        if not (key.enabled and client.enabled):
            raise TokenError("disabled")
        return Principal(
            client.id,
            f"{KEY_CALLER}{key.id}",
            client.description,
            frozenset(map(Scope, key.scopes)),
            api_key_id=key.id,
        )

    async def _by_session(self, secret: str) -> Principal:
        secret_hash, now = hash_session(secret), self._clock.now()
        async with self._database.read() as session:
            found = await repository.find_auth_session(session, secret_hash)
        if found is None:
            raise TokenError("unknown_session")
        login, user, client = found
        if now >= min(login.expires_at, login.last_used_at + self._settings.session_idle):
            raise TokenError("expired")
        if now - login.last_used_at > self._touch:
            async with self._database.write() as session:
                await repository.touch_auth_session(session, secret_hash, now)
                if is_visitor(user):
                    await repository.touch_user(session, user, now)
        return _principal_of(user, client, login.id)

    async def _by_token(self, opened: Opened) -> Principal:
        """The user whom a token names, made at first sight; the padding that opened it is kept for the next one."""
        client, claims, now = opened.client, opened.claims, self._clock.now()
        async with self._database.read() as session:
            user = await recheck(session, opened, now)
        named = user is not None and claims.username in ("", user.username)
        if user is None or not named or client.padding != claims.padding:
            try:
                user = await self._meet(opened, user, now)
            except Busy:  # MariaDB lets one of several first calls of a person lock the others out
                user = await self._meet(opened, user, now)
        return _principal_of(user, client)

    async def _meet(self, opened: Opened, known: User | None, now: datetime) -> User:
        claims = opened.claims
        async with self._database.write() as session:
            await learn_padding(session, opened)
            return await welcome(
                session, known, opened.client.id, claims.user_id, claims.username, self._settings, now
            )


def _principal_of(user: User, client: Client, session_id: str | None = None) -> Principal:
    if not (user.enabled and client.enabled):
        raise TokenError("disabled")
    if not is_persons_id(user.id):  # a row from before such ids were refused
        raise TokenError("user_id")
    return Principal(client.id, user.id, user.username, ROLE_SCOPES[Role(user.role)], session_id)


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client to be."""

    id: str
    description: str = ""
    policy: Policy = Policy.COMPAT


async def check_new(session: AsyncSession, new: NewClient) -> None:
    """Raises Invalid for a bad id or description, AlreadyExists for a known id."""
    if not api_token.CLIENT_ID.fullmatch(new.id):
        raise Invalid(
            Text(
                "客户端编号只能是 1–32 个字母、数字、_ 或 -", "a client id is 1 to 32 letters, digits, _ or -"
            )
        )
    if len(new.description) > 100:
        raise Invalid(Text("客户端描述最长 100 个字符", "a client's description has at most 100 characters"))
    if api_token.has_invisible(new.description):
        raise Invalid(
            Text(
                "客户端描述不能有换行和不可见字符",
                "a client's description is one line, without invisible characters",
            )
        )
    if await repository.find_client(session, new.id):
        raise AlreadyExists(Text(f"客户端 {new.id} 已存在", f"client {new.id} exists already"))


async def add_client(
    session: AsyncSession,
    vault: Vault,
    new: NewClient,
    now: datetime,
    key: RSA.RsaKey | None = None,
    actor: str = CLI,
) -> str:
    """Make a client with its first key pair, a new one unless `key` is given; return the public PEM for the issuer.

    Raises Invalid for a bad id or description, AlreadyExists for a known id.
    """
    await check_new(session, new)
    session.add(
        Client(id=new.id, description=new.description, enabled=True, policy=new.policy, created_at=now)
    )
    await session.flush()
    row = await add_key_pair(session, vault, new.id, now, key=key)
    audit(session, now, actor, "client.add", new.id, row.kid, policy=new.policy)
    await session.flush()
    return row.public_pem


async def add_key_pair(
    session: AsyncSession,
    vault: Vault,
    client_id: str,
    now: datetime,
    *,
    kind: KeyKind = KeyKind.RSA,
    key: RSA.RsaKey | None = None,
) -> ClientKey:
    """Give a client a key pair, a new one unless `key` is given; its private half is stored sealed.

    Raises Conflict when another master key is in force by now.
    """
    await check_in_force(session, vault)
    key, key_id = key or api_token.new_key_pair(), new_id("ck")
    row = ClientKey(
        id=key_id,
        client_id=client_id,
        kid=await next_kid(session, client_id),
        kind=kind,
        public_pem=api_token.public_pem(key),
        sealed_private=vault.seal(api_token.private_pem(key).encode(), context=f"{client_id}|{key_id}"),
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def next_kid(session: AsyncSession, client_id: str) -> str:
    """A name for a client's next key: k1, k2 …"""
    taken = {key.kid for key in await repository.list_keys(session, client_id)}
    return next(name for number in range(1, len(taken) + 2) if (name := f"k{number}") not in taken)


async def check_pkcs1v15(session: AsyncSession, vault: Vault) -> None:
    """Where a client uses PKCS#1 v1.5: raises SettingsError unless the library hides which padding was right."""
    key = await repository.find_any_key(session, KeyKind.RSA_V15)
    if key is None:
        return
    assert key.sealed_private is not None
    pem = vault.open(key.sealed_private, context=key.seal_context)
    if not api_token.check_implicit_rejection(RSA.import_key(pem)):
        raise SettingsError(
            f"client {key.client_id} uses PKCS#1 v1.5, which is not safe with this version of pycryptodome: "
            "install the one in requirements.txt"
        )


# Why a token cannot be made, by TokenError's reasons.
_UNMADE = {
    "user_id": api_token.USER_ID_RULE,
    "username": Text(
        "名字不能含 |（或用 client option pct_fields=on）",
        "a name holds no | (or else: client option pct_fields=on)",
    ),
    "plaintext_too_long": Text(
        "用户编号和名字太长，密文装不下：请缩短",
        "user id and name are too long for its RSA blocks; shorten them",
    ),
}


async def make_token(
    session: AsyncSession, client_id: str, user_id: str, username: str, now: datetime
) -> str:
    """Make an api_token as the client's own system would, with its public key. Raises NotFound, Invalid."""
    client = await repository.find_client(session, client_id)
    if client is None:
        raise no_client(client_id, await repository.list_client_ids(session))
    keys = await repository.list_open_keys(session, client_id, now)
    key = next((key for key in keys if key.kind == KeyKind.RSA), None)
    if key is None:
        raise no_rsa_key(client_id)
    try:
        public_key = RSA.import_key(key.public_pem)
        return api_token.make_token(client_id, user_id, username, now, public_key, form=form_of(client))
    except TokenError as error:
        why = _UNMADE[error.reason]
        raise Invalid(Text(f"无法生成 token：{why.zh}", f"cannot make this token: {why.en}")) from error


async def add_api_key(
    session: AsyncSession, vault: Vault, client_id: str, scopes: list[str], now: datetime, actor: str = CLI
) -> str:
    """Make an api key and return its secret, which is never shown again.

    Raises NotFound, Invalid, Conflict when another master key is in force by now.
    """
    await check_in_force(session, vault)
    unknown = [scope for scope in scopes if scope not in set(Scope)]
    if unknown or not scopes:
        known = ", ".join(Scope)
        raise Invalid(
            Text(
                f"权限范围有误：{', '.join(unknown) or '空'}；可用：{known}",
                f"bad scopes: {', '.join(unknown) or 'none'}; use {known}",
            )
        )
    if await repository.find_client(session, client_id) is None:
        raise no_client(client_id, await repository.list_client_ids(session))
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    key_id = new_id("ak")
    session.add(
        APIKey(
            id=key_id,
            client_id=client_id,
            secret_hash=vault.hash_api_key(secret),
            last4=secret[-4:],
            scopes=sorted(set(scopes)),
            enabled=True,
            created_at=now,
        )
    )
    audit(session, now, actor, "api-key.add", client_id, key_id, scopes=sorted(set(scopes)))
    await session.flush()
    return secret


def no_rsa_key(client_id: str) -> NotFound:
    """The refusal for a client whose keys all ended, or which only signs."""
    return NotFound(
        Text(
            f"客户端 {client_id} 没有可用的 RSA 密钥；用 client rotate 生成新的",
            f"client {client_id} has no RSA key that is good; client rotate gives it a new one",
        )
    )


def no_client(client_id: str, known: list[str]) -> NotFound:
    """The refusal that names the clients there are."""
    there = ", ".join(known)
    return NotFound(
        Text(
            f"没有客户端 {client_id}；已有：{there}。用 client add 添加新的",
            f"no client {client_id}; there are: {there}. Add one with client add",
        )
    )
