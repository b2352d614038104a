"""Signing on through WeCom: there with a state, back with a code, and in with a session."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode, urlsplit

from server.auth import api_token, repository, sso_states
from server.auth.api_token import TokenError
from server.auth.models import User
from server.auth.signon import Arrival, SignOn
from server.auth.users import check_client, meet_user
from server.auth.wecom import MAX_CODE, Signature, Visitor, WecomAPI, open_wecom, sign
from server.core.clock import Clock
from server.core.errors import Forbidden, Invalid, Unauthenticated, UpstreamRefused
from server.core.i18n import Text
from server.core.settings import AuthSettings, Settings, WecomSettings
from server.db.session import Database

# Where WeCom sends people back to, below the server's public address.
RETURN_PATH = "/ent-wechat-sso"

_LOST_STATE = Text(
    "登录请求已失效，请从企业微信重新进入",
    "this sign-on is no longer valid; come in from WeCom again",
)
_NO_CODE = Text(
    "参数错误：企业微信没有给出登录凭证，可能是授权被取消，请重新进入",
    "WeCom gave no sign-on code, perhaps the authorisation was cancelled; come in again",
)
_OUTSIDER = Text(
    "只有本企业的成员可以登录",
    "only members of this corporation may sign on",
)


class WecomLogin:
    """Logs members of one corporation in as users of one client."""

    def __init__(
        self,
        api: WecomAPI,
        database: Database,
        clock: Clock,
        signon: SignOn,
        *,
        settings: WecomSettings,
        auth: AuthSettings,
        address: str,
    ) -> None:
        """`address` is the server's public one."""
        self._api, self._database, self._clock, self._signon = api, database, clock, signon
        self._settings, self._auth, self._address = settings, auth, address

    @property
    def client(self) -> str:
        """The client whose users the members are."""
        return self._settings.client

    @property
    def corp_id(self) -> str:
        return self._settings.corp_id

    @property
    def agent_id(self) -> str:
        return self._settings.agent_id

    @property
    def is_secure(self) -> bool:
        """Whether readers come over https, so that a cookie may insist on it."""
        return self._address.startswith("https://")

    async def begin(self, cookie: str | None) -> tuple[str, str]:
        """Return the address of WeCom's authorisation, and the cookie that marks this browser.

        Raises Forbidden when nobody could come in anyway.
        """
        browser = sso_states.browser_key(cookie)
        async with self._database.write() as session:
            await check_client(session, self.client)
            state = await sso_states.begin(session, browser, self._clock.now())
        query = {
            "appid": self._settings.corp_id,
            "redirect_uri": self._address + RETURN_PATH,
            "response_type": "code",
            "scope": self._settings.scope,
            "state": state,
            "agentid": self._settings.agent_id,
        }
        address = f"{self._settings.authorize_url}/connect/oauth2/authorize"
        return f"{address}?{urlencode(query)}#wechat_redirect", browser

    async def finish(self, code: str, state: str, cookie: str | None) -> tuple[Arrival, User]:
        """Return where to send the browser, and whose it is.

        Raises Unauthenticated for a bad state or code, Forbidden for people who may not come in, UpstreamError when
        WeCom does not help.
        """
        async with self._database.write() as session:
            known = await sso_states.finish(session, state, cookie, self._clock.now())
        if not known:
            raise Unauthenticated(_LOST_STATE, code="sign_on_failed")
        if not 0 < len(code) <= MAX_CODE:
            raise Unauthenticated(_NO_CODE, code="sign_on_failed")
        visitor = await self._api.find_visitor(code)
        self._check_visitor(visitor)
        now = self._clock.now()
        async with self._database.write() as session:
            await check_client(session, self.client)
            user = await repository.find_user(session, self.client, visitor.id)
            if user is None:  # a name that somebody gave them stays
                user = await meet_user(session, self.client, visitor.id, visitor.id, self._auth, now)
            return await self._signon.hand_over(session, user, "wecom"), user

    async def sign_page(self, url: str) -> tuple[Signature, Signature]:
        """Sign a page's address for `wx.config` and for `wx.agentConfig`.

        Raises Invalid when it is not a page of ours, UpstreamError when WeCom gives no ticket.
        """
        self._check_page(url)
        nonce, timestamp = secrets.token_hex(8), int(self._clock.now().timestamp())
        corp = sign(await self._api.get_ticket("corp"), url, nonce, timestamp)
        return corp, sign(await self._api.get_ticket("agent"), url, nonce, timestamp)

    def _check_visitor(self, visitor: Visitor) -> None:
        if visitor.external and not self._settings.external:
            raise Forbidden(_OUTSIDER)
        try:
            api_token.check_user_id(visitor.id)
        except TokenError:
            words = Text("企业微信给出的用户编号无法识别", "WeCom gave a user id that cannot be used")
            raise UpstreamRefused(words) from None

    def _check_page(self, url: str) -> None:
        """A signature lends the app's rights to a page; only pages of hosts that the operator named get one."""
        if url.startswith(("https://", "http://")) and url.isprintable() and not set(url) & set(" \\"):
            try:
                host = urlsplit(url).netloc.lower()
            except ValueError:
                host = ""
            if host and host in {urlsplit(self._address).netloc.lower(), *self._settings.trusted_hosts}:
                return
        raise Invalid(
            Text(
                "url 不是本站的页面；其他域名请管理员加到 [wecom] page_hosts",
                "url is no page of this server; your operator may add other hosts to [wecom] page_hosts",
            ),
            code="untrusted_page",
        )


@asynccontextmanager
async def open_wecom_login(
    settings: Settings, database: Database, clock: Clock, signon: SignOn
) -> AsyncIterator[WecomLogin | None]:
    """The sign-on with its connections to WeCom; None when it is off."""
    if not settings.wecom.is_on:
        yield None
        return
    async with open_wecom(settings.wecom) as api:
        yield WecomLogin(
            api,
            database,
            clock,
            signon,
            settings=settings.wecom,
            auth=settings.auth,
            address=settings.server.address,
        )
