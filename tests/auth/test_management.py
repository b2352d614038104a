"""What an operator does: each change takes effect, stands in the audit, and undoes no other."""

import asyncio
import base64
import secrets
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import ECC, RSA
from Crypto.Util.number import getPrime
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.app import create_app
from server.auth import client_keys, management, service
from server.auth.api_token import (
    PKCS1V15,
    Form,
    check_implicit_rejection,
    make_token,
    new_key_pair,
    private_pem,
    public_pem,
)
from server.auth.audit import CLI
from server.auth.client_keys import Rotation
from server.auth.inspection import inspect_token
from server.auth.models import ClientKey, KeyState
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.service import NewClient, add_api_key, check_pkcs1v15
from server.core.errors import AlreadyExists, Conflict, Invalid, NotFound
from server.core.settings import Settings
from server.core.threads import Lanes
from tests.auth.conftest import HOME, World
from tests.conftest import key_pair
from tests.support.api import serving

NEW, NEWER, V15 = new_key_pair(), new_key_pair(), new_key_pair()
WEAK = new_key_pair(1024)
WEEK = timedelta(days=7)


@pytest.fixture
async def c1(world: World) -> None:
    await world.client("c1", Policy.COMPAT)


async def _rotate(world: World, key=NEW, overlap: timedelta = WEEK, *, force: bool = False) -> ClientKey:
    rotation, now = Rotation(overlap, force), world.clock.at
    async with world.database.write() as session:
        return await client_keys.rotate_key(session, world.vault, CLI, "c1", rotation, now, key)


async def _states(world: World) -> dict[str, str]:
    async with world.database.read() as session:
        keys = await client_keys.list_keys(session, "c1")
    return {key.kid: client_keys.state_of(key, world.clock.at) for key in keys}


def _named(token: str, kid: str) -> str:
    """The same token, naming its key."""
    client, _, body = base64.b64decode(token).partition(b"|")
    return base64.b64encode(client + f"~{kid}|".encode() + body).decode()


class TestKeys:
    async def test_rotation_overlaps(self, world: World, c1) -> None:
        fresh = await _rotate(world)
        assert (fresh.kid, fresh.public_pem) == ("k2", public_pem(NEW))
        process = world.process()
        assert await process.user(world.token("c1", "old"))
        assert await process.user(world.token("c1", "new", key=NEW)), "the new one works at once"
        world.clock.at += WEEK - timedelta(seconds=1)
        assert await world.process().user(world.token("c1", "old"))
        world.clock.at += timedelta(seconds=1)
        assert await process.refusal(world.token("c1", "old2")) == "invalid_token"
        assert await process.user(world.token("c1", "new2", key=NEW))

    async def test_a_token_may_come_before_its_key_is_known(self, world: World, c1) -> None:
        process = world.process()
        assert await process.user(world.token("c1", "old"))
        await _rotate(world)
        token, forged = world.token("c1", "new", key=NEW), world.token("c1", "new", key=NEWER)
        tokens = process.authenticator._tokens
        for given in (token, forged):
            # As if a moment ago, however slow this machine is.
            tokens._issuers["c1"] = replace(tokens._issuers["c1"], read_at=time.monotonic())
            assert await process.refusal(given) == "invalid_token", "keys are read once a second"
        await asyncio.sleep(1.1)
        assert await process.user(token), "it was not taken for forged"
        await asyncio.sleep(1.1)
        for _ in range(3):
            assert await process.refusal(forged) == "invalid_token"
        assert process.guard._forged_by_address.count(HOME) == 3, "the last two cost nothing"

    async def test_what_was_promised_to_be_good_ends_only_by_force(self, world: World, c1) -> None:
        await _rotate(world)
        end = world.clock.at + WEEK
        with pytest.raises(Conflict, match=f"k1 .*{end:%F %R}.*--force"):
            await _rotate(world, NEWER)
        assert await _states(world) == {"k1": "retiring", "k2": "active"}
        await _rotate(world, NEWER, force=True)
        assert await _states(world) == {"k1": "ended", "k2": "retiring", "k3": "active"}
        process = world.process()
        assert await process.refusal(world.token("c1")) == "invalid_token"
        for number, key in enumerate((NEW, NEWER)):
            assert await process.user(world.token("c1", f"u{number}", key=key))

    async def test_after_the_overlap_there_is_nothing_to_force(self, world: World, c1) -> None:
        await _rotate(world)
        world.clock.at += WEEK
        await _rotate(world, NEWER)
        assert await _states(world) == {"k1": "ended", "k2": "retiring", "k3": "active"}

    async def test_no_overlap_ends_the_old_key_now(self, world: World, c1) -> None:
        await _rotate(world, overlap=timedelta(0))
        assert await _states(world) == {"k1": "ended", "k2": "active"}
        assert await world.process().refusal(world.token("c1")) == "invalid_token"
        await _rotate(world, NEWER)
        assert await _states(world) == {"k1": "ended", "k2": "retiring", "k3": "active"}

    async def test_what_is_revoked_is_not_revoked_again(self, world: World, c1) -> None:
        await _rotate(world)
        process = world.process()
        async with world.database.write() as session:
            await client_keys.revoke_key(session, CLI, "c1", "k1", world.clock.at)
        login = await process.login(world.token("c1", key=NEW))
        async with world.database.write() as session:
            with pytest.raises(Conflict, match="already"):
                await client_keys.revoke_key(session, CLI, "c1", "k1", world.clock.at)
        assert await process.user(login), "whom a key did not bring in that was no good"

    async def test_revoking_is_now_also_for_what_was_opened_before(self, world: World, c1) -> None:
        process, token = world.process(), world.token("c1")
        await process.user(token)
        login = await process.login(token)
        await _rotate(world)
        async with world.database.write() as session:
            key = await client_keys.revoke_key(session, CLI, "c1", "k1", world.clock.at)
            assert key.state == KeyState.DISABLED
        process.authenticator.forget("c1")  # what five seconds do
        assert await process.refusal(token) == "invalid_token"
        assert await process.refusal(login) == "invalid_token"
        assert await process.user(world.token("c1", key=NEW))

    async def test_a_token_may_name_its_key(self, world: World, c1) -> None:
        await _rotate(world)
        process = world.process()
        assert await process.user(_named(world.token("c1"), "k1"))
        assert await process.refusal(_named(world.token("c1", "u2"), "k2")) == "invalid_token"
        assert await process.refusal(_named(world.token("c1", "u3"), "k9")) == "invalid_token"
        assert await process.refusal(_named(world.token("c1", "u4"), "k 1")) == "invalid_token"

    async def test_what_is_not_there(self, world: World, c1) -> None:
        async with world.database.write() as session:
            now = world.clock.at
            with pytest.raises(NotFound, match="k1"):
                await client_keys.revoke_key(session, CLI, "c1", "k7", now)
            with pytest.raises(NotFound, match="c1"):
                await client_keys.rotate_key(session, world.vault, CLI, "c2", Rotation(WEEK), now, NEW)
            with pytest.raises(NotFound):
                await client_keys.show_key(session, CLI, "c2", now)

    async def test_a_look_at_a_key_is_noted(self, world: World, c1) -> None:
        async with world.database.write() as session:
            key = await client_keys.show_key(session, "c1/boss", "c1", world.clock.at)
        assert key.public_pem == public_pem(key_pair("c1"))
        (row, *_) = await world.audit()
        assert (row.actor, row.action, row.client_id, row.target) == ("c1/boss", "key.show", "c1", "k1")


class TestImport:
    """An issuer's own key pair is taken over."""

    async def take(self, world: World, key, client: str = "c1", **options: bool) -> ClientKey:
        async with world.database.write() as session:
            new = NewClient(client, policy=Policy.COMPAT)
            pem = key if isinstance(key, str) else private_pem(key)
            return await client_keys.import_client(
                session, world.vault, CLI, new, pem, world.clock.at, **options
            )

    @pytest.mark.parametrize("form", [1, 8])
    async def test_a_good_key(self, world: World, form: int) -> None:
        key = await self.take(world, NEW.export_key(pkcs=form).decode())
        assert (key.state, key.retire_at, key.public_pem) == (KeyState.ACTIVE, None, public_pem(NEW))
        assert await world.process().user(world.token("c1", key=NEW))
        (row,) = [row for row in await world.audit() if row.action == "key.import"]
        assert (row.client_id, row.target, row.detail) == ("c1", "k1", {"bits": 2048})

    async def test_a_large_key(self, world: World) -> None:
        pem = rsa.generate_private_key(65537, 4096).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        assert (await self.take(world, pem.decode())).state == KeyState.ACTIVE
        assert await world.process().user(world.token("c1", key=RSA.import_key(pem)))

    async def test_a_weak_key_on_demand_with_an_end_and_a_warning(
        self, world: World, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(Invalid, match="--allow-weak-key"):
            await self.take(world, WEAK)
        key = await self.take(world, WEAK, allow_weak=True)
        end = world.clock.at + timedelta(days=180)
        assert (key.state, key.retire_at) == (KeyState.RETIRING, end)
        await world.client("c2")
        async with serving(create_app(settings)):
            pass
        (told,) = [vars(record) for record in caplog.records if "weak RSA key" in record.message]
        assert (told["client"], told["key"], told["bits"], told["ends"]) == ("c1", "k1", 1024, f"{end:%F}")
        world.clock.at = end - timedelta(seconds=1)
        assert await world.process().user(world.token("c1", key=WEAK))
        world.clock.at = end
        assert await world.process().refusal(world.token("c1", "u2", key=WEAK)) == "invalid_token"

    async def test_the_way_to_a_good_key_overlaps(self, world: World) -> None:
        await self.take(world, WEAK, allow_weak=True)
        await _rotate(world)
        world.clock.at += WEEK - timedelta(seconds=1)
        assert await world.process().user(world.token("c1", key=WEAK))
        assert await world.process().user(world.token("c1", key=NEW))
        world.clock.at += timedelta(seconds=1)
        assert await world.process().refusal(world.token("c1", "u2", key=WEAK)) == "invalid_token"

    async def test_what_is_no_key_of_ours(self, world: World) -> None:
        p, q = getPrime(500), getPrime(500)
        small = private_pem(RSA.construct((p * q, 65537, pow(65537, -1, (p - 1) * (q - 1)))))
        locked = NEW.export_key(
            passphrase="x", pkcs=8, protection="PBKDF2WithHMAC-SHA1AndDES-EDE3-CBC"
        ).decode()
        for bad in (
            "",
            "x",
            public_pem(NEW),
            small,
            locked,
            ECC.generate(curve="p256").export_key(format="PEM"),
        ):
            with pytest.raises(Invalid, match="1024 to 4096"):
                await self.take(world, bad, allow_weak=True)
        await self.take(world, NEW)
        with pytest.raises(AlreadyExists):
            await self.take(world, NEW)


class TestPKCS1v15:
    async def allow(self, world: World) -> ClientKey:
        async with world.database.write() as session:
            return await client_keys.allow_pkcs1v15(session, world.vault, CLI, "c1", world.clock.at, V15)

    def token(self, world: World, user: str, key=V15) -> str:
        return world.token("c1", user, key=key, padding=PKCS1V15)

    async def test_off_unless_switched_on_and_then_with_its_own_key(self, world: World, c1) -> None:
        assert await world.process().refusal(self.token(world, "u1", key_pair("c1"))) == "invalid_token"
        assert (await self.allow(world)).kid == "k2"
        async with world.database.read() as session:
            await check_pkcs1v15(session, world.vault)
        process = world.process()
        assert (await process.user(self.token(world, "u1"))).user_id == "u1"
        assert (await process.user(world.token("c1", "u2"))).user_id == "u2", (
            "OAEP beside it, though v1.5 was last"
        )
        assert await process.refusal(self.token(world, "u3", key_pair("c1"))) == "invalid_token"
        assert await process.refusal(world.token("c1", "u4", key=V15)) == "invalid_token"
        async with world.database.write() as session:
            with pytest.raises(AlreadyExists, match="k2"):
                await client_keys.allow_pkcs1v15(session, world.vault, CLI, "c1", world.clock.at, V15)

    async def test_no_refusal_tells_what_was_wrong(self, world: World, c1) -> None:
        """Noise, conforming blocks with wrong fields, and a good block that expired: the same answer."""
        await self.allow(world)
        process = world.process(failures_per_address=10**6)
        cipher = PKCS1_v1_5.new(V15.public_key())
        blocks = [secrets.randbelow(V15.n).to_bytes(256, "big") for _ in range(60)]
        blocks += [
            cipher.encrypt(text)
            for text in (b"", b"x", b"c1|u1", b"c1|u1|n|x", b"c2|u1|n|1700000000", b"\xff")
        ]
        answers = set()
        for block in blocks:
            token = base64.b64encode(b"c1|" + block).decode()
            answers.add(await process.refusal(token))
        answers.add(
            await process.refusal(world.token("c1", age=timedelta(hours=9), key=V15, padding=PKCS1V15))
        )
        assert answers == {"invalid_token"}

    def test_the_library_hides_the_padding(self) -> None:
        assert check_implicit_rejection(V15)


class TestClientsAndUsers:
    async def test_disabling_a_client(self, world: World, c1) -> None:
        process = world.process()
        login = await process.login(world.token("c1"))
        ticket = await process.signon.ticket_for_token(world.token("c1"), "")
        async with world.database.write() as session:
            await management.set_client_enabled(session, CLI, "c1", enabled=False, now=world.clock.at)
        for secret in (login, world.token("c1", "u2")):
            assert await process.refusal(secret) == "invalid_token"
        assert await process.no_login(ticket) == "invalid_token"
        async with world.database.write() as session:
            await management.set_client_enabled(session, CLI, "c1", enabled=True, now=world.clock.at)
        process = world.process()
        assert await process.user(world.token("c1"))
        assert await process.refusal(login) == "invalid_token", "what was ended stays so"
        changes = [row.action for row in await world.audit() if row.action.startswith("client.")]
        assert changes == ["client.enable", "client.disable", "client.add"]

    async def test_disabling_a_user(self, world: World, c1) -> None:
        process = world.process()
        mine, others = [await process.login(world.token("c1", user)) for user in ("u1", "u2")]
        async with world.database.write() as session:
            await management.set_user_enabled(session, CLI, "c1", "u1", enabled=False, now=world.clock.at)
        assert await process.refusal(mine) == "invalid_token"
        assert await process.user(others)
        async with world.database.write() as session:
            await management.set_user_enabled(session, CLI, "c1", "u1", enabled=True, now=world.clock.at)
            with pytest.raises(NotFound):
                await management.set_user_enabled(session, CLI, "c1", "x", enabled=True, now=world.clock.at)
        assert await world.process().user(world.token("c1", "u1"))

    async def test_policy_and_role(self, world: World, c1) -> None:
        token = world.token("c1")
        await world.process().user(token)
        async with world.database.write() as session:
            await management.set_policy(session, CLI, "c1", Policy.STRICT, world.clock.at)
            await management.set_role(session, CLI, "c1", "u1", Role.MANAGER, world.clock.at)
        assert await world.process().refusal(token) == "invalid_token"
        user = await world.process().user(await world.process().login(token))
        assert "kb:write" in user.scopes
        rows = {row.action: row.detail for row in await world.audit()}
        assert rows["client.policy"] == {"policy": "strict", "before": "compat"}
        assert rows["user.role"] == {"role": "manager", "before": "reader"}

    async def test_options(self, world: World, c1) -> None:
        """They hold for the next token and, when they are taken back, for those that were opened before."""

        def token(user: str, name: str, form: Form) -> str:
            return make_token("c1", user, name, world.clock.at, key_pair("c1").public_key(), form=form)

        async def option(**options: Any) -> None:
            async with world.database.write() as session:
                await management.set_options(session, CLI, "c1", world.clock.at, **options)

        process = world.process()
        long, named = token("u1", "名" * 60, Form(max_blocks=2)), token("a b", "x", Form(pct_fields=True))
        assert await process.refusal(long) == "invalid_token"
        assert (await process.user(named)).user_id == "a%20b"
        await option(max_blocks=2)
        await option(pct_fields=True)
        process.see_changes()
        assert (await process.user(long)).username == "名" * 60
        assert (await process.user(named)).user_id == "a b"
        await option(max_blocks=1, pct_fields=False)
        process.forget()
        assert await process.refusal(long) == "invalid_token"
        assert (await process.user(named)).user_id == "a%20b"
        rows = [row.detail for row in await world.audit() if row.action == "client.option"]
        assert rows[1] == {"max_blocks": 2, "pct_fields": True, "networks": []}
        for bad in (0, 5):
            with pytest.raises(Invalid, match="1 to 4"):
                await option(max_blocks=bad)

    async def test_tokens_are_made_as_the_client_makes_them(self, world: World, c1) -> None:
        async with world.database.write() as session:
            with pytest.raises(Invalid, match="shorten"):
                await service.make_token(session, "c1", "50%", "名" * 60, world.clock.at)
            await management.set_options(session, CLI, "c1", world.clock.at, max_blocks=4, pct_fields=True)
            token = await service.make_token(session, "c1", "50%", "名" * 60, world.clock.at)
        user = await world.process().user(token)
        assert (user.user_id, user.username) == ("50%", "名" * 60)

    async def test_users_by_pages(self, world: World, c1) -> None:
        process = world.process()
        for number in range(3):
            await process.user(world.token("c1", f"u{number}"))
        async with world.database.read() as session:
            rows, total = await management.list_users(session, "c1", offset=1, limit=1)
        assert ([row.id for row in rows], total) == (["u1"], 3)

    async def test_frames(self, world: World, c1) -> None:
        async with world.database.write() as session:
            origins = ["https://oa.example.com", "http://10.0.0.1:8080"]
            client = await management.set_frame_ancestors(session, CLI, "c1", origins, world.clock.at)
            assert client.frame_ancestors == "https://oa.example.com http://10.0.0.1:8080"
            for bad in ("*", "https://a b", "'self'", "javascript:x", "https://a;script-src *"):
                with pytest.raises(Invalid):
                    await management.set_frame_ancestors(session, CLI, "c1", [bad], world.clock.at)


async def test_api_keys(world: World, c1) -> None:
    async with world.database.write() as session:
        secret = await add_api_key(session, world.vault, "c1", ["chat"], world.clock.at)
    process = world.process()
    await process.user(secret)
    async with world.database.write() as session:
        (key,) = await management.list_api_keys(session, "c1")
        await management.revoke_api_key(session, CLI, key.id, world.clock.at)
        with pytest.raises(NotFound):
            await management.revoke_api_key(session, CLI, "ak_x", world.clock.at)
    assert await world.process().refusal(secret) == "invalid_token"
    rows = [row for row in await world.audit() if row.action.startswith("api-key")]
    assert [(row.action, row.target) for row in rows] == [("api-key.revoke", key.id), ("api-key.add", key.id)]
    assert secret not in str([row.detail for row in rows])


async def test_sessions_are_listed_and_ended(world: World, c1) -> None:
    process = world.process()
    logins = [await process.login(world.token("c1", user)) for user in ("u1", "u1", "u2", "u3")]
    async with world.database.write() as session:
        now, settings = world.clock.at, world.settings
        rows = await management.list_sessions(session, "c1", None, settings, now)
        assert sorted(row.user_id for row in rows) == ["u1", "u1", "u2", "u3"]
        two = next(row for row in rows if row.user_id == "u2")
        assert await management.end_logins(session, CLI, "c1", "u1", now) == 2
        assert await management.end_logins(session, CLI, "c1", None, now, two.id) == 1
        with pytest.raises(NotFound):
            await management.end_logins(session, CLI, "c1", None, now, two.id)
        rows = await management.list_sessions(session, "c1", None, settings, now)
        assert [row.user_id for row in rows] == ["u3"]
        later = now + timedelta(minutes=31)
        assert await management.list_sessions(session, "c1", None, settings, later) == [], "idle too long"
    assert [await process.refusal(login) for login in logins[:3]] == ["invalid_token"] * 3


class TestInspection:
    """Every refusal is explained at the step where it happens, and looking changes nothing."""

    async def look(self, world: World, token: str) -> list[tuple[str, bool, str]]:
        async with world.database.read() as session:
            steps = await inspect_token(session, world.vault, Lanes(), token, world.settings, world.clock.at)
        return [(step.name, step.passed, step.found.en) for step in steps]

    async def test_a_good_one(self, world: World) -> None:
        await world.client("c1")
        for _ in range(5):
            steps = await self.look(world, world.token("c1", age=timedelta(seconds=3)))
        assert [name for name, passed, _ in steps if passed] == [
            "form",
            "client",
            "key",
            "time",
            "user",
            "uses",
        ]
        assert steps[2][2] == "key k1 (oaep-256/256)"
        assert steps[3][2] == "made 3 s ago"
        assert steps[5][2].startswith("good for 3 more exchanges")

    async def test_what_a_client_is_allowed(self, world: World, c1) -> None:
        key, now = key_pair("c1").public_key(), world.clock.at
        long = make_token("c1", "u1", "名" * 60, now, key, form=Form(max_blocks=2))
        (*_, (step, passed, found)) = await self.look(world, long)
        assert (step, passed) == ("key", False)
        assert "max_blocks" in found
        async with world.database.write() as session:
            await management.set_options(session, CLI, "c1", now, max_blocks=3, pct_fields=True)
        assert (
            "2 blocks, max_blocks=3; user id and username percent-decoded"
            in (await self.look(world, long))[2][2]
        )
        (*_, (step, passed, found)) = await self.look(world, make_token("c1", "5%", "", now, key))
        assert (step, passed) == ("key", False)
        assert "%25" in found

    async def test_the_issuers_clock(self, world: World, c1) -> None:
        ahead = await self.look(world, world.token("c1", age=-timedelta(seconds=75)))
        assert ahead[3] == ("time", True, "made 0 s ago; the issuer's clock is ahead by 75 s at least")
        (*_, (_, passed, found)) = await self.look(world, world.token("c1", age=-timedelta(hours=1)))
        assert (passed, "ahead by 3600 s" in found) == (False, True)

    async def test_bad_ones(self, world: World, c1) -> None:
        await world.client("off")
        async with world.database.write() as session:
            await management.set_client_enabled(session, CLI, "off", enabled=False, now=world.clock.at)
        now = world.clock.at
        cases = {
            "x": ("form", "base64"),
            world.token("off"): ("client", "disabled"),
            make_token("nobody", "u1", "", now, NEW.public_key()): ("client", "no client such"),
            world.token("c1", key=NEW): ("key", "another public key"),
            _named(world.token("c1"), "k9"): ("key", "no such key"),
            world.token("c1", age=timedelta(days=1)): ("time", "expired"),
            world.token("c1", age=-timedelta(hours=1)): ("time", "future"),
        }
        for token, (step, words) in cases.items():
            name, passed, found = (await self.look(world, token))[-1]
            assert (name, passed) == (step, False), found
            assert all(word in found for word in words.split() if word != "such"), found

    async def test_what_is_no_token(self, world: World, c1) -> None:
        good = world.token("c1")
        cases = {
            "st_abc": "is a session",
            "tk_abc": "is a ticket",
            "sk-abc": "is an api key",
            f'"{good}"': "quotes",
            f"Bearer {good}": "Bearer at its beginning",
            f"Api-Token: {good}": "Api-Token: at its beginning",
            quote(base64.b64encode(b"c1|" + bytes([251, 255]) * 128).decode()): "percent-encoded (%2",
            good[:-3]: "was cut",
            good[:60] + "。": "character 61 is",
            "eyJhbGciOiJFZERTQSJ9.eyJ": "has three parts between dots; this has 2",
        }
        for token, words in cases.items():
            name, passed, found = (await self.look(world, token))[-1]
            assert (name, passed) == ("form", False), found
            assert words in found

    async def test_a_ciphertext_that_cannot_be_one(self, world: World, c1) -> None:
        inner = base64.b64decode(world.token("c1")).partition(b"|")[2]
        cases = {
            b"c1|" + inner[:200]: "has 150 bytes and the key 256",
            b"c1|" + inner[:201]: "has 150 bytes and the key 256",
            b"c1|" + base64.b64encode(b"x" * 300): "length is not the key's",
            b"c1|c1|u1||1700000000": "is not encrypted",
        }
        for raw, words in cases.items():
            name, passed, found = (await self.look(world, base64.b64encode(raw).decode()))[-1]
            assert (name, passed) == ("key", False), found
            assert words in found

    async def test_a_key_that_ended(self, world: World, c1) -> None:
        old, at = world.token("c1"), world.clock.at
        await _rotate(world)
        world.clock.at += WEEK
        ended = f"made with key k1, which ended at {at + WEEK:%F %R} UTC (it was replaced)"
        assert ended in (await self.look(world, old))[-1][2]
        assert ended in (await self.look(world, _named(old, "k1")))[-1][2]
        await _rotate(world, NEWER)
        new = world.token("c1", key=NEW)
        async with world.database.write() as session:
            await client_keys.revoke_key(session, CLI, "c1", "k2", world.clock.at)
        found = (await self.look(world, new))[-1][2]
        assert f"made with key k2, which ended at {world.clock.at:%F %R} UTC (it was revoked)" in found

    async def test_a_key_that_was_replaced_twice(self, world: World, c1) -> None:
        old = world.token("c1")
        for key in (NEW, NEWER):
            world.clock.at += timedelta(hours=1)
            await _rotate(world, key, force=True)
        found = (await self.look(world, old))[-1][2]
        assert f"made with key k1, which ended at {world.clock.at:%F %R} UTC (it was replaced)" in found

    async def test_a_key_for_another_padding_that_ended_explains_nothing(self, world: World, c1) -> None:
        async with world.database.write() as session:
            await client_keys.allow_pkcs1v15(session, world.vault, CLI, "c1", world.clock.at, V15)
            await client_keys.revoke_key(session, CLI, "c1", "k2", world.clock.at)
        assert "another public key" in (await self.look(world, world.token("c1", key=NEW)))[-1][2]

    async def test_used_up(self, world: World) -> None:
        await world.client("c1", Policy.STRICT)
        token = world.token("c1")
        await world.process().login(token)
        assert (await self.look(world, token))[-1][:2] == ("uses", False)
