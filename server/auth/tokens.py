"""From an api_token, of either version, to what it says: whose keys, which rules, and no more work than is due."""

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime

from cachetools import LRUCache, TTLCache
from Crypto.PublicKey import RSA

from server.auth import api_token, repository, signed_token
from server.auth.api_token import PADDINGS, PKCS1V15, PLAIN_FORM, Claims, Form, SealedToken, TokenError
from server.auth.guard import Guard
from server.auth.models import Client, ClientKey, KeyKind
from server.auth.networks import is_allowed
from server.auth.policy import Policy, rules_of
from server.auth.signed_token import SignedToken
from server.auth.skew import ClockSkew
from server.auth.vault import Vault
from server.core.errors import TooManyRequests, Unauthenticated
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import AuthSettings
from server.db.session import Database

log = logging.getLogger(__name__)

_REMEMBERED = 10_000
_FORGED_SECONDS = 60
# Tokens that wait for their RSA operation.
_MAX_QUEUE = 64
# Reasons that time, an operator or another token cannot heal: such a token is forged or broken, and stays so.
_FORGED = {
    *(
        "base64",
        "too_long",
        "malformed",
        "length",
        "decrypt",
        "utf8",
        "fields",
        "client_mismatch",
        "timestamp",
    ),
    *("blocks", "percent", "user_id", "header", "json", "signature", "algorithm", "audience", "life"),
}

_INVALID = Text(
    "Authentication required: Api-Token无效!", "Authentication required: invalid or expired credential"
)
_EXPIRED = Text("Authentication required: token过期!", "Authentication required: the credential has expired")


@dataclass(frozen=True, slots=True)
class Opened:
    """A token that its client made, in time, and for this use."""

    client: Client
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
        self._opened: LRUCache[tuple[str, Form], tuple[Claims, str]] = LRUCache(_REMEMBERED)
        self._forged: TTLCache[str, str] = TTLCache(_REMEMBERED, _FORGED_SECONDS)
        self._keys: LRUCache[str, RSA.RsaKey] = LRUCache(256)
        self._last_good: LRUCache[str, str] = LRUCache(1000)
        self.skew = ClockSkew()

    async def open(self, token: str, address: str, *, exchanging: bool) -> Opened:
        """Return what the token says. Raises TokenError, and TooManyRequests where floods come from.

        `exchanging`: for a session, where every policy lets it; otherwise as the credential of a request.
        """
        digest, client_id = digest_of(token), ""
        try:
            parsed = self._parse(token, digest)
            client_id = parsed.client_id
            client, claims = await self._read(parsed, digest, address)
        except TokenError as error:
            if error.reason in _FORGED or error.reason == "unknown_client":
                self._guard.token_was_forged(address, client_id)
            if error.reason in _FORGED:
                self._forged[digest] = error.reason
            raise
        if not is_allowed(address, client.networks):
            raise TokenError("address")
        return self._judge(client, claims, exchanging=exchanging)

    def _parse(self, token: str, digest: str) -> SealedToken | SignedToken:
        if (reason := self._forged.get(digest)) is not None:
            raise TokenError(reason)
        if signed_token.is_signed(token):
            return signed_token.parse_signed(token)
        return api_token.parse_token(token)

    async def _read(
        self, parsed: SealedToken | SignedToken, digest: str, address: str
    ) -> tuple[Client, Claims]:
        now = self._clock.now()
        async with self._database.read() as session:
            client = await repository.find_client(session, parsed.client_id)
            keys = await repository.list_open_keys(session, parsed.client_id, now) if client else []
            keys = [key for key in keys if could_open(key, parsed)]
            # Somebody's key for the same work where there is none, so that time does not tell who is a client.
            decoy = None if keys else await repository.find_any_key(session, KeyKind.RSA)
        form = form_of(client)
        claims, key_id = self._opened.get((digest, form), (None, ""))
        if claims is None or key_id not in {key.id for key in keys}:
            self._guard.check_token(address, parsed.client_id)
            if isinstance(parsed, SealedToken):
                claims, key_id = await self._open_sealed(parsed, keys, decoy, client)
            else:
                claims, key_id = self._open_signed(parsed, keys)
            self._opened[digest, form] = claims, key_id
            self.skew.note(claims, now)
        if client is None:
            raise TokenError("unknown_client")
        return client, claims

    def _open_signed(self, signed: SignedToken, keys: list[ClientKey]) -> tuple[Claims, str]:
        if not keys:
            raise TokenError("unknown_client")
        return signed_token.verify_signed(signed, keys[0].public_pem, self._settings.audience), keys[0].id

    async def _open_sealed(
        self, sealed: SealedToken, keys: list[ClientKey], decoy: ClientKey | None, client: Client | None
    ) -> tuple[Claims, str]:
        candidates = keys or ([decoy] if decoy else [])
        if self._lanes.waiting("crypto") >= _MAX_QUEUE:
            raise TooManyRequests(
                Text("登录人数过多，请稍后再试", "too many logins at once; try again in a moment"),
                retry_after=1,
            )
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
                client.padding if client else None,
                form_of(client),
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
        if key.id not in self._keys:
            assert key.sealed_private is not None
            pem = self._vault.open(key.sealed_private, context=f"{key.client_id}|{key.id}")
            self._keys[key.id] = RSA.import_key(pem)
        return self._keys[key.id]

    def _judge(self, client: Client, claims: Claims, *, exchanging: bool) -> Opened:
        """Is this token in time, and good for this? Raises TokenError."""
        rules, now = rules_of(Policy(client.policy), self._settings), self._clock.now()
        if not client.enabled:
            raise TokenError("client_disabled")
        if not (exchanging or (rules.is_credential and claims.expires_at is None)):
            raise TokenError("exchange_only")
        if claims.expires_at is not None:
            signed_token.check_life(claims, now)
            return Opened(client, claims, 1, claims.expires_at + signed_token.MAX_SKEW)
        try:
            api_token.check_age(claims, now, max_age=rules.max_age, max_skew=rules.max_skew)
        except TokenError as error:
            if error.reason == "expired" and claims.padding == PKCS1V15:
                raise TokenError("expired_v15") from None  # not told apart: every difference is an oracle
            raise
        return Opened(client, claims, rules.max_uses, claims.issued_at + rules.max_age + rules.max_skew)


def form_of(client: Client | None) -> Form:
    """What the client's version 1 tokens may differ in."""
    return Form(client.max_blocks, client.pct_fields) if client else PLAIN_FORM


def could_open(key: ClientKey, parsed: SealedToken | SignedToken) -> bool:
    """Is this key for this version of token, and not another one than the token names?"""
    for_signed = key.kind == KeyKind.SIGNING
    return for_signed == isinstance(parsed, SignedToken) and parsed.kid in (None, key.kid)
