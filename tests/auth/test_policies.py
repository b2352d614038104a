"""What a token is good for: where, how long, how often; and who stops it."""

import asyncio
import base64
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from server.auth import management
from server.auth.api_token import make_token
from server.auth.audit import CLI
from server.auth.models import Client, User
from server.auth.policy import Policy
from server.auth.skew import Ahead
from server.auth.tokens import digest_of
from server.core.errors import TooManyRequests
from tests.auth.conftest import HOME, World
from tests.conftest import key_pair

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
OTHER = "192.0.2.2"


@pytest.mark.parametrize(
    ("policy", "window", "skew"),
    [
        (Policy.COMPAT, timedelta(hours=8), timedelta(seconds=300)),
        (Policy.EXCHANGE, timedelta(minutes=10), timedelta(seconds=120)),
        (Policy.STRICT, timedelta(seconds=120), timedelta(seconds=60)),
    ],
)
async def test_age_and_skew(world: World, policy: Policy, window: timedelta, skew: timedelta) -> None:
    await world.client("c1", policy)
    process = world.process()
    for age in (window, window - SECOND, -skew):
        assert (await process.login(world.token("c1", f"u{age.total_seconds():.0f}", age=age))).startswith(
            "st_"
        )
    assert await process.no_login(world.token("c1", age=window + SECOND)) == "token_expired"
    assert await process.no_login(world.token("c1", age=-skew - SECOND)) == "invalid_token"


async def _only_from(world: World, *networks: str) -> None:
    async with world.database.write() as session:
        await management.set_options(session, CLI, "c1", world.clock.at, networks=list(networks))


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("10.9.8.7", True),
        ("192.0.2.1", True),
        ("::ffff:10.1.1.1", True),
        ("2001:db8::7", True),
        ("192.0.2.2", False),
        ("2001:db9::7", False),
        ("", False),
        ("unix:", False),
    ],
)
async def test_tokens_from_some_networks_only(world: World, address: str, good: bool) -> None:
    await world.client("c1", Policy.COMPAT)
    await _only_from(world, "10.0.0.0/8", "192.0.2.1", "2001:db8::/32")
    process, token = world.process(), world.token("c1")
    if good:
        assert await process.user(token, address)
        assert await process.login(token, address)
        return
    assert await process.refusal(token, address) == "invalid_token"
    assert await process.no_login(token, address) == "invalid_token"
    await process.runtime.tasks.drain()
    (row,) = [row for row in await world.audit() if row.action == "session.refuse"]
    assert (row.detail["reason"], row.detail["address"]) == ("address", address)
    assert process.guard._forged_by_address.count(address) == 0, "it is no forgery"


async def test_what_was_good_from_one_address_is_not_from_another(world: World) -> None:
    """Whatever is remembered of it; and a session goes where its owner goes."""
    await world.client("c1", Policy.COMPAT)
    process, token = world.process(), world.token("c1")
    await _only_from(world, HOME)
    assert await process.user(token, HOME)
    assert await process.refusal(token, OTHER) == "invalid_token"
    assert await process.user(await process.login(token, HOME), OTHER)
    stale = world.token("c1", "u2", age=timedelta(hours=9))
    assert await process.refusal(stale, HOME) == "token_expired"
    assert await process.refusal(stale, OTHER) == "invalid_token", "nothing is told there"
    await _only_from(world)
    process.forget()
    assert await process.user(token, OTHER)


def _warnings(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    return [(vars(r)["client"], vars(r)["seconds"]) for r in caplog.records if "clock is ahead" in r.message]


async def test_a_clock_that_runs_ahead_is_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Once an hour and client, also where nobody can come in because of it."""
    await world.client("c1", Policy.EXCHANGE)
    await world.client("c2", Policy.COMPAT)
    process = world.process()
    skew = process.authenticator.skew
    await process.login(world.token("c1", age=MINUTE))
    assert skew.of("c1") is None, "on its way for a minute, or made by a clock that is behind"
    await process.login(world.token("c1", age=-MINUTE))
    assert _warnings(caplog) == [], "a minute is nothing to tell"
    assert skew.of("c1") == Ahead(60, world.clock.at)
    await process.login(world.token("c1", age=-MINUTE - SECOND))
    await process.user(world.token("c2", age=-2 * MINUTE))
    assert await process.no_login(world.token("c1", age=-60 * MINUTE)) == "invalid_token"
    assert _warnings(caplog) == [("c1", 61), ("c2", 120)]
    assert skew.of("c1") == Ahead(3600, world.clock.at)
    world.clock.at += 60 * MINUTE
    token = world.token("c1", age=-90 * SECOND)
    await process.login(token)
    assert _warnings(caplog)[2:] == [("c1", 90)]
    latest = skew.of("c1")
    world.clock.at += 30 * SECOND
    await process.login(token)
    assert skew.of("c1") == latest, "a token tells once: later it is less ahead"


async def test_only_compat_tokens_are_credentials_everywhere(world: World) -> None:
    for policy in Policy:
        await world.client(policy.value, policy)
    process = world.process()
    assert (await process.user(world.token("compat"))).user_id == "u1"
    for policy in (Policy.EXCHANGE, Policy.STRICT):
        token = world.token(policy.value)
        assert await process.refusal(token) == "invalid_token"
        assert (await process.user(await process.login(token))).client_id == policy


@pytest.mark.parametrize(("policy", "uses"), [(Policy.EXCHANGE, 3), (Policy.STRICT, 1)])
async def test_replay_across_processes_and_a_restart(world: World, policy: Policy, uses: int) -> None:
    await world.client("c1", policy)
    token = world.token("c1")
    rewritten = base64.urlsafe_b64encode(base64.b64decode(token)).decode().rstrip("=")
    processes = [world.process(), world.process()]
    for number in range(uses):
        # Written down otherwise it is still the same token.
        await processes[number % 2].login(token if number % 2 else rewritten)
    for process in (*processes, world.process()):
        assert await process.no_login(token) == "invalid_token"
        assert await process.no_login(rewritten) == "invalid_token"
    assert (await world.process().login(world.token("c1", age=SECOND))).startswith("st_")


async def test_of_many_at_once_as_many_as_allowed_get_in(world: World) -> None:
    await world.client("c1")
    token = world.token("c1")
    processes = [world.process(), world.process()]
    outcomes = await asyncio.gather(
        *(processes[number % 2].login(token) for number in range(10)), return_exceptions=True
    )
    assert sum(isinstance(outcome, str) for outcome in outcomes) == 3


async def test_a_refused_exchange_leaves_no_user_and_no_session(world: World) -> None:
    await world.client("c1", Policy.STRICT)
    process = world.process(max_users=1)
    await process.login(world.token("c1", "u1"))
    newcomer = world.token("c1", "u2")
    for _ in range(2):
        with pytest.raises(TooManyRequests) as caught:
            await process.login(newcomer)
        assert caught.value.code == "user_quota"
    assert await process.login(world.token("c1", "u1", age=SECOND)), "who is known comes in"
    assert await world.process().login(newcomer), "the token was not used up"


async def test_new_users_in_an_hour_are_limited(world: World) -> None:
    await world.client("c1")
    process = world.process(new_users_per_hour=2)
    for user in ("u1", "u2"):
        await process.login(world.token("c1", user))
    assert await process.no_login(world.token("c1", "u3")) == "user_quota"
    world.clock.at += timedelta(hours=1, seconds=1)
    assert await process.login(world.token("c1", "u3"))


@pytest.mark.parametrize("table", [Client, User])
async def test_disabled_means_out(world: World, table) -> None:
    await world.client("c1")
    await world.process().login(world.token("c1"))
    async with world.database.write() as session:
        row = await session.get_one(table, "c1" if table is Client else ("c1", "u1"))
        row.enabled = False
    assert await world.process().no_login(world.token("c1")) == "invalid_token"


class TestFloods:
    """Who forges is refused; who is in, and who shares an address or a client with a forger, is not."""

    def forged(self, number: int, client: str = "c1") -> str:
        noise = number.to_bytes(256, "big")
        return base64.b64encode(client.encode() + b"|" + noise).decode()

    async def test_an_address_that_forges(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process()
        opened, login = world.token("c1"), await process.login(world.token("c1", age=SECOND))
        await process.user(opened)
        for number in range(20):
            assert await process.refusal(self.forged(number)) == "invalid_token"
        with pytest.raises(TooManyRequests) as caught:
            await process.user(world.token("c1", "u2"))
        assert 0 < (caught.value.retry_after or 0) <= 60
        assert await process.no_login(world.token("c1", "u2")) == "too_many_requests"
        process.authenticator._principals.clear()
        assert (await process.user(opened)).user_id == "u1", "a token that was opened before"
        assert (await process.user(login)).user_id == "u1", "a session"
        assert (await process.user(world.token("c1", "u2"), OTHER)).user_id == "u2", "another address"

    async def test_a_client_whose_name_is_abused(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process(failures_per_client=10)
        for number in range(10):
            await process.refusal(self.forged(number), f"198.51.100.{number}")
        assert await process.refusal(self.forged(99), "198.51.100.1") == "too_many_requests"
        assert (await process.user(world.token("c1"))).user_id == "u1", "who never forged comes in"

    async def test_expired_tokens_are_no_forgeries(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process()
        for number in range(30):
            stale = world.token("c1", f"u{number}", age=timedelta(hours=9))
            assert await process.refusal(stale) == "token_expired"
        assert (await process.user(world.token("c1"))).user_id == "u1"

    @pytest.mark.parametrize("value", ["undefined", "null", "x.y.z", "e30.e30.e30", "A" * 3000, "YWJj"])
    async def test_what_is_no_token_is_no_forgery(self, world: World, value: str) -> None:
        """A page that sends `undefined` must not lock out the company behind its address."""
        await world.client("c1", Policy.COMPAT)
        process = world.process()
        for _ in range(25):
            assert await process.refusal(value) == "invalid_token"
            assert await process.no_login(value) == "invalid_token"
        assert (await process.user(world.token("c1"))).user_id == "u1"

    async def test_the_same_forgery_counts_once(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process()
        for _ in range(25):
            assert await process.no_login(self.forged(1)) == "invalid_token"
        assert (await process.user(world.token("c1"))).user_id == "u1"

    @pytest.mark.parametrize("setting", ["failures_per_address", "exchanges_per_address"])
    async def test_the_log_says_who_is_locked_out_and_by_what(
        self, world: World, setting: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await world.client("c1", Policy.COMPAT)
        limits: Any = {setting: 2}
        process = world.process(**limits)
        for number in range(8):
            await process.no_login(self.forged(number))
        (told,) = [vars(record) for record in caplog.records if record.name == "server.auth.guard"]
        assert (told["levelname"], told["from"], told["setting"]) == ("WARNING", HOME, f"[auth] {setting}")
        for number in range(300):
            for _ in range(3):
                await process.no_login(self.forged(number), f"203.0.{number % 3}.{number % 250}")
        assert len([record for record in caplog.records if record.name == "server.auth.guard"]) <= 20

    async def test_exchanges_are_limited(self, world: World) -> None:
        await world.client("c1")
        process = world.process(exchanges_per_address=2)
        for age in range(2):
            await process.login(world.token("c1", age=age * SECOND))
        assert await process.no_login(world.token("c1", age=3 * SECOND)) == "too_many_requests"
        assert await process.login(world.token("c1", age=3 * SECOND), OTHER)

    async def test_a_forged_token_costs_rsa_once(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process(failures_per_address=1000)
        lanes, calls = process.runtime.lanes, []
        run = lanes.run

        async def counted(lane, function, *args):
            calls.append(lane)
            return await run(lane, function, *args)

        lanes.run = counted  # type: ignore[method-assign]
        for _ in range(5):
            await process.refusal(self.forged(1))
        assert calls == ["crypto"]
        await process.refusal(self.forged(1, "nobody"))
        assert calls == ["crypto", "crypto"], "an unknown client costs the same"

    async def test_strangers_wait_and_too_many_of_them_are_sent_away(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process, opened = world.process(), world.token("c1")
        await process.user(opened)
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(process.guard.stranger(OTHER))
            waiting = [
                asyncio.ensure_future(process.user(world.token("c1", f"w{n}"), OTHER)) for n in range(32)
            ]
            await asyncio.sleep(0)
            with pytest.raises(TooManyRequests) as caught:
                await process.user(world.token("c1", "u2"), OTHER)
            assert caught.value.retry_after == 1
            assert await process.no_login(world.token("c1", "u2"), OTHER) == "too_many_requests"
            process.authenticator._principals.clear()  # what five seconds do
            assert (await process.user(opened, OTHER)).user_id == "u1", "who was good before waits for nobody"
            waiting.append(asyncio.ensure_future(process.user(world.token("c1", "u3"), HOME)))
            await asyncio.sleep(0)
            assert not waiting[-1].done(), "from where somebody came in before there is a place"
        assert {user.user_id for user in await asyncio.gather(*waiting)} == {
            "u3",
            *(f"w{n}" for n in range(32)),
        }


async def test_a_flipped_bit_is_refused_and_nothing_else_happens(world: World) -> None:
    """Any bit, of any of the token's characters; the good one still opens the door afterwards."""
    await world.client("c1", Policy.COMPAT)
    process = world.process(failures_per_address=10**6)
    token = base64.b64decode(world.token("c1"))
    for position in random.Random(1).sample(range(len(token) * 8), 200):
        changed = bytearray(token)
        changed[position // 8] ^= 1 << position % 8
        flipped = base64.b64encode(changed).decode()
        assert await process.refusal(flipped) == "invalid_token"
    assert await process.user(base64.b64encode(token).decode())


async def test_an_empty_name_says_nothing(world: World) -> None:
    await world.client("c1", Policy.COMPAT)
    await world.process().user(world.token("c1"))
    nameless = make_token("c1", "u1", "", world.clock.at, key_pair("c1").public_key())
    assert (await world.process().user(nameless)).username == "张三"


async def test_one_household_is_one_address(world: World) -> None:
    from server.auth.guard import network_of

    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")
    assert network_of("") == ""
    assert network_of(HOME) == HOME


async def test_every_login_stands_in_the_audit_and_no_secret(world: World) -> None:
    await world.client("c1", Policy.STRICT)
    process = world.process()
    token = world.token("c1")
    login = await process.login(token)
    await process.no_login(token)
    await process.runtime.tasks.drain()
    rows = await world.audit()
    assert [row.action for row in rows] == [
        "session.refuse", "session.start", "user.create", "client.add",
    ]  # fmt: skip
    assert (rows[0].client_id, rows[0].target) == ("c1", "u1")
    assert rows[0].detail == {"reason": "replayed", "address": HOME, "credential": digest_of(token)[:8]}
    text = " ".join(f"{row.actor} {row.target} {row.detail}" for row in rows)
    assert token not in text
    assert login not in text
    assert key_pair("c1").export_key().decode()[40:80] not in text


async def test_of_a_flood_the_audit_keeps_the_first_ones_and_a_number(world: World) -> None:
    await world.client("c1")
    process = world.process(failures_per_address=1000, exchanges_per_address=1000)
    for number in range(60):
        await process.no_login(TestFloods().forged(number))
    await process.runtime.tasks.drain()
    rows = [row for row in await world.audit() if row.action == "session.refuse"]
    assert sum(row.detail.get("more") or 1 for row in rows) == 60
    assert len(rows) < 60
