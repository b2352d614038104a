"""WeCom's API as this server uses it, against the stand-in."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server.auth.wecom import WecomAPI, open_wecom, sign
from server.core.configuration import load_settings
from server.core.errors import AppError, Unauthenticated, UpstreamError
from server.core.settings import WecomSettings
from tests.support.wecom import Wecom, wecom_server


@pytest.fixture
async def wecom() -> AsyncIterator[Wecom]:
    async with wecom_server() as server:
        yield server


def _settings(wecom: Wecom, **more: str) -> WecomSettings:
    return load_settings(environ=wecom.environ(**more)).wecom


@pytest.fixture
def patience() -> str:
    return "60s"


@pytest.fixture
async def api(wecom: Wecom, patience: str) -> AsyncIterator[WecomAPI]:
    """Its sense of time is the stand-in's."""
    async with open_wecom(_settings(wecom, WECOM__TIMEOUT=patience), wecom._now) as opened:
        yield opened


async def _refusal(api: WecomAPI, code: str) -> AppError:
    with pytest.raises(AppError) as caught:
        await api.find_visitor(code)
    return caught.value


async def test_a_code_is_a_person_once(wecom: Wecom, api: WecomAPI) -> None:
    code = wecom.give_code(userid="zhangsan", user_ticket="t")
    visitor = await api.find_visitor(code)
    assert (visitor.id, visitor.external) == ("zhangsan", False)
    refusal = await _refusal(api, code)
    assert isinstance(refusal, Unauthenticated)
    assert "重新进入" in refusal.text.zh
    old = wecom.give_code(userid="zhangsan")
    wecom.age(301)
    assert isinstance(await _refusal(api, old), Unauthenticated)
    assert wecom.count("gettoken") == 1


async def test_people_outside_the_corporation_are_marked(wecom: Wecom, api: WecomAPI) -> None:
    visitor = await api.find_visitor(wecom.give_code(openid="oAbc", external_userid="wmX"))
    assert (visitor.id, visitor.external) == ("oAbc", True)


async def test_the_token_is_fetched_again_before_it_ends(wecom: Wecom, api: WecomAPI) -> None:
    for seconds, fetched in ((0, 1), (6800, 1), (300, 2)):
        wecom.age(seconds)
        await api.find_visitor(wecom.give_code(userid="u"))
        assert wecom.count("gettoken") == fetched


@pytest.mark.parametrize("errcode", [40014, 42001])
async def test_a_token_that_ends_early_is_replaced(wecom: Wecom, api: WecomAPI, errcode: int) -> None:
    await api.find_visitor(wecom.give_code(userid="u"))
    wecom.revoke_token()
    if errcode != 40014:
        wecom.fail("auth/getuserinfo", errcode)
    assert (await api.find_visitor(wecom.give_code(userid="u2"))).id == "u2"
    assert wecom.count("gettoken") == 2
    tokens = [params["access_token"] for call, params in wecom.calls if call == "auth/getuserinfo"]
    assert tokens[-1] != tokens[0]


async def test_a_token_that_is_never_taken_is_not_asked_for_forever(wecom: Wecom, api: WecomAPI) -> None:
    wecom.fail("auth/getuserinfo", 42001, 42001)
    assert (await _refusal(api, wecom.give_code(userid="u"))).code == "upstream_refused"
    assert wecom.count("auth/getuserinfo") == 2


async def test_twenty_at_once_fetch_one_token_also_when_it_was_refused(wecom: Wecom, api: WecomAPI) -> None:
    wecom.delay = 0.02

    async def all_come() -> set[str]:
        codes = [wecom.give_code(userid=f"u{number}") for number in range(20)]
        return {visitor.id for visitor in await asyncio.gather(*map(api.find_visitor, codes))}

    assert len(await all_come()) == 20
    assert wecom.count("gettoken") == 1
    wecom.revoke_token()
    assert len(await all_come()) == 20
    assert wecom.count("gettoken") == 2


async def test_two_processes_that_end_each_others_tokens_get_along(wecom: Wecom, api: WecomAPI) -> None:
    wecom.harsh = True
    async with open_wecom(_settings(wecom)) as other:
        for number in range(4):
            for one in (api, other):
                assert (await one.find_visitor(wecom.give_code(userid=f"u{number}"))).id == f"u{number}"


@pytest.mark.parametrize(
    ("errcode", "code", "word"),
    [
        (40001, "upstream_key_refused", "secret"),
        (40091, "upstream_key_refused", "secret"),
        (40013, "upstream_key_refused", "corp_id"),
        (40056, "upstream_key_refused", "agent_id"),
        (50001, "upstream_refused", "可信域名"),
        (60020, "upstream_refused", "可信 IP"),
        (41001, "upstream_refused", "联系管理员"),
        (99999, "upstream_refused", "联系管理员"),
        (45009, "upstream_busy", "稍后再试"),
    ],
)
@pytest.mark.parametrize("call", ["gettoken", "auth/getuserinfo"])
async def test_every_errcode_says_what_can_be_done(
    wecom: Wecom, api: WecomAPI, call: str, errcode: int, code: str, word: str
) -> None:
    wecom.fail(call, errcode)
    refusal = await _refusal(api, wecom.give_code(userid="u"))
    assert isinstance(refusal, UpstreamError)
    assert refusal.code == code
    assert word in refusal.text.zh
    assert str(errcode) in refusal.text.zh
    assert str(errcode) in refusal.text.en
    assert "canary" not in refusal.text.zh + refusal.text.en
    assert wecom.count(call) == 1


@pytest.mark.parametrize("call", ["gettoken", "auth/getuserinfo"])
@pytest.mark.parametrize(
    ("fault", "patience"),
    [
        ("cut", "60s"),
        ("cut inside", "60s"),
        ("silence", "500ms"),
        ("dribble", "500ms"),
        ("503", "60s"),
        (-1, "60s"),
    ],
)
async def test_what_passes_is_tried_twice_and_no_more(
    wecom: Wecom, api: WecomAPI, call: str, fault: str | int
) -> None:
    wecom.fail(call, fault)
    assert (await api.find_visitor(wecom.give_code(userid="u"))).id == "u"
    assert wecom.count(call) == 2
    wecom.revoke_token()
    wecom.calls.clear()
    wecom.fail(call, fault, fault)
    api._token._end = 0  # what two hours do
    refusal = await _refusal(api, wecom.give_code(userid="u"))
    assert isinstance(refusal, UpstreamError)
    assert refusal.code in {"upstream_unreachable", "upstream_timeout", "upstream_refused", "upstream_busy"}


@pytest.mark.parametrize(
    "fault", ["html", "list", "endless", "gzip", "no number", "true", "nothing", "no end", "redirect"]
)
@pytest.mark.parametrize("call", ["gettoken", "auth/getuserinfo", "ticket/get"])
async def test_an_answer_that_makes_no_sense_is_told_so(
    wecom: Wecom, api: WecomAPI, call: str, fault: str
) -> None:
    wecom.fail(call, fault)
    with pytest.raises(UpstreamError) as caught:
        await (
            api.get_ticket("agent") if call == "ticket/get" else api.find_visitor(wecom.give_code(userid="u"))
        )
    assert caught.value.code == "upstream_refused"
    assert "makes no sense" in caught.value.text.en
    assert wecom.count(call) == 1


async def test_nobody_there(wecom: Wecom) -> None:
    async with open_wecom(_settings(wecom, WECOM__API_URL="http://127.0.0.1:1")) as api:
        assert (await _refusal(api, "x")).code == "upstream_unreachable"


async def test_a_wrong_secret_or_corporation_is_named(wecom: Wecom) -> None:
    for key, value, word in (
        ("WECOM__SECRET", "another-one", "secret"),
        ("WECOM__CORP_ID", "wwother", "corp_id"),
    ):
        async with open_wecom(_settings(wecom, **{key: value})) as api:
            assert word in (await _refusal(api, wecom.give_code(userid="u"))).text.en


async def test_tickets_are_asked_for_once(wecom: Wecom, api: WecomAPI) -> None:
    corp = await asyncio.gather(*(api.get_ticket("corp") for _ in range(20)))
    agent = await asyncio.gather(*(api.get_ticket("agent") for _ in range(20)))
    assert set(corp) == {wecom.ticket("corp")}
    assert set(agent) == {wecom.ticket("agent")}
    assert wecom.count("get_jsapi_ticket") == wecom.count("ticket/get") == wecom.count("gettoken") == 1
    wecom.age(7201)
    assert await api.get_ticket("corp") != corp[0]


def test_the_signature_is_wecoms() -> None:
    """The example of WeCom's documentation (path 90506)."""
    ticket = "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg"
    for url in ("http://mp.weixin.qq.com?params=value", "http://mp.weixin.qq.com?params=value#/chat?a=b#c"):
        signed = sign(ticket, url, "Wm3WZYTPz0wzccnW", 1414587457)
        assert signed.signature == "0f9de62fce790f9a083d5c99e95740ceb90c27ed"
        assert (signed.nonce, signed.timestamp) == ("Wm3WZYTPz0wzccnW", 1414587457)
