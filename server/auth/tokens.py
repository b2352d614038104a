"""From an api_token, of either version, to what it says: whose keys, which rules, and no more work than is due."""

import hashlib
import logging
import time
from dataclasses import dataclass
from datetime import datetime

from cachetools import LRUCache, TTLCache
from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, repository, signed_token
from server.auth.api_token import PADDINGS, PKCS1V15, PLAIN_FORM, Claims, Form, SealedToken, TokenError
from server.auth.guard import Guard
from server.auth.models import Client, ClientKey, KeyKind, KeyState, User
from server.auth.networks import is_allowed
from server.auth.policy import Policy, rules_of
from server.auth.signed_token import SignedToken
from server.auth.skew import ClockSkew
from server.auth.vault import Vault, WrongMasterKey
from server.core.errors import Unauthenticated
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import AuthSettings
from server.db.session import Database

log = logging.getLogger(__name__)

_REMEMBERED = 10_000
_FORGED_SECONDS = 60
# A client and its keys are read again after this long, and once a second while its tokens cannot be opened.
_ISSUER_SECONDS = 5
_LOOK_AGAIN_SECONDS = 1
# Reasons that time, an operator or another token cannot heal: such a token is forged or broken, and stays so.
_FORGED = {
    *("base64", "length", "decrypt", "utf8", "client_mismatch", "timestamp"),
    *("json", "signature", "algorithm", "audience", "life"),
}
# Reasons that an operator heals by an option of the client (max_blocks, pct_fields): counted, but not remembered.
_MISREAD = {"blocks", "fields", "percent", "user_id"}

_INVALID = Text(
    "Authentication required: Api-Token无效!", "Authentication required: invalid or expired credential"
)
_EXPIRED = Text("Authentication required: token过期!", "Authentication required: the credential has expired")


@dataclass(frozen=True, slots=True)
class Opened:
    """A token that its client made, in time, and for this use."""

    client: Client
    # Which of its keys opened the token.
    key_id: str
    claims: Claims
    # How often it may be exchanged, and when that need not be known any more.
    max_uses: int | None
    forget_at: datetime


def refusal(error: TokenError, credential: str) -> Unauthenticated:
    """One public answer for every bad credential; the true reason goes to the log."""
    log.info("credential refused", extra={"reason": error.reason, "credential": digest_of(credential)[:8]})
    if error.reason == "expired":
        return Unauthenticated(_EXPIRED, code="token_expired")
    return Unauthenticated(_INVALID)


def digest_of(credential: str) -> str:
    """What a credential is remembered and told by."""
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()


class Tokens:
    """Opens tokens. What was opened, or can never be, is remembered, so that it costs no RSA a second time."""

    def __init__(
        self, database: Database, vault: Vault, settings: AuthSettings, runtime: Runtime, guard: Guard
    ) -> None:
        self._database, self._vault, self._settings = database, vault, settings
        self._clock, self._lanes, self._guard = runtime.clock, runtime.lanes, guard
        self._opened: LRUCache[str, tuple[Claims, str, Form]] = LRUCache(_REMEMBERED)
        self._forged: TTLCache[str, str] = TTLCache(_REMEMBERED, _FORGED_SECONDS)
        # Could not be opened with keys that were read before they came: theirs may be newer.
        self._doubtful: TTLCache[str, str] = TTLCache(_REMEMBERED, _LOOK_AGAIN_SECONDS)
        self._keys: LRUCache[str, RSA.RsaKey] = LRUCache(256)
        # Told in the log a moment ago.
        self._not_opened: TTLCache[str, bool] = TTLCache(256, _FORGED_SECONDS)
        self._last_good: LRUCache[str, str] = LRUCache(1000)
        self._issuers: TTLCache[str, _Issuer] = TTLCache(1000, _ISSUER_SECONDS)
        self.skew = ClockSkew()
        # Those who are no clients, remembered alike, so that time does not tell who is one; apart, since there is no end of
        # such names. And somebody's key, for the same work.
        self._nobodies: TTLCache[str, _Issuer] = TTLCache(1000, _ISSUER_SECONDS)
        self._decoy: ClientKey | None = None

    async def open(self, token: str, address: str, *, exchanging: bool) -> Opened:
        """Return what the token says. Raises TokenError, and TooManyRequests where floods come from.

        `exchanging`: for a session, where every policy lets it; otherwise as the credential of a request.
        """
        digest = digest_of(token)
        # What is no token at all (`undefined`), or was forged a moment ago, costs nothing, and counts for nothing.
        parsed, came_at = self._parse(token, digest), time.monotonic()
        try:
            client, key_id, claims = await self._read(parsed, digest, address)
        except TokenError as error:
            if error.reason in _FORGED | _MISREAD or error.reason == "unknown_client":
                self._guard.token_was_forged(address, parsed.client_id)
            if error.reason in _FORGED:
                issuer = self._issuers.get(parsed.client_id)
                is_sure = issuer is not None and issuer.read_at >= came_at
                (self._forged if is_sure else self._doubtful)[digest] = error.reason
            raise
        if not is_allowed(address, client.networks):
            raise TokenError("address")
        return self._judge(client, key_id, claims, exchanging=exchanging)

    def forget(self, client_id: str) -> None:
        """Ask the database again about this client and its keys."""
        self._issuers.pop(client_id, None)
        self._nobodies.pop(client_id, None)

    def foresee(self, digest: str, address: str) -> None:
        """Raise at once what is sure to come of this token without any work: Unauthenticated, TooManyRequests."""
        if digest in self._forged or digest in self._doubtful:
            raise Unauthenticated(_INVALID)
        if digest not in self._opened:
            self._guard.check_forger(address)

    def _parse(self, token: str, digest: str) -> SealedToken | SignedToken:
        if reason := self._forged.get(digest) or self._doubtful.get(digest):
            raise TokenError(reason)
        if signed_token.is_signed(token):
            return signed_token.parse_signed(token)
        return api_token.parse_token(token)

    async def _read(
        self, parsed: SealedToken | SignedToken, digest: str, address: str
    ) -> tuple[Client, str, Claims]:
        client_id = parsed.client_id
        known = self._issuers.get(client_id) or self._nobodies.get(client_id)
        issuer = known or await self._find_issuer(client_id)
        claims, key_id, form = self._opened.get(digest, (None, "", PLAIN_FORM))
        if claims is None or key_id not in issuer.key_ids or form != form_of(issuer.client):
            self._guard.check_token(address, client_id)
            try:
                claims, key_id = await self._open(parsed, issuer)
            except TokenError:
                # Made with a key that came a moment ago?
                seen, issuer = issuer, await self._look_again(client_id, issuer)
                if issuer.key_ids == seen.key_ids:
                    raise
                claims, key_id = await self._open(parsed, issuer)
            self._opened[digest] = claims, key_id, form_of(issuer.client)
            self.skew.note(claims, self._clock.now())
        if issuer.client is None:
            raise TokenError("unknown_client")
        return issuer.client, key_id, claims

    async def _find_issuer(self, client_id: str) -> "_Issuer":
        now, read_at = self._clock.now(), time.monotonic()
        async with self._database.read() as session:
            client = await repository.find_client(session, client_id)
            keys = await repository.list_open_keys(session, client_id, now)
            self._decoy = self._decoy or await repository.find_any_key(session, KeyKind.RSA)
        issuer = _Issuer(client, keys, read_at)
        (self._nobodies if client is None else self._issuers)[client_id] = issuer
        return issuer

    async def _look_again(self, client_id: str, seen: "_Issuer") -> "_Issuer":
        """The issuer as it is now; who forges tokens makes us look once a second, not once a token."""
        if time.monotonic() - seen.read_at < _LOOK_AGAIN_SECONDS:
            return seen
        return await self._find_issuer(client_id)

    async def _open(self, parsed: SealedToken | SignedToken, issuer: "_Issuer") -> tuple[Claims, str]:
        keys = [key for key in issuer.keys if could_open(key, parsed)]
        if isinstance(parsed, SealedToken):
            return await self._open_sealed(parsed, keys, issuer)
        return self._open_signed(parsed, keys)

    def _open_signed(self, signed: SignedToken, keys: list[ClientKey]) -> tuple[Claims, str]:
        public_pem = keys[0].public_pem if keys else signed_token.decoy_key(signed.client_id)
        try:
            claims = signed_token.verify_signed(signed, public_pem, self._settings.audience)
        except TokenError:
            if keys:
                raise
        else:
            if keys:
                return claims, keys[0].id
        raise TokenError("unknown_client")

    async def _open_sealed(
        self, sealed: SealedToken, keys: list[ClientKey], issuer: "_Issuer"
    ) -> tuple[Claims, str]:
        candidates = list(keys) or [key for key in (self._decoy,) if key]
        last_good = self._last_good.get(sealed.client_id)
        candidates.sort(key=lambda key: key.id != last_good)
        # A key for PKCS#1 v1.5 opens everything to something: only what no other key opens is left to it.
        candidates.sort(key=lambda key: key.kind == KeyKind.RSA_V15)
        try:
            claims, key_id = await self._lanes.run(
                "crypto",
                self._decrypt,
                sealed,
                candidates,
                issuer.client.padding if issuer.client else None,
                form_of(issuer.client),
            )
        except TokenError:
            if keys:
                raise
            raise TokenError("unknown_client") from None
        if not keys:
            raise TokenError("unknown_client")
        self._last_good[sealed.client_id] = key_id
        return claims, key_id

    def _decrypt(
        self, sealed: SealedToken, keys: list[ClientKey], learnt: str | None, form: Form
    ) -> tuple[Claims, str]:
        """Try the keys in order; blocks for the time of the RSA operations."""
        failure = TokenError("decrypt")
        oaep = sorted(PADDINGS, key=lambda padding: padding != learnt)
        for key in keys:
            paddings = [PKCS1V15] if key.kind == KeyKind.RSA_V15 else oaep
            try:
                return api_token.open_token(sealed, self._private_key(key), paddings, form), key.id
            except TokenError as error:
                if failure.reason == "decrypt":
                    failure = error
        raise failure

    def _private_key(self, key: ClientKey) -> RSA.RsaKey:
        """Raises TokenError for a key that another master key sealed."""
        if key.id not in self._keys:
            assert key.sealed_private is not None
            try:
                pem = self._vault.open(key.sealed_private, context=key.seal_context)
            except WrongMasterKey:
                if key.id not in self._not_opened:
                    self._not_opened[key.id] = True
                    log.error(  # noqa: TRY400 (the trace says nothing)
                        "a client's key does not open: the master key was changed; restart this server",
                        extra={"client": key.client_id, "key": key.kid},
                    )
                raise TokenError("sealed") from None
            self._keys[key.id] = RSA.import_key(pem)
        return self._keys[key.id]

    def _judge(self, client: Client, key_id: str, claims: Claims, *, exchanging: bool) -> Opened:
        """Is this token in time, and good for this? Raises TokenError."""
        rules, now = rules_of(Policy(client.policy), self._settings), self._clock.now()
        if not client.enabled:
            raise TokenError("client_disabled")
        if not (exchanging or (rules.is_credential and claims.expires_at is None)):
            raise TokenError("exchange_only")
        if claims.expires_at is not None:
            signed_token.check_life(claims, now)
            return Opened(client, key_id, claims, 1, claims.expires_at + signed_token.MAX_SKEW)
        try:
            api_token.check_age(claims, now, max_age=rules.max_age, max_skew=rules.max_skew)
        except TokenError as error:
            if error.reason == "expired" and claims.padding == PKCS1V15:
                raise TokenError("expired_v15") from None  # not told apart: every difference is an oracle
            raise
        forget_at = claims.issued_at + rules.max_age + rules.max_skew
        return Opened(client, key_id, claims, rules.max_uses, forget_at)


@dataclass(frozen=True, slots=True)
class _Issuer:
    """A client and its keys as they were a moment ago."""

    client: Client | None
    keys: list[ClientKey]
    # By the monotonic clock, in seconds.
    read_at: float

    @property
    def key_ids(self) -> set[str]:
        return {key.id for key in self.keys}


async def recheck(session: AsyncSession, opened: Opened, now: datetime) -> User | None:
    """The user whom the token names, if known, by the state of things in this transaction. Raises TokenError.

    What a token was opened with is a few seconds old: a client disabled, or a key revoked since, counts at once.
    """
    found = await repository.find_standing(session, opened.client.id, opened.key_id, opened.claims.user_id)
    if found is None:
        raise TokenError("unknown_client")
    client, key, user = found
    if not client.enabled:
        raise TokenError("client_disabled")
    if key is None or not is_open(key, now):
        raise TokenError("no_key")
    if user is not None and not user.enabled:
        raise TokenError("user_disabled")
    return user


async def learn_padding(session: AsyncSession, opened: Opened) -> None:
    """Keep the padding that opened a token of this client: it is tried first next time."""
    client, padding = opened.client, opened.claims.padding
    if padding and padding != client.padding:
        await repository.set_padding(session, client.id, padding)
        client.padding = padding


def is_open(key: ClientKey, now: datetime) -> bool:
    """Is this key good for tokens?"""
    if key.state == KeyState.RETIRING:
        return key.retire_at is not None and key.retire_at > now
    return key.state == KeyState.ACTIVE


def form_of(client: Client | None) -> Form:
    """What the client's version 1 tokens may differ in."""
    return Form(client.max_blocks, client.pct_fields) if client else PLAIN_FORM


def could_open(key: ClientKey, parsed: SealedToken | SignedToken) -> bool:
    """Is this key for this version of token, and not another one than the token names?"""
    for_signed = key.kind == KeyKind.SIGNING
    return for_signed == isinstance(parsed, SignedToken) and parsed.kid in (None, key.kid)
