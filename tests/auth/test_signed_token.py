"""The api_token, version 2: what a registered key signed as agreed comes in, once; everything else is refused."""

import base64
import json
import secrets
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from Crypto.Hash import HMAC, SHA256
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import serialize_compact

from server.auth import management
from server.auth.api_token import TokenError, public_pem
from server.auth.audit import CLI
from server.auth.policy import Policy
from server.auth.signed_token import parse_signed, verify_signed
from server.core.errors import AlreadyExists, Invalid
from tests.auth.conftest import Process, World
from tests.conftest import key_pair

KEYS: dict[str, Any] = {
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "PS256": RSAKey.generate_key(2048),
}
KEYS["RS256"] = KEYS["PS256"]
ALGORITHMS = list(KEYS)
HEADER = {"typ": "c2l-client+jwt", "kid": "mine"}


def _pem(key: Any) -> str:
    return key.as_pem(private=False).decode()


def _sign(header: dict[str, Any], payload: dict[str, Any] | bytes, key: Any = None) -> str:
    key = key or KEYS[header["alg"]]
    data = payload if isinstance(payload, bytes) else json.dumps(payload)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return serialize_compact(header, data, key, algorithms=[header["alg"]])


def _b64(data: bytes | dict[str, Any]) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """A client that signs."""

    def __init__(self, world: World, client_id: str = "c1") -> None:
        self.world, self.client_id = world, client_id

    def payload(self, **changes: Any) -> dict[str, Any]:
        now = int(self.world.clock.at.timestamp())
        payload = {
            "iss": self.client_id,
            "aud": "chat2llm",
            "sub": "u1",
            "name": "张三",
            "iat": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
        }
        return {key: value for key, value in (payload | changes).items() if value is not ...}

    def token(self, alg: str = "EdDSA", header: dict[str, Any] | None = None, **changes: Any) -> str:
        return _sign({"alg": alg, **HEADER, **(header or {})}, self.payload(**changes))


@pytest.fixture
async def issuer(world: World) -> Issuer:
    await world.client("c1")
    await register(world, "c1", KEYS["EdDSA"])
    return Issuer(world)


async def register(world: World, client_id: str, key: Any, kid: str = "mine") -> None:
    async with world.database.write() as session:
        await management.add_signing_key(session, CLI, client_id, _pem(key), world.clock.at, kid)


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_every_algorithm(world: World, alg: str) -> None:
    await world.client("c1")
    await register(world, "c1", KEYS[alg])
    login = await world.process().login(Issuer(world).token(alg))
    user = await world.process().user(login)
    assert (user.client_id, user.user_id, user.username) == ("c1", "u1", "张三")


async def test_once_across_processes(world: World, issuer: Issuer) -> None:
    token = issuer.token()
    await world.process().login(token)
    assert await world.process().no_login(token) == "invalid_token"
    again = issuer.token(jti=json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["jti"])
    assert await world.process().no_login(again) == "invalid_token", "the same jti in another token"


@pytest.mark.parametrize("policy", list(Policy))
async def test_only_for_an_exchange(world: World, policy: Policy) -> None:
    await world.client("c1", policy)
    await register(world, "c1", KEYS["EdDSA"])
    token = Issuer(world).token()
    assert await world.process().refusal(token) == "invalid_token"
    assert await world.process().login(token)


async def test_time(world: World, issuer: Issuer) -> None:
    now = int(world.clock.at.timestamp())
    process: Process = world.process()
    assert await process.login(issuer.token(iat=now - 600, exp=now))
    assert await process.login(issuer.token(iat=now + 60, exp=now + 660))
    assert await process.no_login(issuer.token(iat=now - 300, exp=now - 1)) == "token_expired"
    assert await process.no_login(issuer.token(iat=now + 61, exp=now + 100)) == "invalid_token"


def _hs256_with_the_public_key(issuer: Issuer) -> str:
    signed = f"{_b64({'alg': 'HS256', **HEADER})}.{_b64(issuer.payload())}"
    mac = HMAC.new(_pem(KEYS["EdDSA"]).encode(), signed.encode(), SHA256).digest()
    return f"{signed}.{_b64(mac)}"


def _without_signature(issuer: Issuer) -> str:
    return f"{_b64({'alg': 'none', **HEADER})}.{_b64(issuer.payload())}."


def _key_brought_along(issuer: Issuer) -> str:
    stranger = OKPKey.generate_key("Ed25519")
    header = {"alg": "EdDSA", **HEADER, "jwk": stranger.as_dict(private=False)}
    return _sign(header, issuer.payload(), stranger)


def _twice_in_the_header(issuer: Issuer) -> str:
    head = _b64(b'{"alg":"none","alg":"EdDSA","typ":"c2l-client+jwt","kid":"mine"}')
    return f"{head}.{issuer.token().partition('.')[2]}"


REFUSED: dict[str, Callable[[Issuer], str]] = {
    "alg none": _without_signature,
    "HS256 with the public key": _hs256_with_the_public_key,
    "a key brought along": _key_brought_along,
    "alg twice": _twice_in_the_header,
    "alg of another key": lambda i: _sign({"alg": "ES256", **HEADER}, i.payload()),
    "another's key": lambda i: _sign({"alg": "EdDSA", **HEADER}, i.payload(), OKPKey.generate_key("Ed25519")),
    "jku": lambda i: i.token(header={"jku": "https://evil.example/keys"}),
    "x5u": lambda i: i.token(header={"x5u": "https://evil.example/cert"}),
    "x5c": lambda i: i.token(header={"x5c": ["MIIB"]}),
    "cty": lambda i: i.token(header={"cty": "JWT"}),
    "crit": lambda i: f"{_b64({'alg': 'EdDSA', **HEADER, 'crit': ['exp'], 'exp': 1})}.{i.token().partition('.')[2]}",
    "b64 false": lambda i: f"{_b64({'alg': 'EdDSA', **HEADER, 'b64': False, 'crit': ['b64']})}.{i.token().partition('.')[2]}",
    "typ JWT": lambda i: i.token(header={"typ": "JWT"}),
    "kid unknown": lambda i: i.token(header={"kid": "other"}),
    "kid a path": lambda i: i.token(header={"kid": "../../x"}),
    "kid of the RSA key": lambda i: i.token(header={"kid": "k1"}),
    "aud missing": lambda i: i.token(aud=...),
    "aud another's": lambda i: i.token(aud="other"),
    "aud a list": lambda i: i.token(aud=["chat2llm"]),
    "iss unknown": lambda i: i.token(iss="nobody"),
    "iss missing": lambda i: i.token(iss=...),
    "iss a number": lambda i: i.token(iss=1),
    "sub missing": lambda i: i.token(sub=...),
    "sub with a bar": lambda i: i.token(sub="a|b"),
    "sub empty": lambda i: i.token(sub=""),
    "sub an api key": lambda i: i.token(sub="key:boss"),
    "sub invisible": lambda i: i.token(sub="u\u200b1"),
    "name a number": lambda i: i.token(name=1),
    "jti missing": lambda i: i.token(jti=...),
    "jti empty": lambda i: i.token(jti=""),
    "jti a list": lambda i: i.token(jti=[1]),
    "jti long": lambda i: i.token(jti="x" * 129),
    "iat missing": lambda i: i.token(iat=...),
    "iat text": lambda i: i.token(iat="now"),
    "iat true": lambda i: i.token(iat=True),
    "exp missing": lambda i: i.token(exp=...),
    "exp huge": lambda i: i.token(exp=10**30),
    "601 seconds": lambda i: i.token(exp=int(i.world.clock.at.timestamp()) + 601),
    "exp before iat": lambda i: i.token(exp=int(i.world.clock.at.timestamp()) - 1),
    "a list": lambda i: _sign({"alg": "EdDSA", **HEADER}, b"[]"),
    "no JSON": lambda i: _sign({"alg": "EdDSA", **HEADER}, b"{"),
    "NaN": lambda i: _sign({"alg": "EdDSA", **HEADER}, b'{"iss": "c1", "iat": NaN}'),
    "twice in the payload": lambda i: _sign({"alg": "EdDSA", **HEADER}, b'{"iss": "c1", "iss": "c1"}'),
    "a token in a token": lambda i: _sign({"alg": "EdDSA", **HEADER}, i.token().encode()),
    "nothing": lambda i: "..",
    "no payload": lambda i: "{0}..{2}".format(*i.token().split(".")),
    "no signature": lambda i: i.token().rpartition(".")[0] + ".",
    "long": lambda i: i.token(name="x" * 3000),
    "ten megabytes": lambda i: "a." + "b" * 10_000_000 + ".c",
    "not ASCII": lambda i: "é.é.é",
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_refused(world: World, issuer: Issuer, case: str) -> None:
    process = world.process()
    assert await process.no_login(REFUSED[case](issuer)) == "invalid_token"
    assert await process.login(issuer.token()), "the good one beside it"


async def test_another_clients_key_signs_nothing_for_us(world: World, issuer: Issuer) -> None:
    await world.client("evil")
    await register(world, "evil", KEYS["ES256"])
    forged = _sign({"alg": "ES256", **HEADER}, issuer.payload())
    assert await world.process().no_login(forged) == "invalid_token"


async def test_the_rsa_pair_of_version_1_signs_nothing(world: World) -> None:
    """Whoever could make it decrypt must not have a signature."""
    await world.client("c1")
    pair = RSAKey.import_key(key_pair("c1").export_key())
    for alg in ("PS256", "RS256"):
        token = _sign({"alg": alg, **HEADER, "kid": "k1"}, Issuer(world).payload(), pair)
        assert await world.process().no_login(token) == "invalid_token"


async def test_a_revoked_key(world: World, issuer: Issuer) -> None:
    process = world.process()
    await process.login(issuer.token())
    async with world.database.write() as session:
        await management.revoke_key(session, CLI, "c1", "mine", world.clock.at)
    assert await process.no_login(issuer.token()) == "invalid_token"


async def test_keys_that_are_not_registered(world: World, issuer: Issuer) -> None:
    private = KEYS["ES256"].as_pem(private=True).decode()
    for pem in ("", "x", private, _pem(ECKey.generate_key("P-384")), _pem(OKPKey.generate_key("X25519"))):
        async with world.database.write() as session:
            with pytest.raises(Invalid):
                await management.add_signing_key(session, CLI, "c1", pem, world.clock.at)
    async with world.database.write() as session:
        with pytest.raises(AlreadyExists):
            await management.add_signing_key(session, CLI, "c1", _pem(KEYS["ES256"]), world.clock.at, "mine")
        with pytest.raises(Invalid):
            await management.add_signing_key(session, CLI, "c1", _pem(KEYS["ES256"]), world.clock.at, "a b")
        key = await management.add_signing_key(session, CLI, "c1", public_pem(key_pair("c1")), world.clock.at)
    assert key.kid == "k2"
    assert key.sealed_private is None


NOW = 1_800_000_000
GOOD = _sign(
    {"alg": "EdDSA", **HEADER},
    {"iss": "c1", "aud": "chat2llm", "sub": "u1", "name": "n", "iat": NOW, "exp": NOW + 60, "jti": "j"},
)
PEM = _pem(KEYS["EdDSA"])


def test_the_good_one_is_good() -> None:
    claims = verify_signed(parse_signed(GOOD), PEM, "chat2llm")
    assert claims.expires_at is not None
    assert claims.expires_at - claims.issued_at == timedelta(seconds=60)


@given(position=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 6))
def test_a_flipped_bit_is_refused(position: int, bit: int) -> None:
    changed = GOOD[:position] + chr(ord(GOOD[position]) ^ (1 << bit)) + GOOD[position + 1 :]
    if changed.count(".") == 2:
        with pytest.raises(TokenError):
            verify_signed(parse_signed(changed), PEM, "chat2llm")
