"""From a credential to a Principal, and how clients, keys and sessions are made."""

import hashlib
import logging
import secrets
from datetime import datetime, timedelta

from cachetools import LRUCache, TTLCache
from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, repository
from server.auth.api_token import Claims, TokenError
from server.auth.models import APIKey, AuthSession, Client, ClientKey, User
from server.auth.principal import ROLE_SCOPES, Principal, Role, Scope
from server.auth.vault import Vault, hash_session
from server.core.errors import AlreadyExists, Forbidden, Invalid, NotFound, Unauthenticated
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.core.settings import AuthSettings
from server.db.session import Database

log = logging.getLogger(__name__)

SESSION_PREFIX, KEY_PREFIX = "st_", "sk-"
_CACHED_CREDENTIALS = 10_000
# A disabled client, user or key is refused everywhere after this long at the latest.
_PRINCIPAL_SECONDS = 5
# A session's last use is written at most this often.
_TOUCH = timedelta(minutes=1)

_MISSING = Text(
    "Authentication required: 缺少Api-Token! 请在请求头里加 Api-Token，或 Authorization: Bearer sk-…",
    "Authentication required: send the header Api-Token, or Authorization: Bearer sk-…",
)
_INVALID = Text(
    "Authentication required: Api-Token无效!", "Authentication required: invalid or expired credential"
)
_EXPIRED = Text("Authentication required: token过期!", "Authentication required: the credential has expired")


class Authenticator:
    """Turns credentials into Principals, with a short memory so that a busy caller costs no RSA and no SQL."""

    def __init__(self, database: Database, vault: Vault, settings: AuthSettings, runtime: Runtime) -> None:
        self._database, self._vault, self._settings = database, vault, settings
        self._clock, self._lanes = runtime.clock, runtime.lanes
        self._principals: TTLCache[str, Principal] = TTLCache(_CACHED_CREDENTIALS, _PRINCIPAL_SECONDS)
        self._claims: LRUCache[str, Claims] = LRUCache(_CACHED_CREDENTIALS)
        self._keys: LRUCache[str, RSA.RsaKey] = LRUCache(256)

    async def authenticate(self, credential: str | None) -> Principal:
        """Return who calls. Raises Unauthenticated with one public answer for every bad credential."""
        if not credential:
            raise Unauthenticated(_MISSING, code="token_missing")
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
        if (known := self._principals.get(digest)) is not None:
            return known
        try:
            principal = await self._resolve(credential, digest)
        except TokenError as error:
            log.info("credential refused", extra={"reason": error.reason, "credential": digest[:8]})
            if error.reason == "expired":
                raise Unauthenticated(_EXPIRED, code="token_expired") from None
            raise Unauthenticated(_INVALID) from None
        self._principals[digest] = principal
        return principal

    async def _resolve(self, credential: str, digest: str) -> Principal:
        if credential.startswith(KEY_PREFIX):
            return await self._by_api_key(credential)
        if credential.startswith(SESSION_PREFIX):
            return await self._by_session(credential)
        return await self._by_token(credential, digest)

    async def _by_api_key(self, secret: str) -> Principal:
        async with self._database.read() as session:
            found = await repository.find_api_key(session, self._vault.hash_api_key(secret))
        if found is None:
            raise TokenError("unknown_key")
        key, client = found
        if not (key.enabled and client.enabled):
            raise TokenError("disabled")
        return Principal(client.id, f"key:{key.id}", client.description, frozenset(map(Scope, key.scopes)))

    async def _by_session(self, secret: str) -> Principal:
        secret_hash, now = hash_session(secret), self._clock.now()
        async with self._database.read() as session:
            found = await repository.find_auth_session(session, secret_hash)
        if found is None:
            raise TokenError("unknown_session")
        login, user, client = found
        if now >= min(login.expires_at, login.last_used_at + self._settings.session_idle):
            raise TokenError("expired")
        if now - login.last_used_at > _TOUCH:
            async with self._database.write() as session:
                await repository.touch_auth_session(session, secret_hash, now)
        return _principal_of(user, client)

    async def _by_token(self, token: str, digest: str) -> Principal:
        claims = self._claims.get(digest)
        sealed = api_token.parse_token(token)
        async with self._database.read() as session:
            client = await repository.find_client(session, sealed.client_id)
            if client is None:
                raise TokenError("unknown_client")
            keys = [] if claims else await repository.list_open_keys(session, client.id)
            user = await repository.find_user(session, client.id, claims.user_id) if claims else None
        if claims is None:
            claims = await self._lanes.run("crypto", self._open, sealed, keys, client.padding)
            self._claims[digest] = claims
        limits = self._settings
        api_token.check_age(
            claims, self._clock.now(), max_age=limits.token_max_age, max_skew=limits.token_max_skew
        )
        if user is None:
            user = await self._remember(claims, client)
        return _principal_of(user, client)

    def _open(self, sealed: api_token.SealedToken, keys: list[ClientKey], learnt: str | None) -> Claims:
        """Try the client's keys in order; blocks for the time of the RSA operations."""
        paddings = sorted(api_token.PADDINGS, key=lambda padding: padding != learnt)
        for key in keys:
            if key.id not in self._keys:
                pem = self._vault.open(key.sealed_private, context=f"{key.client_id}|{key.id}")
                self._keys[key.id] = RSA.import_key(pem)
            try:
                return api_token.open_token(sealed, self._keys[key.id], paddings)
            except TokenError as error:
                if error.reason != "decrypt" or key is keys[-1]:
                    raise
        raise TokenError("no_key")

    async def _remember(self, claims: Claims, client: Client) -> User:
        """Find the user or make one at first sight; keep the name and the padding up to date."""
        async with self._database.write() as session:
            now = self._clock.now()
            user = await meet_user(session, client.id, claims.user_id, claims.username, now)
            if user.username != claims.username:
                await repository.set_username(session, client.id, user.id, claims.username)
            if client.padding != claims.padding:
                await repository.set_padding(session, client.id, claims.padding)
        return user


async def meet_user(
    session: AsyncSession, client_id: str, user_id: str, username: str, now: datetime
) -> User:
    """Find the user, or make a reader with this name at first sight."""
    user = await repository.find_user(session, client_id, user_id)
    if user is not None:
        return user
    fresh = User(
        client_id=client_id, id=user_id, username=username, role=Role.READER, enabled=True, created_at=now
    )
    return await repository.add_user(session, fresh)


def _principal_of(user: User, client: Client) -> Principal:
    if not (user.enabled and client.enabled):
        raise TokenError("disabled")
    return Principal(client.id, user.id, user.username, ROLE_SCOPES[Role(user.role)])


async def add_client(
    session: AsyncSession,
    vault: Vault,
    client_id: str,
    description: str,
    now: datetime,
    key: RSA.RsaKey | None = None,
) -> str:
    """Make a client with its first key pair, a new one unless `key` is given; return the public PEM for the issuer.

    Raises Invalid for a bad id or description, AlreadyExists for a known id.
    """
    if not api_token.CLIENT_ID.fullmatch(client_id):
        raise Invalid(
            Text(
                "客户端编号只能是 1–32 个字母、数字、_ 或 -", "a client id is 1 to 32 letters, digits, _ or -"
            )
        )
    if len(description) > 100:
        raise Invalid(Text("客户端描述最长 100 个字符", "a client's description has at most 100 characters"))
    if await repository.find_client(session, client_id):
        raise AlreadyExists(Text(f"客户端 {client_id} 已存在", f"client {client_id} exists already"))
    session.add(Client(id=client_id, description=description, enabled=True, created_at=now))
    await session.flush()
    key, key_id = key or api_token.new_key_pair(), new_id("ck")
    sealed = vault.seal(api_token.private_pem(key).encode(), context=f"{client_id}|{key_id}")
    public = api_token.public_pem(key)
    session.add(
        ClientKey(
            id=key_id,
            client_id=client_id,
            state="active",
            public_pem=public,
            sealed_private=sealed,
            created_at=now,
        )
    )
    await session.flush()
    return public


async def check_master_key(session: AsyncSession, vault: Vault) -> None:
    """Open one sealed key. Raises SettingsError with the remedy when the master key is another one."""
    key = await repository.find_any_key(session)
    if key is not None:
        vault.open(key.sealed_private, context=f"{key.client_id}|{key.id}")


async def make_token(
    session: AsyncSession, client_id: str, user_id: str, username: str, now: datetime
) -> str:
    """Make an api_token as the client's own system would, with its public key. Raises NotFound, Invalid."""
    keys = await repository.list_open_keys(session, client_id)
    if not keys:
        raise _no_client(client_id, await repository.list_client_ids(session))
    try:
        return api_token.make_token(client_id, user_id, username, now, RSA.import_key(keys[0].public_pem))
    except TokenError as error:
        raise Invalid(
            Text(
                f"无法生成 token（{error.reason}）：缩短用户编号或用户名",
                f"cannot make this token ({error.reason}); shorten user id or name",
            )
        ) from error


async def add_api_key(
    session: AsyncSession, vault: Vault, client_id: str, scopes: list[str], now: datetime
) -> str:
    """Make an api key and return its secret, which is never shown again. Raises NotFound, Invalid."""
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
        raise _no_client(client_id, await repository.list_client_ids(session))
    secret = KEY_PREFIX + secrets.token_urlsafe(32)
    session.add(
        APIKey(
            id=new_id("ak"),
            client_id=client_id,
            secret_hash=vault.hash_api_key(secret),
            last4=secret[-4:],
            scopes=sorted(set(scopes)),
            enabled=True,
            created_at=now,
        )
    )
    await session.flush()
    return secret


def _no_client(client_id: str, known: list[str]) -> NotFound:
    there = ", ".join(known)
    return NotFound(
        Text(
            f"没有客户端 {client_id}；已有：{there}。用 client add 添加新的",
            f"no client {client_id}; there are: {there}. Add one with client add",
        )
    )


async def start_session(session: AsyncSession, user: User, settings: AuthSettings, now: datetime) -> str:
    """Log a user in and return the session's secret. Raises Forbidden for a disabled user."""
    if not user.enabled:
        raise Forbidden(Text("该用户已被禁用", "this user is disabled"))
    await repository.delete_expired_sessions(session, now)
    secret = SESSION_PREFIX + secrets.token_urlsafe(32)
    session.add(
        AuthSession(
            secret_hash=hash_session(secret),
            client_id=user.client_id,
            user_id=user.id,
            created_at=now,
            last_used_at=now,
            expires_at=now + settings.session_max_age,
        )
    )
    await session.flush()
    return secret
