"""Sessions, tickets and cookies, over HTTP as a page uses them."""

import asyncio
from datetime import timedelta

import pytest

from server.auth.demo import make_passphrase, read_passphrase
from server.auth.models import User
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.users import DEMO_CLIENT
from server.core.configuration import load_settings
from server.core.errors import Invalid
from server.core.settings import Settings
from tests.auth.conftest import World
from tests.conftest import Callers
from tests.support.api import Caller

WHO = "/auth/sessions"


async def _login(caller: Caller, **body: object) -> dict:
    answer = await caller.post("/auth/session", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()["data"]


async def test_a_token_becomes_a_session(callers: Callers) -> None:
    await callers.client("portal", Policy.EXCHANGE)
    nobody = callers.nobody()
    data = await _login(nobody, api_token=await callers.token("portal", "zhangsan", "张三"))
    assert data["user"] == {
        "client_id": "portal",
        "user_id": "zhangsan",
        "username": "张三",
        "role": "reader",
    }
    assert (data["expires_in"], data["idle_timeout"]) == (8 * 3600, 30 * 60)
    headers = {"Authorization": f"Bearer {data['session_token']}"}
    assert (await nobody.http.get(WHO, headers=headers)).status_code == 200
    by_header = await nobody.http.post(
        "/auth/session", headers={"Api-Token": await callers.token("portal", "lisi")}
    )
    assert by_header.json()["data"]["user"]["user_id"] == "lisi"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 401, "token_missing"),
        ({"api_token": "x"}, 401, "invalid_token"),
        ({"ticket": "tk_" + "x" * 43}, 401, "invalid_token"),
        ({"api_token": "st_" + "x" * 43}, 401, "invalid_token"),
        ({"api_token": "sk-" + "x" * 43}, 401, "invalid_token"),
        ({"api_token": "a.b.c"}, 401, "invalid_token"),
        ({"api_token": "x", "ticket": "y"}, 422, "invalid_input"),
        ({"api_token": ""}, 422, "invalid_input"),
        ({"token": "x"}, 422, "invalid_input"),
        ({"api_token": "x" * 5000}, 401, "invalid_token"),
        ({"api_token": "x" * 17_000}, 413, "too_large"),
    ],
)
async def test_bad_exchanges(callers: Callers, body: dict[str, str], status: int, code: str) -> None:
    answer = await callers.nobody().post("/auth/session", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_a_ticket_is_no_credential(callers: Callers) -> None:
    issued = await callers.nobody().post("/auth/ticket", {"api_token": await callers.token("acme", "u1")})
    ticket = issued.json()["data"]["ticket"]
    assert (await callers.nobody().http.get(WHO, headers={"Api-Token": ticket})).status_code == 401
    assert (await callers.nobody().post("/auth/session", {"ticket": ticket})).status_code == 200


class TestOwnSessions:
    """One's own are listed and ended; nobody else's."""

    async def session(self, callers: Callers, user: str) -> Caller:
        data = await _login(callers.nobody(), api_token=await callers.token("acme", user))
        return callers._caller(Authorization=f"Bearer {data['session_token']}")

    async def test_list_and_end(self, callers: Callers) -> None:
        phone, laptop = await self.session(callers, "u1"), await self.session(callers, "u1")
        stranger = await self.session(callers, "u2")
        rows = (await phone.get("/auth/sessions")).json()["data"]
        assert len(rows) == 2
        assert [row["origin"] for row in rows] == ["token", "token"]
        assert sum(row["is_current"] for row in rows) == 1
        assert "'st_" not in str(rows)
        other = next(row["session_id"] for row in rows if not row["is_current"])
        refused = await stranger.http.delete(f"/auth/sessions/{other}")
        assert refused.status_code == 404
        assert (await laptop.get("/auth/sessions")).status_code == 200
        assert (await phone.http.delete(f"/auth/sessions/{other}")).status_code == 200
        assert (await laptop.get("/auth/sessions")).status_code == 401, "at once, in this process"
        assert (await phone.http.delete(f"/auth/sessions/{other}")).status_code == 404
        assert (await phone.http.delete("/auth/session")).status_code == 200
        assert (await phone.get("/auth/sessions")).status_code == 401
        assert (await stranger.get("/auth/sessions")).status_code == 200

    async def test_what_is_no_session_cannot_be_logged_out(self, callers: Callers) -> None:
        for caller in (await callers.user("acme", "u1"), await callers.key("acme", "chat")):
            assert (await caller.http.delete("/auth/session")).status_code == 404

    @pytest.mark.parametrize("idle", [timedelta(seconds=4), timedelta(seconds=50), timedelta(minutes=3)])
    async def test_who_is_active_stays_however_short_idle_is(self, world: World, idle: timedelta) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process(session_idle=idle)
        login = await process.login(world.token("c1"))
        for _ in range(12):
            world.clock.at += idle / 3
            await world.process(session_idle=idle).user(login)
        world.clock.at += idle
        assert await world.process(session_idle=idle).refusal(login) == "token_expired"
        # What is remembered hides the use from the database: shorter than the session may rest.
        assert process.authenticator._principals.ttl <= idle.total_seconds() / 4

    async def test_the_oldest_of_too_many_ends(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process()
        secrets = []
        for _ in range(22):
            world.clock.at += timedelta(seconds=1)
            secrets.append(await process.login(world.token("c1")))
        assert [await process.refusal(secret) for secret in secrets[:2]] == ["invalid_token"] * 2
        for secret in secrets[2:]:
            await process.user(secret)


class TestTickets:
    """For back ends that keep tokens out of addresses."""

    async def test_from_a_token(self, callers: Callers) -> None:
        nobody = callers.nobody()
        issued = await nobody.post("/auth/ticket", {"api_token": await callers.token("acme", "u1")})
        data = issued.json()["data"]
        assert data["ticket"].startswith("tk_")
        assert data["expires_in"] == 60
        login = await _login(nobody, ticket=data["ticket"])
        assert login["user"]["user_id"] == "u1"
        again = await nobody.post("/auth/session", {"ticket": data["ticket"]})
        assert (again.status_code, again.json()["error"]["code"]) == (401, "invalid_token")

    async def test_from_an_api_key_that_may_vouch(self, callers: Callers) -> None:
        key = await callers.key("acme", "vouch")
        issued = await key.post("/auth/ticket", {"user_id": "lisi", "username": "李四"})
        login = await _login(callers.nobody(), ticket=issued.json()["data"]["ticket"])
        assert (login["user"]["user_id"], login["user"]["username"]) == ("lisi", "李四")
        unnamed = await key.post("/auth/ticket", {"user_id": "lisi"})
        login = await _login(callers.nobody(), ticket=unnamed.json()["data"]["ticket"])
        assert login["user"]["username"] == "李四", "what is not given stays"
        assert (await key.post("/auth/ticket", {})).status_code == 422
        for bad in ("a|b", "key:ak_1", ".", ".."):
            assert (await key.post("/auth/ticket", {"user_id": bad})).status_code == 422
        weak = await callers.key("acme", "chat", "kb:write", "admin")
        assert (await weak.post("/auth/ticket", {"user_id": "lisi"})).status_code == 403

    async def test_no_person_is_called_like_an_api_key(self, callers: Callers) -> None:
        key = await callers.key("acme", "vouch")
        refused = await key.post("/auth/ticket", {"user_id": "key:boss"})
        assert refused.status_code == 422
        assert "key:" in refused.json()["msg"]
        with pytest.raises(Invalid, match="key:"):
            await callers.token("acme", "key:boss")

    async def test_nobody_elses_name(self, callers: Callers) -> None:
        """Neither a reader nor an admin of a client speaks for another user."""
        for role in (Role.READER, Role.ADMIN):
            person = await callers.user("acme", f"person-{role}", role)
            issued = await person.post("/auth/ticket", {"user_id": "victim"})
            login = await _login(callers.nobody(), ticket=issued.json()["data"]["ticket"])
            assert login["user"]["user_id"] == f"person-{role}"
        assert (await callers.nobody().post("/auth/ticket", {"user_id": "victim"})).status_code == 401

    async def test_a_minute_and_one_process(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        one, two = world.process(), world.process()
        ticket = await one.signon.ticket_for_token(world.token("c1"), "")
        world.clock.at += timedelta(seconds=60)
        assert await two.no_login(ticket) == "invalid_token"
        ticket = await one.signon.ticket_for_token(world.token("c1"), "")
        world.clock.at += timedelta(seconds=59)
        assert await two.login(ticket)
        assert await one.no_login(ticket) == "invalid_token"

    async def test_of_many_at_once_one_gets_in(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        processes = [world.process(), world.process()]
        for _ in range(5):
            ticket = await processes[0].signon.ticket_for_token(world.token("c1"), "")
            tries = (processes[number % 2].login(ticket) for number in range(6))
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
            assert sum(isinstance(outcome, str) for outcome in outcomes) == 1

    async def test_a_user_who_was_disabled_meanwhile(self, world: World) -> None:
        await world.client("c1", Policy.COMPAT)
        process = world.process()
        ticket = await process.signon.ticket_for_token(world.token("c1"), "")
        async with world.database.write() as session:
            (await session.get_one(User, ("c1", "u1"))).enabled = False
        assert await process.no_login(ticket) == "invalid_token"


def _settings(settings: Settings, **environ: str) -> Settings:
    given = {"SERVER__DATA_DIR": str(settings.server.data_dir), "DATABASE__URL": settings.database.url}
    return load_settings(environ=given | environ)


class TestHandOver:
    """What /sso gives to a page."""

    async def arrive(self, callers: Callers, settings: Settings) -> tuple[Caller, str]:
        await callers.client(DEMO_CLIENT)
        nobody = callers.nobody()
        answer = await nobody.get("/sso", secret=read_passphrase(settings.server.data_dir))
        assert answer.status_code == 307
        return nobody, answer.headers["location"]

    class TestOldPages:
        @pytest.fixture
        def app(self, settings):
            from server.app import create_app

            make_passphrase(settings.server.data_dir)
            environ = {
                "H5__HANDOVER": "token",
                "H5__COOKIE": "true",
                "H5__ADDRESS": "https://h5.example.com/x",
            }
            return create_app(_settings(settings, **environ))

        async def test_a_token_in_the_query_and_a_cookie(self, callers: Callers, settings: Settings) -> None:
            nobody, location = await TestHandOver().arrive(callers, settings)
            page, _, token = location.partition("sso?token=")
            assert page == "https://h5.example.com/x/"
            assert (await nobody.http.get(WHO, headers={"Api-Token": token})).status_code == 200
            cookie = nobody.http.cookies.get("c2l")
            assert cookie == token, "a call without a header is the same session's"
            assert (await nobody.http.get(WHO)).status_code == 200

        async def test_the_cookie_needs_a_page_of_ours(self, callers: Callers, settings: Settings) -> None:
            nobody, _ = await TestHandOver().arrive(callers, settings)
            ask = {"query": "你好"}
            own = {"Origin": callers.address}
            for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
                answer = await nobody.http.post("/chat/chat", json=ask, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
            assert (await nobody.http.post("/chat/chat", json=ask, headers=own)).status_code == 200
            assert (await nobody.http.delete("/auth/session")).status_code == 403
            assert (await nobody.http.delete("/auth/session", headers=own)).status_code == 200
            assert nobody.http.cookies.get("c2l") is None
            assert (await nobody.http.get(WHO)).status_code == 401

        async def test_the_session_as_a_cookie_only(self, callers: Callers) -> None:
            nobody = callers.nobody()
            body = {"api_token": await callers.token("acme", "u1"), "cookie": True}
            assert (await nobody.post("/auth/session", body)).status_code == 403, "login by another's page"
            answer = await nobody.http.post("/auth/session", json=body, headers={"Origin": callers.address})
            assert answer.json()["data"]["session_token"] is None
            attributes = answer.headers["set-cookie"].lower()
            assert "httponly" in attributes
            assert "samesite=lax" in attributes
            assert "secure" not in attributes, "http"
            assert (await nobody.http.get(WHO)).status_code == 200

    class TestAPageElsewhere:
        @pytest.fixture
        def app(self, settings):
            from server.app import create_app

            environ = {"H5__COOKIE": "true", "H5__ADDRESS": "http://page.example:8080/h5"}
            return create_app(_settings(settings, **environ))

        async def test_its_calls_come_from_where_the_page_is(self, callers: Callers) -> None:
            nobody = callers.nobody()
            body = {"api_token": await callers.token("acme", "u1"), "cookie": True}
            for origin, status in (("http://other.example:8080", 403), ("http://page.example:8080", 200)):
                answer = await nobody.http.post("/auth/session", json=body, headers={"Origin": origin})
                assert answer.status_code == status, answer.text

    class TestBehindTLS:
        @pytest.fixture
        def app(self, settings):
            from server.app import create_app

            environ = {"H5__COOKIE": "true", "SERVER__PUBLIC_URL": "https://kb.example.com/chat"}
            return create_app(_settings(settings, **environ))

        async def test_the_cookie_is_this_hosts_alone(self, callers: Callers) -> None:
            body = {"api_token": await callers.token("acme", "u1"), "cookie": True}
            origin = {"Origin": "https://kb.example.com"}
            answer = await callers.nobody().http.post("/auth/session", json=body, headers=origin)
            name, _, rest = answer.headers["set-cookie"].partition("=")
            assert name == "__Host-c2l"
            assert "; Secure" in rest
            assert "Path=/" in rest
            assert "Domain" not in rest
            secret = rest.partition(";")[0]
            http = callers.nobody().http
            assert (await http.get(WHO, headers={"Cookie": f"__Host-c2l={secret}"})).status_code == 200
            assert (await http.get(WHO, headers={"Cookie": f"c2l={secret}"})).status_code == 401

    async def test_off_means_that_cookies_do_not_count(self, callers: Callers) -> None:
        body = {"api_token": await callers.token("acme", "u1")}
        data = await _login(callers.nobody(), **body)
        nobody = callers.nobody().http
        refused = await nobody.get(WHO, headers={"Cookie": f"c2l={data['session_token']}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_missing")
        body |= {"cookie": True}  # type: ignore[dict-item]
        assert (await nobody.post("/auth/session", json=body)).status_code == 422
