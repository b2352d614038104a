"""The api_token, version 2: a JWS that the issuer signs with a private key of its own. Pure: no database, no HTTP.

    header   alg (EdDSA, ES256, PS256 or RS256), kid, typ = c2l-client+jwt, and nothing else
    payload  iss = client id, aud = this server's audience (many libraries write a list of one), sub = user id, name, iat,
             exp (at most 600 s after iat), jti

Other than version 1 this is authentication: the server holds nothing that could make a token. Version 1 has no dots, so
three parts between dots are version 2.
"""

import functools
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.util import urlsafe_b64decode

from server.auth.api_token import (
    CLIENT_ID,
    KID,
    MAX_TOKEN_CHARS,
    Claims,
    TokenError,
    check_user_id,
    clean_username,
)
from server.core import strict_json

TYPE = "c2l-client+jwt"
MAX_LIFE = timedelta(seconds=600)
MAX_SKEW = timedelta(seconds=60)
_HEADERS = {"alg", "kid", "typ"}
_MAX_JTI = 128


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token before its signature was checked: who claims to have made it, with which key."""

    client_id: str
    kid: str
    text: str


class _Registry(JWSRegistry):
    """The algorithms of one key, each by its own name. (The library's own look-up warns of the name `EdDSA`.)"""

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise TokenError("algorithm")
        return self.algorithms[name]


def is_signed(token: str) -> bool:
    return token.count(".") == 2


def parse_signed(token: str) -> SignedToken:
    """Read who claims to have signed. Raises TokenError for every header that we do not know."""
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError("too_long")
    head, body, _ = token.split(".")
    header, payload = read_part(head), read_part(body)
    client_id, kid = payload.get("iss"), header.get("kid")
    if not header.keys() <= _HEADERS or header.get("typ") != TYPE:
        raise TokenError("header")
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        raise TokenError("header")
    if not isinstance(client_id, str) or not CLIENT_ID.fullmatch(client_id):
        raise TokenError("malformed")
    return SignedToken(client_id, kid, token)


def verify_signed(signed: SignedToken, public_pem: str, audience: str) -> Claims:
    """Check the signature and everything that needs no clock. Raises TokenError."""
    key, algorithms = _load(public_pem)
    try:
        verified = deserialize_compact(signed.text, key, registry=_Registry(algorithms=algorithms))
    except (JoseError, ValueError):
        raise TokenError("signature") from None
    payload = _object(verified.payload or b"")
    user_id, name, jti = payload.get("sub"), payload.get("name", ""), payload.get("jti")
    if payload.get("aud") not in (audience, [audience]):
        raise TokenError("audience")
    if not (isinstance(user_id, str) and isinstance(name, str) and isinstance(jti, str)):
        raise TokenError("fields")
    if not 1 <= len(jti) <= _MAX_JTI:
        raise TokenError("fields")
    issued_at, expires_at = _time(payload.get("iat")), _time(payload.get("exp"))
    if not timedelta(0) < expires_at - issued_at <= MAX_LIFE:
        raise TokenError("life")
    return Claims(
        client_id=signed.client_id,
        user_id=check_user_id(user_id),
        username=clean_username(name),
        issued_at=issued_at,
        use_hash=hashlib.sha256(f"v2\0{signed.client_id}\0{jti}".encode("utf-8", "replace")).hexdigest(),
        expires_at=expires_at,
    )


def decoy_key(client_id: str) -> str:
    """A public key in PEM that nobody signs with, for the same work where a client has none: time must not tell who has one.
    Of what kind it is hangs on the name, as a client's own key would be of one kind."""
    return _decoys()[hashlib.sha256(client_id.encode()).digest()[0] % 2]


@functools.cache
def _decoys() -> tuple[str, str]:
    keys = (Ed25519PrivateKey.generate(), generate_private_key(SECP256R1()))
    first, second = (
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        for key in keys
    )
    return first, second


def check_life(claims: Claims, now: datetime) -> None:
    """Raises TokenError("expired") or TokenError("future")."""
    assert claims.expires_at is not None
    if now > claims.expires_at:
        raise TokenError("expired")
    if claims.issued_at > now + MAX_SKEW:
        raise TokenError("future")


def normalize_public_key(pem: str) -> str:
    """Return an issuer's public key as PEM. Raises TokenError("key") for one that could sign none of the algorithms."""
    return (
        _load_public(pem)
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        .decode("ascii")
        .strip()
    )


def _load(public_pem: str) -> tuple[Key, list[str]]:
    key = _load_public(public_pem)
    if isinstance(key, Ed25519PublicKey):
        return OKPKey.import_key(public_pem), ["EdDSA"]
    if isinstance(key, EllipticCurvePublicKey):
        return ECKey.import_key(public_pem), ["ES256"]
    return RSAKey.import_key(public_pem), ["PS256", "RS256"]


def _load_public(pem: str) -> Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey:
    try:
        key = load_pem_public_key(pem.encode("utf-8", "replace"))
    except (ValueError, UnsupportedAlgorithm):
        raise TokenError("key") from None
    if isinstance(key, Ed25519PublicKey):
        return key
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return key
    if isinstance(key, RSAPublicKey) and 2048 <= key.key_size <= 4096:
        return key
    raise TokenError("key")


def read_part(part: str) -> dict[str, Any]:
    """The header or the payload, signed or not. Raises TokenError."""
    try:
        return _object(urlsafe_b64decode(part.encode("ascii", "replace")))
    except ValueError:  # base64 or its alphabet
        raise TokenError("base64") from None


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = strict_json.loads(data)
    except strict_json.StrictJSONError:
        raise TokenError("json") from None
    if not isinstance(value, dict):
        raise TokenError("json")
    return value


def _time(value: object) -> datetime:
    """Whole seconds, ten digits; a fraction is left away."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 10**9 <= value < 10**10:
        raise TokenError("timestamp")
    return datetime.fromtimestamp(int(value), UTC)
