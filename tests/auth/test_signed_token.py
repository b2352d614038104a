"""The api_token, version 2: what a registered key signed as agreed comes in, once; everything else is refused."""

import base64
import json
import secrets
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from Crypto.Hash import HMAC, SHA256
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import serialize_compact
from sqlalchemy import event

from server.auth import api_token, client_keys, signed_token
from server.auth.api_token import TokenError, public_pem
from server.auth.audit import CLI
from server.auth.inspection import inspect_token
from server.auth.policy import Policy
from server.auth.signed_token import parse_signed, verify_signed
from server.core.errors import AlreadyExists, Invalid
from server.core.threads import Lanes
from tests.auth.conftest import Process, World
from tests.conftest import key_pair

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

KEYS: dict[str, Any] = {
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "PS256": RSAKey.generate_key(2048),
}
KEYS["RS256"] = KEYS["PS256"]
ALGORITHMS = list(KEYS)
STRANGER = OKPKey.generate_key("Ed25519")
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
        await client_keys.add_signing_key(session, CLI, client_id, _pem(key), world.clock.at, kid)


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_every_algorithm(world: World, alg: str) -> None:
    await world.client("c1")
    await register(world, "c1", KEYS[alg])
    login = await world.process().login(Issuer(world).token(alg))
    user = await world.process().user(login)
    assert (user.client_id, user.user_id, user.username) == ("c1", "u1", "张三")


@pytest.mark.database
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
    "aud a list of two": lambda i: i.token(aud=["chat2llm", "x"]),
    "iss unknown": lambda i: i.token(iss="nobody"),
    "iss missing": lambda i: i.token(iss=...),
    "iss a number": lambda i: i.token(iss=1),
    "sub missing": lambda i: i.token(sub=...),
    "sub with a bar": lambda i: i.token(sub="a|b"),
    "sub like an api key": lambda i: i.token(sub="key:ak_1"),
    "sub dots": lambda i: i.token(sub=".."),
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


@pytest.mark.database
async def test_a_revoked_key(world: World, issuer: Issuer) -> None:
    process = world.process()
    await process.login(issuer.token())
    async with world.database.write() as session:
        await client_keys.revoke_key(session, CLI, "c1", "mine", world.clock.at)
    assert await process.no_login(issuer.token()) == "invalid_token"


async def test_keys_that_are_not_registered(world: World, issuer: Issuer) -> None:
    private = KEYS["ES256"].as_pem(private=True).decode()
    for pem in ("", "x", private, _pem(ECKey.generate_key("P-384")), _pem(OKPKey.generate_key("X25519"))):
        async with world.database.write() as session:
            with pytest.raises(Invalid):
                await client_keys.add_signing_key(session, CLI, "c1", pem, world.clock.at)
    async with world.database.write() as session:
        with pytest.raises(AlreadyExists):
            await client_keys.add_signing_key(session, CLI, "c1", _pem(KEYS["ES256"]), world.clock.at, "mine")
        with pytest.raises(Invalid):
            await client_keys.add_signing_key(session, CLI, "c1", _pem(KEYS["ES256"]), world.clock.at, "a b")
        key = await client_keys.add_signing_key(
            session, CLI, "c1", public_pem(key_pair("c1")), world.clock.at
        )
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


@pytest.mark.parametrize(("aud", "is_good"), [(["chat2llm"], True), (["other"], False), ([], False)])
async def test_an_audience_in_a_list_of_one(
    world: World, issuer: Issuer, aud: list[str], is_good: bool
) -> None:
    token = issuer.token(aud=aud)
    if is_good:
        assert await world.process().login(token)
    else:
        assert await world.process().no_login(token) == "invalid_token"


class TestInspection:
    """Everything that is wrong with a signed token is told at once, by the names of its claims."""

    async def look(self, world: World, token: str) -> list[tuple[str, bool, str]]:
        async with world.database.read() as session:
            steps = await inspect_token(session, world.vault, Lanes(), token, world.settings, world.clock.at)
        return [(step.name, step.passed, step.found.en) for step in steps]

    async def test_a_good_one(self, world: World, issuer: Issuer) -> None:
        steps = await self.look(world, issuer.token())
        assert [name for name, passed, _ in steps if passed] == [
            *("form", "client", "key", "time", "user", "uses")
        ]
        assert steps[0][2] == "version 2, client c1~mine"
        assert steps[-1][2].startswith("good for 1 more")

    async def test_claims_that_nobody_reads(self, world: World, issuer: Issuer) -> None:
        steps = await self.look(world, issuer.token(name=..., username="张三", nbf=1))
        assert ("claims", True, "unknown and ignored: nbf; username (name is meant)") in steps
        assert steps[-1][:2] == ("uses", True)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (
                {"aud": ..., "jti": ...},
                'aud is missing: "chat2llm"; jti is missing: a text of 1 to 128 characters',
            ),
            ({"sub": ..., "user_id": "u1"}, "sub is missing (user_id stands there)"),
            ({"aud": "other"}, 'aud is "other", and should be "chat2llm"'),
            ({"sub": 17}, "sub is 17, and should be a text of 1 to 64 bytes"),
            ({"name": None}, "name is null, and should be a text"),
            ({"iat": 1700000000000}, "iat is 1700000000000, and should be seconds, a number of 10 digits"),
            ({"iat": 1700000000, "exp": 1700003600}, "exp - iat is 3600 s, and should be 1 to 600"),
            ({"sub": "a|b"}, 'sub is "a|b", and should be a text of 1 to 64 bytes, without |'),
        ],
    )
    async def test_claims(self, world: World, issuer: Issuer, changes: dict[str, Any], words: str) -> None:
        *_, before, last = await self.look(world, issuer.token(**changes))
        assert before == ("key", True, "key mine (signature)")
        assert last[:2] == ("claims", False)
        assert words in last[2]

    async def test_headers(self, world: World, issuer: Issuer) -> None:
        cases = {
            issuer.token(
                header={"typ": "JWT", "x5t": "1"}
            ): 'typ is "JWT", and should be c2l-client+jwt; the header must not have x5t',
            _sign({"alg": "EdDSA"}, issuer.payload()): "the header has no kid; the header has no typ",
            issuer.token(header={"kid": "a b"}): 'kid is "a b", and should be the name',
            issuer.token(iss=..., client_id="c1"): "iss is missing (client_id stands there)",
            f"{_b64(b'x')}.{_b64(b'{}')}.AA": "is not valid JSON",
        }
        for token, words in cases.items():
            name, passed, found = (await self.look(world, token))[-1]
            assert (name, passed) == ("form", False)
            assert words in found

    async def test_keys(self, world: World, issuer: Issuer) -> None:
        await world.client("other")
        good = issuer.token()
        cases = {
            good[:-20]: "the signature has 49 bytes instead of 64: the token was cut",
            _sign(
                {"alg": "EdDSA", **HEADER}, issuer.payload(), OKPKey.generate_key("Ed25519")
            ): "signature is wrong",
            issuer.token("ES256"): "alg does not fit",
            issuer.token(header={"kid": "yours"}): "there are: mine",
            Issuer(world, "other").token(): "none for signed tokens",
        }
        for token, words in cases.items():
            name, passed, found = (await self.look(world, token))[-1]
            assert (name, passed) == ("key", False)
            assert words in found
        async with world.database.write() as session:
            await client_keys.revoke_key(session, CLI, "c1", "mine", world.clock.at)
        found = (await self.look(world, good))[-1][2]
        assert f"made with key mine, which ended at {world.clock.at:%F %R} UTC (it was revoked)" in found

    async def test_time(self, world: World, issuer: Issuer) -> None:
        now = int(world.clock.at.timestamp())
        found = (await self.look(world, issuer.token(iat=now - 300, exp=now - 5)))[-1]
        assert found == ("time", False, "has expired: exp was 5 s ago")
        found = (await self.look(world, issuer.token(iat=now + 100, exp=now + 200)))[-1]
        assert found[2].startswith("is 100 s from the future, 60 s are allowed")


class TestNobody:
    """Whether a name is a client's cannot be told by the work that its tokens make."""

    @pytest.fixture
    def work(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
        """What is done: signatures that are checked, statements that are run, RSA keys that are tried."""
        done: list[str] = []

        def noted(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any) -> Any:
                done.append(kind)
                return function(*args)

            return call

        monkeypatch.setattr(signed_token, "verify_signed", noted("verify", signed_token.verify_signed))
        monkeypatch.setattr(api_token, "open_token", noted("rsa", api_token.open_token))
        engine, statement = world.database.engine.sync_engine, noted("sql", lambda *_: None)
        event.listen(engine, "before_cursor_execute", statement)
        yield done
        event.remove(engine, "before_cursor_execute", statement)

    async def cost(self, world: World, work: list[str], *forged: str) -> list[str]:
        """Of forgeries one after the other, in a process that knows nobody yet."""
        process = world.process()
        work.clear()
        for token in forged:
            assert await process.refusal(token) == "invalid_token"
        return sorted(work)

    def signed(self, issuer: Issuer, kid: str = "mine", **changes: Any) -> list[str]:
        header = {"alg": "EdDSA", **HEADER, "kid": kid}
        return [_sign(header, issuer.payload(**changes), STRANGER) for _ in range(2)]

    async def test_a_signed_token(self, world: World, issuer: Issuer, work: list[str]) -> None:
        known = await self.cost(world, work, *self.signed(issuer))
        assert known.count("verify") == 2
        await world.client("c2")
        for name in ("nobody", "c2"):
            assert await self.cost(world, work, *self.signed(issuer, iss=name)) == known
        assert await self.cost(world, work, *self.signed(issuer, kid="other")) == known

    async def test_an_encrypted_one(self, world: World, work: list[str]) -> None:
        def forged(name: str) -> list[str]:
            noise = (base64.b64encode(secrets.token_bytes(256)) for _ in range(2))
            return [base64.b64encode(f"{name}|".encode() + part).decode() for part in noise]

        await world.client("c1")
        known = await self.cost(world, work, *forged("c1"))
        assert known.count("rsa") == 2
        assert await self.cost(world, work, *forged("nobody")) == known
        # Who signs only has no RSA key, and that is nobody's business either.
        await register(world, "c1", KEYS["EdDSA"])
        async with world.database.write() as session:
            await client_keys.revoke_key(session, CLI, "c1", "k1", world.clock.at)
        assert await self.cost(world, work, *forged("c1")) == known

    def test_a_name_has_one_kind_of_key(self) -> None:
        kinds = {name: signed_token.decoy_key(name) for name in map(str, range(50))}
        assert len(set(kinds.values())) == 2
        assert all(signed_token.decoy_key(name) == pem for name, pem in kinds.items())
