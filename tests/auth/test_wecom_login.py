"""Signing on through WeCom, as a browser sees it."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from server.app import create_app
from server.auth.models import AuthSession, Client, SSOState, User
from server.auth.policy import Policy
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_client
from server.core.clock import FrozenClock
from server.core.logging import configure_logging
from server.core.settings import Settings
from server.services import Services, open_services
from tests.conftest import key_pair, test_settings
from tests.support.api import serving
from tests.support.wecom import SECRET, Wecom, wecom_server

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

LIST = "/knowledge_base/list_knowledge_bases"
LOST = "登录请求已失效"


@pytest.fixture
async def wecom() -> AsyncIterator[Wecom]:
    async with wecom_server() as server:
        yield server


@pytest.fixture
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    """More settings: by `indirect` parameters."""
    return getattr(request, "param", {})


@pytest.fixture
def settings(database_url: str, tmp_path: Path, wecom: Wecom, environ: dict[str, str]) -> Settings:
    make_secret_file(tmp_path / "data" / "secrets" / "master.key", secrets.token_hex(32))
    return test_settings(tmp_path / "data", database_url, **wecom.environ(**environ))


@pytest.fixture
async def clock(services: Services) -> FrozenClock:
    return FrozenClock(services.runtime.clock.now())


@pytest.fixture
async def app(settings: Settings, clock: FrozenClock) -> FastAPI:
    return create_app(settings, lambda: open_services(settings, clock=clock))


@pytest.fixture
async def client(services: Services) -> None:
    """The client `1`, with its row and its key."""
    async with services.database.write() as session:
        await add_client(
            session,
            services.vault,
            NewClient("1", "企业微信", Policy.COMPAT),
            services.runtime.clock.now(),
            key_pair("1"),
        )


class Browser:
    """A reader in WeCom."""

    def __init__(self, address: str, wecom: Wecom, language: str = "zh-CN") -> None:
        self.wecom = wecom
        self.http = httpx2.AsyncClient(base_url=address, headers={"Accept-Language": language}, timeout=30)

    async def begin(self) -> str:
        """Where `/sso?client=1` sends."""
        answer = await self.http.get("/sso", params={"client": "1"})
        assert answer.status_code == 307
        assert answer.headers["cache-control"] == "no-store"
        return answer.headers["location"]

    async def authorize(self, location: str, **person: str) -> dict[str, str]:
        """What WeCom's page sends back for this person; nobody means that they said no."""
        assert location.endswith("#wechat_redirect")
        async with httpx2.AsyncClient(headers={"Cookie": "; ".join(map("=".join, person.items()))}) as http:
            answer = await http.get(location)
        assert answer.status_code == 302, answer.text
        target, _, query = answer.headers["location"].partition("?")
        assert target == "http://kb.example.com/ent-wechat-sso"
        return dict(parse_qsl(query))

    async def finish(self, **query: str) -> str:
        """Where `/ent-wechat-sso` sends."""
        answer = await self.http.get("/ent-wechat-sso", params=query)
        assert answer.status_code == 307, answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        return answer.headers["location"]

    async def come_in(self, **person: str) -> str:
        return await self.finish(**await self.authorize(await self.begin(), **person))


@pytest.fixture
async def browsers(address: str, wecom: Wecom) -> AsyncIterator[Any]:
    """Makes browsers, and closes them."""
    made: list[Browser] = []

    def browser(base: str = address, **options: str) -> Browser:
        made.append(Browser(base, wecom, **options))
        return made[-1]

    yield browser
    for one in made:
        await one.http.aclose()


def refused(location: str) -> str:
    """The reason that the page shows; fails when it is not the page with a reason."""
    assert location.startswith("/h5/401?message="), location
    return unquote(location.partition("=")[2])


def ticket_of(location: str) -> str:
    assert location.startswith("/h5/#tk=tk_"), unquote(location)
    return location.partition("#tk=")[2]


async def exchange(browser: Browser, ticket: str) -> str:
    """The session that the page gets for its ticket."""
    answer = await browser.http.post("/auth/session", json={"ticket": ticket})
    return answer.json()["data"]["session_token"]


async def _users(services: Services) -> dict[str, User]:
    async with services.database.read() as session:
        return {user.id: user for user in await session.scalars(select(User).where(User.client_id == "1"))}


@pytest.mark.usefixtures("client")
class TestComingIn:
    """With the client there."""

    @pytest.mark.database
    async def test_a_member_comes_in_as_a_user_of_the_client(
        self, browsers, wecom: Wecom, services: Services
    ) -> None:
        browser = browsers()
        ticket = ticket_of(await browser.come_in(userid="zhangsan"))
        session = await exchange(browser, ticket)
        answer = await browser.http.get(LIST, headers={"Authorization": f"Bearer {session}"})
        assert answer.status_code == 200
        users = await _users(services)
        assert [(user.id, user.username, user.role) for user in users.values()] == [
            ("zhangsan", "zhangsan", "reader")
        ]
        assert ticket_of(await browser.come_in(userid="zhangsan")) != ticket
        assert ticket_of(await browsers().come_in(userid="lisi"))
        assert set(await _users(services)) == {"zhangsan", "lisi"}
        assert wecom.count("gettoken") == 1

    async def test_what_wecom_is_told(self, browsers, wecom: Wecom) -> None:
        url = urlsplit(await browsers().begin())
        query = dict(parse_qsl(url.query, strict_parsing=True))
        assert (f"{url.scheme}://{url.netloc}", url.path, url.fragment) == (
            wecom.address,
            "/connect/oauth2/authorize",
            "wechat_redirect",
        )
        state = query.pop("state")
        assert len(bytes.fromhex(state)) == 16
        assert query == {
            "appid": wecom.corp_id,
            "redirect_uri": "http://kb.example.com/ent-wechat-sso",
            "response_type": "code",
            "scope": "snsapi_base",
            "agentid": wecom.agent_id,
        }

    @pytest.mark.parametrize("environ", [{"WECOM__SCOPE": "snsapi_privateinfo"}], indirect=True)
    async def test_the_scope_may_be_the_other_one(self, browsers) -> None:
        browser = browsers()
        location = await browser.begin()
        assert "scope=snsapi_privateinfo&" in location
        ticket_of(
            await browser.finish(**await browser.authorize(location, userid="zhangsan", user_ticket="t"))
        )

    @pytest.mark.database
    async def test_name_and_role_that_an_operator_gave_stay(self, browsers, services: Services) -> None:
        browser = browsers()
        await browser.come_in(userid="zhangsan")
        async with services.database.write() as session:
            await session.execute(update(User).values(username="张三", role="manager"))
        await browser.come_in(userid="zhangsan")
        assert [(u.username, u.role) for u in (await _users(services)).values()] == [("张三", "manager")]

    async def test_people_outside_the_corporation_stay_outside(self, browsers, services: Services) -> None:
        assert "本企业" in refused(await browsers().come_in(openid="oAbc", external_userid="wmX"))
        assert "members" in refused(await browsers(language="en-GB").come_in(openid="oAbc"))
        assert await _users(services) == {}

    @pytest.mark.parametrize("environ", [{"WECOM__EXTERNAL": "true"}], indirect=True)
    async def test_unless_the_operator_lets_them_in(self, browsers, services: Services) -> None:
        ticket_of(await browsers().come_in(openid="oAbc", external_userid="wmX"))
        assert set(await _users(services)) == {"oAbc"}

    async def test_nobody_is_called_like_an_api_key(self, browsers, services: Services) -> None:
        assert "无法识别" in refused(await browsers().come_in(userid="key:boss"))
        assert await _users(services) == {}

    async def test_an_authorisation_that_was_cancelled(self, browsers) -> None:
        browser = browsers()
        back = await browser.authorize(await browser.begin())
        assert "code" not in back
        assert "参数错误" in refused(await browser.finish(**back))

    async def test_codes_that_are_none(self, browsers, wecom: Wecom) -> None:
        browser = browsers()
        used = await browser.authorize(await browser.begin(), userid="u")
        ticket_of(await browser.finish(**used))
        for code in (used["code"], "x", "' OR 1=1 --", "码" * 100, "a&access_token=b", "\n"):
            back = await browser.authorize(await browser.begin(), userid="u")
            assert "登录凭证" in refused(await browser.finish(code=code, state=back["state"]))
        assert wecom.count("auth/getuserinfo") == 7
        back = await browser.authorize(await browser.begin(), userid="u")
        assert "登录凭证" in refused(await browser.finish(code="c" * 513, state=back["state"]))
        assert wecom.count("auth/getuserinfo") == 7, "too long to be asked about"
        back = await browser.authorize(await browser.begin(), userid="u")
        wecom.age(301)
        assert "登录凭证" in refused(await browser.finish(**back))

    @pytest.mark.parametrize(
        ("call", "fault", "zh", "en"),
        [
            ("gettoken", 40001, "[wecom] secret", "errcode 40001"),
            ("gettoken", 40013, "[wecom] corp_id", "errcode 40013"),
            ("gettoken", 60020, "可信 IP", "errcode 60020"),
            ("auth/getuserinfo", 50001, "可信域名", "errcode 50001"),
            ("auth/getuserinfo", 40029, "重新进入", "come in from WeCom again"),
            ("auth/getuserinfo", 48002, "48002", "errcode 48002"),
            ("auth/getuserinfo", "html", "无法识别", "makes no sense"),
            ("auth/getuserinfo", "strange user", "无法识别", "cannot be used"),
        ],
    )
    async def test_whatever_goes_wrong_is_a_page_in_the_readers_language(
        self, browsers, wecom: Wecom, services: Services, call: str, fault: int | str, zh: str, en: str
    ) -> None:
        for language, words in (("zh-CN", zh), ("en-US", en)):
            wecom.fail(call, fault)
            message = refused(await browsers(language=language).come_in(userid="u"))
            assert words in message
            assert "canary" not in message
        assert await _users(services) == {}

    @pytest.mark.parametrize("environ", [{"WECOM__TIMEOUT": "2s"}], indirect=True)
    async def test_a_wecom_that_is_slow_or_gone(self, browsers, wecom: Wecom) -> None:
        browser = browsers()
        wecom.fail("gettoken", "silence", "silence")
        assert "没有及时回应" in refused(await browser.come_in(userid="u"))
        wecom.fail("gettoken", "cut", "cut")
        assert "连接不上" in refused(await browser.come_in(userid="u"))
        wecom.fail("gettoken", "cut")
        wecom.fail("auth/getuserinfo", "cut")
        ticket_of(await browser.come_in(userid="u"))

    @pytest.mark.database
    async def test_twenty_at_once(self, browsers, wecom: Wecom, services: Services) -> None:
        wecom.delay = 0.02
        landings = await asyncio.gather(*(browsers().come_in(userid=f"u{number}") for number in range(20)))
        assert len(set(map(ticket_of, landings))) == 20
        assert len(await _users(services)) == 20
        assert wecom.count("gettoken") == 1

    @pytest.mark.database
    async def test_the_same_member_on_two_devices_at_once(self, browsers, services: Services) -> None:
        landings = await asyncio.gather(*(browsers().come_in(userid="zhangsan") for _ in range(8)))
        assert len(set(map(ticket_of, landings))) == 8
        assert set(await _users(services)) == {"zhangsan"}

    @pytest.mark.database
    async def test_a_disabled_user(self, browsers, services: Services) -> None:
        await browsers().come_in(userid="zhangsan")
        async with services.database.write() as session:
            await session.execute(update(User).values(enabled=False))
        assert "禁用" in refused(await browsers().come_in(userid="zhangsan"))
        ticket_of(await browsers().come_in(userid="lisi"))

    @pytest.mark.database
    async def test_a_disabled_client_is_told_before_and_after(
        self, browsers, services: Services, wecom: Wecom
    ) -> None:
        browser = browsers()
        back = await browser.authorize(await browser.begin(), userid="u")
        async with services.database.write() as session:
            await session.execute(update(Client).values(enabled=False))
        assert "停用" in refused(await browser.begin())
        assert "停用" in refused(await browser.finish(**back))
        assert await _users(services) == {}

    @pytest.mark.parametrize(
        "environ",
        [
            {"SERVER__PUBLIC_URL": "https://kb.example.com/chat"},
            {"SERVER__PUBLIC_URL": "http://kb.example.com"},
        ],
        indirect=True,
    )
    async def test_the_cookie(self, browsers, environ: dict[str, str]) -> None:
        answer = await browsers().http.get("/sso", params={"client": "1"})
        name, *attributes = answer.headers["set-cookie"].split("; ")
        secure = environ["SERVER__PUBLIC_URL"].startswith("https")
        assert name.startswith("__Host-c2l_sso=" if secure else "c2l_sso=")
        assert {a.lower() for a in attributes} == {"httponly", "max-age=300", "path=/", "samesite=lax"} | (
            {"secure"} if secure else set()
        )
        (target,) = parse_qs(urlsplit(answer.headers["location"]).query)["redirect_uri"]
        assert target == f"{environ['SERVER__PUBLIC_URL']}/ent-wechat-sso"


@pytest.mark.database
@pytest.mark.usefixtures("client")
class TestState:
    """The state: random, once, for five minutes, in one browser, for all workers."""

    async def test_forged_or_missing(self, browsers, wecom: Wecom) -> None:
        browser = browsers()
        back = await browser.authorize(await browser.begin(), userid="u")
        for state in (
            "",
            "1",
            "0" * 32,
            back["state"].upper() + "x",
            back["state"][:-1],
            "é" * 32,
            "a" * 5000,
        ):
            assert LOST in refused(await browser.finish(code=back["code"], state=state))
        assert LOST in refused(await browser.finish())
        assert wecom.count("auth/getuserinfo") == 0, "no code is asked about for a stranger"
        ticket_of(await browser.finish(**back))

    async def test_once_only(self, browsers, wecom: Wecom) -> None:
        browser = browsers()
        back = await browser.authorize(await browser.begin(), userid="u")
        ticket_of(await browser.finish(**back))
        assert LOST in refused(await browser.finish(**back))
        assert LOST in refused(await browser.finish(state=back["state"], code=wecom.give_code(userid="v")))

    async def test_five_minutes(self, browsers, clock: FrozenClock, wecom: Wecom) -> None:
        browser = browsers()
        back = await browser.authorize(await browser.begin(), userid="u")
        clock.at += timedelta(seconds=299)
        late = await browser.authorize(await browser.begin(), userid="u")
        ticket_of(await browser.finish(**back))
        clock.at += timedelta(seconds=300)
        assert LOST in refused(await browser.finish(**late))
        assert wecom.count("auth/getuserinfo") == 1

    async def test_another_browsers(self, browsers, services: Services) -> None:
        """Whoever sends somebody else a link with a code of their own must not log them in."""
        attacker, victim, idle = browsers(), browsers(), browsers()
        back = await attacker.authorize(await attacker.begin(), userid="attacker")
        await victim.begin()
        assert LOST in refused(await victim.finish(**back))
        assert LOST in refused(await idle.finish(**back))
        async with services.database.read() as session:
            assert list(await session.scalars(select(AuthSession))) == []
        ticket_of(await attacker.finish(**back))

    @pytest.mark.parametrize("cookie", ["", "x", "0" * 31, "é" * 32, "0" * 33, "../../etc"])
    async def test_a_cookie_of_ones_own_making(self, browsers, cookie: str) -> None:
        browser = browsers()
        headers = {b"Cookie": f"c2l_sso={cookie}".encode()}
        begun = await browser.http.get("/sso", params={"client": "1"}, headers=headers)
        back = await browser.authorize(begun.headers["location"], userid="u")
        browser.http.cookies.clear()
        answer = await browser.http.get("/ent-wechat-sso", params=back, headers=headers)
        assert LOST in refused(answer.headers["location"])

    async def test_two_tabs_of_one_browser(self, browsers) -> None:
        browser = browsers()
        first, second = [await browser.authorize(await browser.begin(), userid="u") for _ in range(2)]
        assert first["state"] != second["state"]
        ticket_of(await browser.finish(**first))
        ticket_of(await browser.finish(**second))

    async def test_two_workers(self, browsers, settings: Settings, clock: FrozenClock, wecom: Wecom) -> None:
        other = create_app(settings, lambda: open_services(settings, clock=clock))
        async with serving(other) as address:
            here, there = browsers(), browsers(address)
            location = await here.begin()
            there.http.cookies.update(here.http.cookies)
            ticket_of(await there.finish(**await there.authorize(location, userid="u")))
            for _ in range(5):
                back = await here.authorize(await here.begin(), userid="u")
                ends = await asyncio.gather(here.finish(**back), there.finish(**back))
                assert sorted(end.startswith("/h5/#tk=") for end in ends) == [False, True]
            # Whoever lost each time has not asked yet.
            ticket_of(await here.finish(**await here.authorize(await here.begin(), userid="u")))
        assert wecom.count("gettoken") == 2, "one per worker"

    async def test_the_database_knows_no_state(self, browsers, services: Services) -> None:
        browser = browsers()
        state = parse_qs(urlsplit(await browser.begin()).query)["state"][0]
        (cookie,) = browser.http.cookies.values()
        async with services.database.read() as session:
            (row,) = await session.scalars(select(SSOState))
        assert row.state_hash == hashlib.sha256(state.encode()).hexdigest()
        assert row.browser_hash == hashlib.sha256(cookie.encode()).hexdigest()


async def test_a_client_without_a_row_is_told_before_anybody_is_sent_away(browsers, wecom: Wecom) -> None:
    message = refused(await browsers().begin())
    assert "未知客户端: 1" in message
    assert "client add" in message


@pytest.mark.usefixtures("client")
async def test_nothing_secret_is_logged(browsers, wecom: Wecom, capsys: pytest.CaptureFixture[str]) -> None:
    """At the loudest level, with errors whose texts repeat what was sent."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("debug", "json")
    try:
        browser = browsers()
        back = await browser.authorize(await browser.begin(), userid="zhangsan")
        session = ticket_of(await browser.finish(**back))
        headers = {"Authorization": f"Bearer {session}"}
        url = "http://kb.example.com/h5/"
        await browser.http.get("/wecom/js-sdk-signature", params={"url": url}, headers=headers)
        for fault in (40014, 40029, 60020, 99999, "cut", "html", "nothing"):
            wecom.fail("auth/getuserinfo", fault, fault)
            await browser.come_in(userid="lisi")
            wecom.revoke_token()
        wecom.fail("gettoken", 40001)
        await browser.come_in(userid="lisi")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    log = capsys.readouterr().err
    assert '"path": "/ent-wechat-sso"' in log
    assert '"errcode": 60020, "from_ip": "203.0.113.7"' in log
    for secret in ("canary", SECRET, session, back["code"], back["state"], *browser.http.cookies.values()):
        assert secret not in log


@pytest.mark.usefixtures("client")
class TestPageSignature:
    """For WeCom's JS-SDK."""

    @pytest.fixture
    async def reader(self, browsers) -> Any:
        browser = browsers()
        session = await exchange(browser, ticket_of(await browser.come_in(userid="zhangsan")))

        async def ask(url: str) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {session}"}
            return await browser.http.get("/wecom/js-sdk-signature", params={"url": url}, headers=headers)

        return ask

    async def test_both_signatures(self, reader, wecom: Wecom, clock: FrozenClock) -> None:
        page = "http://kb.example.com/h5/?a=1&b=%E4%BD%A0"
        data = (await reader(f"{page}#/chat/1")).json()["data"]
        assert (data["corp_id"], data["agent_id"]) == (wecom.corp_id, wecom.agent_id)
        for key, kind in (("config", "corp"), ("agent_config", "agent")):
            part = data[key]
            assert part.keys() == {"timestamp", "nonceStr", "signature"}
            assert part["timestamp"] == int(clock.at.timestamp())
            text = (
                f"jsapi_ticket={wecom.ticket(kind)}&noncestr={part['nonceStr']}&timestamp={part['timestamp']}"
            )
            assert part["signature"] == hashlib.sha1(f"{text}&url={page}".encode()).hexdigest()
        assert "canary" not in (await reader(page)).text, "neither token nor ticket reaches a page"

    async def test_tickets_are_fetched_once(self, reader, wecom: Wecom) -> None:
        answers = await asyncio.gather(*(reader("http://kb.example.com/h5/") for _ in range(20)))
        nonces = {answer.json()["data"]["config"]["nonceStr"] for answer in answers}
        assert len(nonces) == 20
        assert wecom.count("get_jsapi_ticket") == wecom.count("ticket/get") == 1

    @pytest.mark.parametrize(
        "environ", [{"WECOM__PAGE_HOSTS": " OA.example.com:8443 , portal.example.com"}], indirect=True
    )
    async def test_whose_pages(self, reader) -> None:
        for url in (
            "http://kb.example.com",
            "https://KB.example.com/x",
            "https://oa.example.com:8443/x",
            "https://portal.example.com/#x",
        ):
            assert (await reader(url)).status_code == 200, url
        for url in (
            "https://evil.example.com/",
            "https://oa.example.com/",
            "https://kb.example.com.evil.com/",
            "https://kb.example.com@evil.com/",
            "https://evil.com@kb.example.com/",
            "https://evil.com\\@kb.example.com/",
            "https://evil.com/?https://kb.example.com/",
            "//kb.example.com/",
            "javascript:kb.example.com",
            "kb.example.com",
            "https://kb.example.com/a b",
            "https://kb.example.com/\n",
            "https://[/",
            "https://",
            "",
        ):
            answer = await reader(url)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "untrusted_page"), url
            assert "page_hosts" in answer.json()["msg"]
        assert (await reader("https://kb.example.com/" + "x" * 3000)).status_code == 422

    async def test_nobody_gets_one(self, browsers) -> None:
        url = "http://kb.example.com/"
        answer = await browsers().http.get("/wecom/js-sdk-signature", params={"url": url})
        assert answer.status_code == 401

    async def test_a_wecom_that_refuses(self, reader, wecom: Wecom) -> None:
        for fault, status, code in ((45009, 503, "upstream_busy"), (48002, 502, "upstream_refused")):
            wecom.fail("ticket/get", fault)
            answer = await reader("http://kb.example.com/")
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert (await reader("http://kb.example.com/")).status_code == 200


@pytest.mark.parametrize(
    "environ",
    [
        {
            "WECOM__VERIFY_FILE": "WW_verify_aBc123.txt",
            "WECOM__VERIFY_TEXT": "aBc123",
            "WECOM__MINI_PROGRAM_VERIFY_FILE": "MnOpQ.txt",
            "WECOM__MINI_PROGRAM_VERIFY_TEXT": "0123456789abcdef",
        }
    ],
    indirect=True,
)
async def test_the_files_that_prove_whose_domain_it_is(browsers) -> None:
    http = browsers().http
    for name, text in (("WW_verify_aBc123", "aBc123"), ("MnOpQ", "0123456789abcdef")):
        answer = await http.get(f"/{name}.txt")
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await http.head(f"/{name}.txt")).status_code == 200
    assert (await http.get("/WW_verify_other.txt")).status_code == 404


@pytest.mark.parametrize(
    "environ", [{"WECOM__CORP_ID": "", "WECOM__AGENT_ID": "", "WECOM__SECRET": ""}], indirect=True
)
@pytest.mark.usefixtures("client")
async def test_switched_off(browsers, wecom: Wecom) -> None:
    browser = browsers()
    assert "无效的客户端" in refused(await browser.begin())
    assert "没有启用" in refused(await browser.finish(code="x", state="x"))
    assert (await browser.http.get("/WW_verify_aBc123.txt")).status_code == 404
    assert wecom.calls == []


@pytest.mark.parametrize("environ", [{"WECOM__CLIENT": "portal"}], indirect=True)
async def test_the_client_is_the_one_that_the_settings_name(browsers, services: Services) -> None:
    async with services.database.write() as session:
        await add_client(
            session, services.vault, NewClient("portal"), services.runtime.clock.now(), key_pair("portal")
        )
    browser = browsers()
    assert "无效的客户端" in refused(await browser.begin())
    begun = await browser.http.get("/sso", params={"client": "portal"})
    ticket_of(await browser.finish(**await browser.authorize(begun.headers["location"], userid="u")))
    async with services.database.read() as session:
        assert [user.client_id for user in await session.scalars(select(User))] == ["portal"]
