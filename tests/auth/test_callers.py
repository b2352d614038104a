"""Who is let in, over HTTP."""

import base64
import re
from datetime import timedelta
from urllib.parse import unquote

import httpx2
import pytest
from sqlalchemy import delete, select, update

from server.auth.demo import Demo, make_passphrase, read_passphrase
from server.auth.guard import Guard
from server.auth.models import APIKey, AuthSession, Client, ClientKey, Ticket, User
from server.auth.principal import Role
from server.auth.service import Authenticator
from server.auth.sessions import start_session
from server.auth.tokens import Tokens
from server.auth.users import DEMO_CLIENT
from server.core.clock import FrozenClock
from server.core.errors import Forbidden, TooManyRequests, Unauthenticated
from server.core.runtime import Runtime
from server.core.settings import AuthSettings
from server.services import Services
from tests.conftest import Callers

LIST = "/knowledge_base/list_knowledge_bases"
PROTECTED_GET = [
    LIST,
    "/knowledge_base/list_files",
    "/knowledge_base/documents",
    "/jobs",
    "/jobs/x",
    "/recommend/question",
]


async def _status(address: str, headers: dict[str, str] | list[tuple[str, str]], path: str = LIST) -> int:
    async with httpx2.AsyncClient(base_url=address, headers=headers) as http:
        return (await http.get(path)).status_code


async def test_every_protected_route_is_closed_to_nobody(callers: Callers, app) -> None:
    nobody = callers.nobody()
    tried = 0
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            if "security" not in operation:
                continue
            path = re.sub(r"\{\w+\}", "x", path)
            answer = await nobody.http.request(method, path, json={})
            assert answer.status_code == 401, (method, path)
            assert answer.json()["error"]["code"] == "token_missing"
            assert "缺少Api-Token" in answer.json()["msg"]
            assert answer.headers["www-authenticate"] == "Bearer"
            tried += 1
    assert tried >= 14


@pytest.mark.parametrize("header", ["Api-Token", "api_token", "API_TOKEN", "Authorization", "X-Api-Key"])
async def test_a_token_may_stand_in_any_of_the_headers(callers: Callers, header: str) -> None:
    token = await callers.token("acme", "u1")
    value = f"Bearer {token}" if header == "Authorization" else token
    assert await _status(callers.address, {header: value}) == 200


async def test_first_sight_makes_the_user_and_a_new_name_is_kept(callers: Callers) -> None:
    for name in ("张三", "张三丰"):
        token = await callers.token("acme", "u9", name)
        assert await _status(callers.address, {"Api-Token": token}) == 200
        async with callers.services.database.read() as session:
            user = await session.get_one(User, ("acme", "u9"))
        assert (user.username, user.role) == (name, "reader")


@pytest.mark.parametrize(
    "credential",
    [
        "null",
        "Bearer",
        "x",
        "st_" + "x" * 43,
        "sk-" + "x" * 43,
        "sk-' OR 1=1 --",
        base64.b64encode(b"nobody|" + b"\0" * 256).decode(),
        "A" * 5000,
    ],
)
async def test_bad_credentials_look_alike(callers: Callers, credential: str) -> None:
    async with httpx2.AsyncClient(base_url=callers.address, headers={"Api-Token": credential}) as http:
        answer = await http.get(LIST)
    assert answer.status_code == 401
    body = answer.json()
    assert (body["code"], body["error"]["code"]) == (401, "invalid_token")
    assert "Api-Token无效" in body["msg"]
    assert len(credential) < 9 or credential not in answer.text


async def test_callers_are_told_who_they_are(callers: Callers) -> None:
    """A person by token, the same by session, and a program by its key."""
    token = await callers.token("acme", "u1", "张三")
    person = callers.nobody(Api_Token=token)
    info = (await person.get("/user/info")).json()["data"]
    assert info.pop("create_time")
    assert info == {"client_id": "acme", "user_id": "u1", "username": "张三", "enable": True}
    secret = (await person.post("/auth/session")).json()["data"]["session_token"]
    same = (await callers.nobody(Authorization=f"Bearer {secret}").get("/user/info")).json()["data"]
    same.pop("create_time")
    assert same == info
    program = (await (await callers.key("acme", "chat")).get("/user/info")).json()["data"]
    assert program["user_id"].startswith("key:")
    assert (program["client_id"], program["enable"]) == ("acme", True)
    assert program["create_time"]


async def test_different_credentials_at_once_are_refused(callers: Callers) -> None:
    one, two = await callers.token("acme", "u1"), await callers.token("acme", "u2")
    assert await _status(callers.address, [("Api-Token", one), ("Api-Token", two)]) == 400
    assert await _status(callers.address, {"Api-Token": one, "Authorization": f"Bearer {two}"}) == 400
    assert await _status(callers.address, {"Api-Token": one, "Authorization": f"Bearer {one}"}) == 200


async def test_another_clients_key_does_not_open_the_door(callers: Callers) -> None:
    """The token claims to be acme's and was made with the key of another client."""
    await callers.client("evil")
    token = base64.b64decode(await callers.token("evil", "u1"))
    forged = base64.b64encode(token.replace(b"evil|", b"acme|", 1)).decode()
    assert await _status(callers.address, {"Api-Token": forged}) == 401


async def test_scopes_and_roles(callers: Callers) -> None:
    create = {"knowledge_base_name": "k", "kb_zh_name": "", "kb_info": ""}
    reader, manager = await callers.user("acme", "r"), await callers.user("acme", "m", Role.MANAGER)
    read_key, write_key = await callers.key("acme", "kb:read"), await callers.key("acme", "kb:write")
    path = "/knowledge_base/create_knowledge_base"
    refused = await reader.post(path, create)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert "kb:write" in refused.json()["msg"]
    assert (await read_key.post(path, create)).status_code == 403
    assert (await read_key.post("/chat/chat", {"query": "x"})).status_code == 403
    assert (await write_key.post(path, create)).status_code == 200
    assert (await manager.post(path, create | {"knowledge_base_name": "k2"})).status_code == 200
    assert (await write_key.get(LIST)).status_code == 403, "writing does not include reading"


class TestAuthenticator:
    """With a clock that the test moves, and without the short memory of a server that was asked before."""

    @pytest.fixture
    def clock(self, services: Services) -> FrozenClock:
        return FrozenClock(services.runtime.clock.now())

    def authenticator(self, services: Services, clock: FrozenClock) -> Authenticator:
        settings, runtime = services.settings.auth, Runtime(clock, services.runtime.lanes)
        tokens = Tokens(services.database, services.vault, settings, runtime, guard := Guard(settings))
        return Authenticator(services.database, services.vault, tokens, guard, settings, runtime)

    async def refused(self, authenticator: Authenticator, credential: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await authenticator.authenticate(credential)
        return caught.value.code

    async def test_a_token_expires_by_name(
        self, services: Services, callers: Callers, clock: FrozenClock
    ) -> None:
        token = await callers.token("acme", "u1")
        assert (await self.authenticator(services, clock).authenticate(token)).user_id == "u1"
        clock.at += timedelta(hours=8, seconds=2)
        assert await self.refused(self.authenticator(services, clock), token) == "token_expired"
        clock.at -= timedelta(hours=9)
        assert await self.refused(self.authenticator(services, clock), token) == "invalid_token"

    async def test_the_memory_of_a_token_does_not_outlive_it(
        self, services: Services, callers: Callers, clock: FrozenClock
    ) -> None:
        authenticator, token = self.authenticator(services, clock), await callers.token("acme", "u1")
        await authenticator.authenticate(token)
        authenticator._principals.clear()  # what five seconds do
        clock.at += timedelta(hours=9)
        assert await self.refused(authenticator, token) == "token_expired"

    @pytest.mark.parametrize("table", [Client, User])
    async def test_disabling_stops_every_credential(
        self, services: Services, callers: Callers, clock: FrozenClock, table
    ) -> None:
        token = await callers.token("acme", "u1")
        authenticator = self.authenticator(services, clock)
        await authenticator.authenticate(token)
        async with services.database.write() as session:
            user = await session.get_one(User, ("acme", "u1"))
            login = await start_session(session, user, services.settings.auth, clock.now())
            await session.execute(update(table).values(enabled=False))
        assert await self.refused(self.authenticator(services, clock), token) == "invalid_token"
        assert await self.refused(self.authenticator(services, clock), login) == "invalid_token"
        authenticator._principals.clear()
        assert await self.refused(authenticator, token) == "invalid_token", "also where RSA was done before"

    async def test_a_disabled_client_stops_its_keys_and_a_disabled_key_itself(
        self, services: Services, callers: Callers, clock: FrozenClock
    ) -> None:
        await callers.client("other")
        for table in (APIKey, Client):
            caller = await callers.key("other", "chat")
            secret = caller.http.headers["authorization"].removeprefix("Bearer ")
            assert (await self.authenticator(services, clock).authenticate(secret)).client_id == "other"
            async with services.database.write() as session:
                await session.execute(update(table).values(enabled=False))
            assert await self.refused(self.authenticator(services, clock), secret) == "invalid_token"

    async def test_a_session_ends_when_idle_and_at_the_latest_after_its_day(
        self, services: Services, callers: Callers, clock: FrozenClock
    ) -> None:
        await self.authenticator(services, clock).authenticate(await callers.token("acme", "u1"))
        async with services.database.write() as session:
            user = await session.get_one(User, ("acme", "u1"))
            login = await start_session(session, user, services.settings.auth, clock.now())
        for _ in range(3):
            clock.at += timedelta(minutes=29)
            assert (await self.authenticator(services, clock).authenticate(login)).user_id == "u1"
        clock.at += timedelta(minutes=31)
        assert await self.refused(self.authenticator(services, clock), login) == "token_expired"
        async with services.database.write() as session:
            fresh = await start_session(session, user, services.settings.auth, clock.now())
        for _ in range(19):
            clock.at += timedelta(minutes=25)
            await self.authenticator(services, clock).authenticate(fresh)
        clock.at += timedelta(minutes=10)
        assert await self.refused(self.authenticator(services, clock), fresh) == "token_expired"

    async def test_the_padding_is_learnt(
        self, services: Services, callers: Callers, clock: FrozenClock
    ) -> None:
        await self.authenticator(services, clock).authenticate(await callers.token("acme", "u1"))
        async with services.database.read() as session:
            assert (await session.get_one(Client, "acme")).padding == "oaep-256/256"


async def test_secrets_are_not_in_the_database(services: Services, callers: Callers) -> None:
    key = await callers.key("acme", "chat")
    secret = key.http.headers["authorization"].removeprefix("Bearer ")
    async with services.database.read() as session:
        pairs = list(await session.scalars(select(ClientKey)))
        keys = list(await session.scalars(select(APIKey)))
    assert all(b"PRIVATE KEY" not in (pair.sealed_private or b"PRIVATE KEY") for pair in pairs)
    assert all(secret not in (row.secret_hash, row.id) and row.last4 == secret[-4:] for row in keys)


class TestDemo:
    """The demo link."""

    @pytest.fixture
    async def demo_client(self, callers: Callers) -> None:
        await callers.client(DEMO_CLIENT)

    @pytest.fixture
    def app(self, settings):
        make_passphrase(settings.server.data_dir)
        from server.app import create_app

        return create_app(settings)

    async def test_the_right_passphrase_leads_to_the_page_with_a_session(
        self, demo_client, callers: Callers, settings
    ) -> None:
        secret = read_passphrase(settings.server.data_dir)
        nobody = callers.nobody()
        answer = await nobody.get("/sso", client="0", secret=secret)
        assert answer.status_code == 307
        target, _, ticket = answer.headers["location"].partition("#tk=")
        assert target == "/h5/"
        assert answer.headers["cache-control"] == "no-store"
        exchanged = await nobody.post("/auth/session", {"ticket": ticket})
        session = exchanged.json()["data"]["session_token"]
        assert session.startswith("st_")
        assert await _status(callers.address, {"Authorization": f"Bearer {session}"}) == 200
        async with callers.services.database.read() as database:
            logins = list(await database.scalars(select(AuthSession)))
            users = list(await database.scalars(select(User).where(User.client_id == DEMO_CLIENT)))
        assert session not in [login.secret_hash for login in logins]
        assert [user.role for user in users] == ["reader"]
        # The same browser comes back as the same visitor, another one as another.
        await nobody.get("/sso", client="0", secret=secret)
        await callers.nobody().get("/sso", client="0", secret=secret)
        async with callers.services.database.read() as database:
            assert len(list(await database.scalars(select(User).where(User.client_id == DEMO_CLIENT)))) == 2

    @pytest.mark.parametrize("cookie", ["alice", "alice.", "alice." + "0" * 64, ".", "a.b.c", "é.x"])
    async def test_a_cookie_of_ones_own_making_names_nobody(
        self, demo_client, callers: Callers, settings, cookie: str
    ) -> None:
        """The demo client's issuer vouches for alice; the passphrase must not be enough to be her."""
        alice = await callers.user(DEMO_CLIENT, "alice")
        assert (await alice.get("/knowledge_base/list_knowledge_bases")).status_code == 200
        secret = read_passphrase(settings.server.data_dir)
        answer = await callers.nobody().http.get(
            "/sso",
            params={"client": "0", "secret": secret},
            headers={b"Cookie": f"c2l_demo={cookie}".encode()},
        )
        assert "#tk=" in answer.headers["location"]
        async with callers.services.database.read() as database:
            logins = list(await database.scalars(select(Ticket.user_id)))
        assert len(logins) == 1
        assert logins[0].startswith("demo-")

    @pytest.mark.parametrize(
        "query", [{"secret": "wrong"}, {}, {"secret": ""}, {"client": "7", "secret": "x"}, {"client": "1"}]
    )
    async def test_everything_else_leads_to_the_refusal(
        self, demo_client, callers: Callers, query: dict[str, str]
    ) -> None:
        answer = await callers.nobody().get("/sso", **query)
        assert answer.status_code == 307
        assert answer.headers["location"].startswith("/h5/401?message=")

    def demo(self, services: Services, settings: AuthSettings, passphrase: str | None) -> Demo:
        guard, clock = Guard(settings), services.runtime.clock
        return Demo(services.database, services.vault, services.signon, guard, settings, clock, passphrase)

    async def test_without_a_passphrase_or_when_switched_off_nobody_gets_in(
        self, services: Services, demo_client
    ) -> None:
        on = services.settings.auth
        off = on.model_copy(update={"demo": False})
        for demo in (self.demo(services, on, None), self.demo(services, off, "passphrase")):
            for guess in ("", "None", "passphrase", "\0" * 32):
                with pytest.raises(Forbidden, match="the demo is off"):
                    await demo.enter(guess, None, "192.0.2.1")

    async def test_the_form_keeps_the_passphrase_out_of_the_address(
        self, demo_client, callers: Callers, settings
    ) -> None:
        secret = read_passphrase(settings.server.data_dir)
        http = callers.nobody().http
        answer = await http.post("/sso", data={"client": "0", "secret": secret})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/h5/#tk=tk_")
        wrong = await http.post("/sso", data={"secret": "wrong"})
        assert wrong.status_code == 303
        assert wrong.headers["location"].startswith("/h5/401?message=")
        assert unquote(wrong.cookies["c2l_refusal"]) in unquote(wrong.headers["location"])
        for body in (b"", b"\xff\xfe", b"&" * 50, b"secret=%ff", b"{}"):
            refused = await http.post("/sso", content=body)
            assert refused.status_code in (303, 400)

    async def test_a_page_that_asks_for_json_is_told_and_not_led_on(
        self, demo_client, callers: Callers, settings
    ) -> None:
        secret = read_passphrase(settings.server.data_dir)
        http = callers.nobody().http
        headers = {"Accept": "application/json", "Accept-Language": "en"}
        answer = await http.post("/sso", data={"secret": secret}, headers=headers)
        assert answer.status_code == 200
        assert answer.json()["data"]["location"].startswith("/h5/#tk=tk_")
        assert "c2l_demo" in answer.cookies
        wrong = await http.post("/sso", data={"secret": "wrong"}, headers=headers)
        assert wrong.status_code == 401
        assert "passphrase" in wrong.json()["msg"]

    async def test_guessing_ends_for_an_address_and_altogether(self, services: Services, demo_client) -> None:
        demo = self.demo(services, services.settings.auth, "a passphrase")
        for _ in range(5):
            with pytest.raises(Unauthenticated):
                await demo.enter("wrong", None, "192.0.2.1")
        with pytest.raises(TooManyRequests) as caught:
            await demo.enter("a passphrase", None, "192.0.2.1")
        assert 0 < (caught.value.retry_after or 0) <= 900
        assert (await demo.enter("a passphrase", None, "192.0.2.2"))[0].location.startswith("/h5/#tk=")
        for number in range(45):
            with pytest.raises(Unauthenticated):
                await demo.enter("wrong", None, f"198.51.100.{number}")
        with pytest.raises(TooManyRequests):
            await demo.enter("a passphrase", None, "192.0.2.3")

    async def test_the_right_passphrase_is_no_guess(self, services: Services, demo_client) -> None:
        demo = self.demo(services, services.settings.auth, "a passphrase")
        for number in range(60):
            await demo.enter("a passphrase", None, f"198.51.100.{number}")

    async def test_one_address_brings_few_new_visitors(self, services: Services, demo_client) -> None:
        demo = self.demo(services, services.settings.auth, "a passphrase")
        cookies = [(await demo.enter("a passphrase", None, "192.0.2.1"))[1] for _ in range(20)]
        for cookie in (None, "demo-made-up.0"):
            with pytest.raises(TooManyRequests):
                await demo.enter("a passphrase", cookie, "192.0.2.1")
        await demo.enter("a passphrase", cookies[0], "192.0.2.1")
        await demo.enter("a passphrase", None, "192.0.2.2")
        async with services.database.read() as session:
            users = list(await session.scalars(select(User).where(User.client_id == DEMO_CLIENT)))
        assert len(users) == 21

    async def test_who_comes_back_too_often_waits(self, services: Services, demo_client) -> None:
        demo = self.demo(services, services.settings.auth, "a passphrase")
        _, cookie = await demo.enter("a passphrase", None, "192.0.2.1")
        for _ in range(59):
            await demo.enter("a passphrase", cookie, "192.0.2.1")
        with pytest.raises(TooManyRequests):
            await demo.enter("a passphrase", cookie, "192.0.2.1")

    async def test_a_disabled_demo_client_lets_nobody_in(self, services: Services, demo_client) -> None:
        demo = self.demo(services, services.settings.auth, "a passphrase")
        _, cookie = await demo.enter("a passphrase", None, "192.0.2.1")
        async with services.database.write() as session:
            (await session.get_one(Client, DEMO_CLIENT)).enabled = False
            await session.execute(delete(Ticket))
        for known in (None, cookie):
            with pytest.raises(Forbidden, match="switched off"):
                await demo.enter("a passphrase", known, "192.0.2.1")
        async with services.database.read() as session:
            assert len(list(await session.scalars(select(User)))) == 1
            assert not list(await session.scalars(select(Ticket)))
