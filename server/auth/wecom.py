"""WeCom's API, as far as signing on needs it: the app's token, who a code belongs to, the JS-SDK's tickets.

Every answer is HTTP 200 with `errcode`; token and tickets are good for two hours and cached, since WeCom counts calls.
Nothing here logs an address: they carry the secret, the token and people's codes.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx2

from server.core import strict_json
from server.core.errors import (
    AppError,
    Unauthenticated,
    UpstreamBusy,
    UpstreamKeyRefused,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from server.core.expiring import Expiring
from server.core.i18n import Text
from server.core.settings import WecomSettings
from server.core.tls import tls_context

log = logging.getLogger(__name__)

# Bytes; WeCom's own answers have a few hundred.
_MAX_ANSWER = 64 * 1024
# Characters of a code, by WeCom's documentation.
MAX_CODE = 512
_BUSY = -1
# The token is wrong or expired, also earlier than promised.
_STALE = {40014, 42001}
# The only part of WeCom's words that an operator needs and that cannot carry a secret.
_FROM_IP = re.compile(r"from ip: ([0-9a-fA-F.:]{2,45})")

# errcode → what it means here; every other one is _UNKNOWN.
_REFUSALS: tuple[tuple[set[int], type[AppError], Text], ...] = (
    (
        {40029, 41008, 42003},
        Unauthenticated,
        Text(
            "登录凭证无效、已过期或已用过，请从企业微信重新进入",
            "the sign-on code is wrong, expired or used; come in from WeCom again",
        ),
    ),
    (
        {40001, 40091, 41004},
        UpstreamKeyRefused,
        Text(
            "企业微信不接受应用的 secret，请管理员核对 [wecom] secret",
            "WeCom refuses the app's secret; your operator must check [wecom] secret",
        ),
    ),
    (
        {40013, 41002},
        UpstreamKeyRefused,
        Text(
            "企业微信不认识该企业，请管理员核对 [wecom] corp_id",
            "WeCom does not know this corporation; your operator must check [wecom] corp_id",
        ),
    ),
    (
        {40056},
        UpstreamKeyRefused,
        Text(
            "企业微信不认识该应用，请管理员核对 [wecom] agent_id",
            "WeCom does not know this app; your operator must check [wecom] agent_id",
        ),
    ),
    (
        {50001},
        UpstreamRefused,
        Text(
            "本站域名不是该应用的可信域名，请管理员在企业微信后台登记",
            "this domain is not one the app trusts; your operator must register it in WeCom's console",
        ),
    ),
    (
        {60020},
        UpstreamRefused,
        Text(
            "本服务器的 IP 不在该应用的企业可信 IP 中，请管理员在企业微信后台登记",
            "this server's IP is not one the app trusts; your operator must register it in WeCom's console",
        ),
    ),
    (
        {_BUSY, 45009, 45033},
        UpstreamBusy,
        Text("企业微信正忙，请稍后再试", "WeCom is busy; try again in a moment"),
    ),
)
_UNKNOWN = Text("企业微信拒绝了请求，请联系管理员", "WeCom refused the request; please tell your operator")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a code belongs to: a member's userid, or the openid of somebody outside the corporation."""

    id: str
    external: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """What `wx.config` and `wx.agentConfig` want to see of a page's address."""

    nonce: str
    timestamp: int
    signature: str


class WecomAPI:
    """The calls of one app of one corporation."""

    def __init__(
        self,
        settings: WecomSettings,
        http: httpx2.AsyncClient,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`monotonic` in seconds."""
        assert settings.secret is not None
        self._corp_id, self._secret = settings.corp_id, settings.secret
        self._base, self._seconds = settings.api_url, settings.timeout.total_seconds()
        self._http = http
        self._token = Expiring(self._fetch_token, monotonic)
        self._tickets = {
            "corp": Expiring(lambda: self._fetch_ticket("get_jsapi_ticket"), monotonic),
            "agent": Expiring(lambda: self._fetch_ticket("ticket/get", type="agent_config"), monotonic),
        }

    async def find_visitor(self, code: str) -> Visitor:
        """Turn a code into a person. Raises Unauthenticated for a bad code, UpstreamError for everything else."""
        answer = await self._call("auth/getuserinfo", code=code)
        if (userid := _text_of(answer, "userid")) is not None:
            return Visitor(userid, external=False)
        if (openid := _text_of(answer, "openid")) is not None:
            return Visitor(openid, external=True)
        raise _broken("auth/getuserinfo", "neither userid nor openid")

    async def get_ticket(self, kind: Literal["corp", "agent"]) -> str:
        """The JS-SDK's ticket of the corporation (`wx.config`) or of the app (`wx.agentConfig`). Raises UpstreamError."""
        return await self._tickets[kind].get()

    async def close(self) -> None:
        """End what is under way."""
        for kept in (self._token, *self._tickets.values()):
            await kept.close()

    async def _fetch_token(self) -> tuple[str, float]:
        params = {"corpid": self._corp_id, "corpsecret": self._secret.get_secret_value()}
        return _lent(_accepted("gettoken", await self._ask("gettoken", params)), "access_token", "gettoken")

    async def _fetch_ticket(self, path: str, **params: str) -> tuple[str, float]:
        return _lent(await self._call(path, **params), "ticket", path)

    async def _call(self, path: str, **params: str) -> dict[str, Any]:
        """Ask with the app's token, and once more with a new one when WeCom no longer takes it. Raises AppError."""
        token = await self._token.get()
        answer = await self._ask(path, {"access_token": token, **params})
        if answer["errcode"] in _STALE:
            token = await self._token.get(instead_of=token)
            answer = await self._ask(path, {"access_token": token, **params})
        return _accepted(path, answer)

    async def _ask(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        """One call and its answer, whatever its errcode; tried twice when WeCom is busy or the network fails."""
        answer = await self._try(path, params, last=False)
        if answer is None or answer["errcode"] == _BUSY:
            answer = await self._try(path, params, last=True)
        assert answer is not None
        return answer

    async def _try(self, path: str, params: dict[str, str], *, last: bool) -> dict[str, Any] | None:
        """None when it may be tried again. Raises UpstreamError."""
        try:
            async with asyncio.timeout(self._seconds):
                status, body = await self._get(path, params)
        except (httpx2.RequestError, TimeoutError) as error:
            log.warning("wecom does not answer", extra={"call": path, "error": type(error).__name__})
            if not last:
                return None
            raise _unreachable(error) from None
        if status >= 500 and not last:
            return None
        return _parse(path, status, body)

    async def _get(self, path: str, params: dict[str, str]) -> tuple[int, bytes]:
        body = b""
        async with self._http.stream("GET", f"{self._base}/cgi-bin/{path}", params=params) as response:
            async for part in response.aiter_raw():
                body += part
                if len(body) > _MAX_ANSWER:
                    raise _broken(path, "too long")
        return response.status_code, body


@asynccontextmanager
async def open_wecom(
    settings: WecomSettings, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[WecomAPI]:
    """A client with its connections, closed at the end."""
    limits = httpx2.Limits(max_connections=50, max_keepalive_connections=10)
    timeout = httpx2.Timeout(settings.timeout.total_seconds())
    async with httpx2.AsyncClient(
        verify=tls_context(),
        timeout=timeout,
        limits=limits,
        headers={"Accept-Encoding": "identity"},
        # Elsewhere is not where the operator sends the secret to.
        follow_redirects=False,
    ) as http:
        api = WecomAPI(settings, http, monotonic)
        try:
            yield api
        finally:
            await api.close()


def sign(ticket: str, url: str, nonce: str, timestamp: int) -> Signature:
    """The JS-SDK's signature of a page's address, which is taken as it is up to its `#`; `timestamp` in seconds."""
    text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url.partition('#')[0]}"
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # WeCom's choice
    return Signature(nonce, timestamp, digest)


def _parse(path: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = strict_json.loads(body) if status == 200 else None
    except strict_json.StrictJSONError:
        answer = None
    if not isinstance(answer, dict):
        raise _broken(path, f"HTTP {status}, no JSON object")
    if type(answer.setdefault("errcode", 0)) is not int:  # True is an int, too
        raise _broken(path, "errcode is no number")
    return answer


def _text_of(answer: dict[str, Any], key: str) -> str | None:
    value = answer.get(key)
    return value if isinstance(value, str) and value else None


def _lent(answer: dict[str, Any], key: str, path: str) -> tuple[str, float]:
    value, seconds = _text_of(answer, key), answer.get("expires_in")
    if value is None or not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
        raise _broken(path, f"{key} or expires_in is missing")
    return value, float(seconds)


def _accepted(path: str, answer: dict[str, Any]) -> dict[str, Any]:
    """A good answer as it is. Raises AppError for an errcode.

    The log gets the number: `errmsg` may repeat what was sent, and is not kept.
    """
    errcode: int = answer["errcode"]
    if errcode == 0:
        return answer
    seen_from = _FROM_IP.search(str(answer.get("errmsg", "")))
    extra = {"call": path, "errcode": errcode, "from_ip": seen_from[1] if seen_from else "-"}
    log.warning("wecom refused", extra=extra)
    kind, words = next(
        ((kind, words) for codes, kind, words in _REFUSALS if errcode in codes), (UpstreamRefused, _UNKNOWN)
    )
    if kind is Unauthenticated:
        raise Unauthenticated(words, code="sign_on_failed")
    numbered = Text(f"{words.zh}（错误码 {errcode}）", f"{words.en} (errcode {errcode})")
    raise kind(numbered)


def _unreachable(error: Exception) -> AppError:
    """`error` is httpx2's or a TimeoutError; its own words may hold the address and are not repeated."""
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        words = Text("企业微信没有及时回应，请稍后再试", "WeCom did not answer in time; try again")
        return UpstreamTimeout(words)
    words = Text(
        "服务器连接不上企业微信，请稍后再试", "this server cannot reach WeCom; try again in a moment"
    )
    return UpstreamUnreachable(words)


def _broken(path: str, reason: str) -> UpstreamRefused:
    log.warning("wecom answers strangely", extra={"call": path, "reason": reason})
    words = Text(
        "企业微信的回应无法识别，请管理员检查 [wecom] api_url",
        "WeCom's answer makes no sense; your operator must check [wecom] api_url",
    )
    return UpstreamRefused(words)
