"""HTTP: how people come in, and out."""

from typing import Annotated, TypeVar, cast
from urllib.parse import parse_qs

from fastapi import Cookie, Depends, Request, Response
from fastapi.responses import RedirectResponse

from server.auth.cookies import check_origin, clear_session_cookie, set_session_cookie
from server.auth.demo import Demo
from server.auth.deps import Anybody, address_of, find_credential
from server.auth.handover import send_on, tell_where, turn_away
from server.auth.principal import Principal, Scope
from server.auth.schemas import (
    LoginOut,
    SessionOut,
    SessionRequest,
    TicketOut,
    TicketRequest,
    UserInfo,
    UserOut,
)
from server.auth.service import KEY_PREFIX, Authenticator
from server.auth.sessions import TICKET_LIFE
from server.auth.signon import Arrival, SignOn
from server.auth.users import DEMO_CLIENT, find_account
from server.auth.wecom_login import WecomLogin
from server.auth.wecom_routes import send_to_wecom
from server.core.errors import AppError, Forbidden, Invalid, Unauthenticated
from server.core.http import Envelope, SmallBodyRoute, new_router
from server.core.i18n import Text
from server.core.settings import Settings
from server.db.deps import ReadSession

router = new_router(tags=["SSO"], route_class=SmallBodyRoute)
sessions_router = new_router(tags=["Sessions"], route_class=SmallBodyRoute)
users_router = new_router(tags=["User Management"])

T = TypeVar("T", bound=Response)

_VISITOR = "c2l_demo"
_UNKNOWN_CLIENT = Text(
    "无效的客户端,无法单点登录,请重新进入", "unknown client; single sign-on is not possible"
)
# FastAPI sees no body where the handler reads it.
_PASSPHRASE_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {"client": {"type": "string"}, "secret": {"type": "string"}},
                }
            }
        },
    }
}
# The credential may stand in the body instead, so that these are no security scheme.
_CREDENTIAL = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": words}
        for name, words in (
            ("Api-Token", "What vouches for the caller, unless the body carries it."),
            ("Authorization", "The same as `Bearer …`; one of the two."),
        )
    ]
}


async def _signon(request: Request) -> SignOn:
    return cast("SignOn", request.app.state.signon)


async def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


class _Counted:
    """An exchange counts before its body is read: one that makes no sense costs as much as one that does."""

    before_body = True

    async def __call__(self, request: Request) -> None:
        if not getattr(request.state, "counted", False):  # asked once more by FastAPI
            (await _signon(request)).check_arrival(address_of(request))
            request.state.counted = True


SignOnDep = Annotated[SignOn, Depends(_signon)]
SettingsDep = Annotated[Settings, Depends(_settings)]
Visitor = Annotated[str | None, Cookie(alias=_VISITOR)]


@router.get("/sso", response_class=RedirectResponse, status_code=307)
async def single_sign_on(
    request: Request, client: str = "0", secret: str = "", visitor: Visitor = None
) -> RedirectResponse:
    """The demo link (`client=0` and the passphrase): on to the page, with a ticket in the fragment, which no server sees.

    `client=1` (`[wecom] client`) leads through WeCom's authorisation, which comes back to `/ent-wechat-sso`.
    """
    return await _enter(request, client, secret, visitor, 307)


@router.post("/sso", response_class=RedirectResponse, status_code=303, openapi_extra=_PASSPHRASE_FORM)
async def single_sign_on_by_form(request: Request, visitor: Visitor = None) -> Response:
    """The same from a form, which keeps the passphrase out of addresses and histories.

    A page that asks for JSON (`Accept: application/json`) is told instead of led on: `data.location`, or the refusal.
    """
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    client, secret = (fields.get(name, [""])[0] for name in ("client", "secret"))
    if "application/json" in request.headers.get("accept", "") and (client or DEMO_CLIENT) == DEMO_CLIENT:
        arrival, cookie = await _visit(request, secret, visitor)
        return _remember(tell_where(arrival, request), cookie)
    return await _enter(request, client or DEMO_CLIENT, secret, visitor, 303)


async def _enter(
    request: Request, client: str, secret: str, visitor: str | None, status: int
) -> RedirectResponse:
    """Sign on by whatever the client uses: the demo by its passphrase, WeCom's members through WeCom."""
    wecom = cast("WecomLogin | None", request.app.state.wecom)
    if wecom is not None and client == wecom.client:
        return await send_to_wecom(request, wecom)
    if client != DEMO_CLIENT:
        return turn_away(request, _UNKNOWN_CLIENT, status)
    try:
        arrival, cookie = await _visit(request, secret, visitor)
    except AppError as error:
        return turn_away(request, error.text, status)
    return _remember(send_on(arrival, request, status), cookie)


async def _visit(request: Request, secret: str, visitor: str | None) -> tuple[Arrival, str]:
    demo = cast("Demo", request.app.state.demo)
    return await demo.enter(secret, visitor, address_of(request))


def _remember(answer: T, cookie: str) -> T:
    """A visitor of the demo comes back to their own chats."""
    answer.set_cookie(_VISITOR, cookie, max_age=30 * 86400, httponly=True, samesite="lax", path="/sso")
    return answer


@sessions_router.post("/auth/session", openapi_extra=_CREDENTIAL, dependencies=[Depends(_Counted())])
async def start_session(
    request: Request,
    response: Response,
    signon: SignOnDep,
    settings: SettingsDep,
    body: SessionRequest | None = None,
) -> Envelope[SessionOut]:
    """Exchange an api_token or a ticket for a session (`st_…`), which goes into `Authorization: Bearer` of every call then.

    The credential comes in the body, or as header: `Api-Token`, or `Authorization: Bearer`. How often one token may be
    exchanged is its client's policy.
    """
    body = body or SessionRequest()
    if body.cookie:
        if not settings.h5.cookie:
            raise Invalid(
                Text("服务器未开启 cookie（[h5] cookie）", "cookies are off on this server ([h5] cookie)")
            )
        check_origin(request, settings)
    login = await signon.login(_credential(body.ticket or body.api_token, request), address_of(request))
    response.headers["Cache-Control"] = "no-store"
    if body.cookie:
        set_session_cookie(response, login.secret, request, settings)
    user = login.user
    return Envelope(
        data=SessionOut(
            session_token=None if body.cookie else login.secret,
            expires_in=int(settings.auth.session_max_age.total_seconds()),
            idle_timeout=int(settings.auth.session_idle.total_seconds()),
            user=UserOut(client_id=user.client_id, user_id=user.id, username=user.username, role=user.role),
        )
    )


@sessions_router.get("/auth/sessions")
async def list_sessions(caller: Anybody, signon: SignOnDep) -> Envelope[list[LoginOut]]:
    """The caller's own sessions, the newest first."""
    return Envelope(
        data=[
            LoginOut(
                session_id=row.id,
                origin=row.origin,
                is_current=row.id == caller.session_id,
                create_time=row.created_at,
                last_use_time=row.last_used_at,
                expire_time=row.expires_at,
            )
            for row in await signon.sessions_of(caller)
        ]
    )


@sessions_router.delete("/auth/session")
async def end_session(
    caller: Anybody, request: Request, response: Response, signon: SignOnDep, settings: SettingsDep
) -> Envelope[None]:
    """Log out: end the session that this call came with."""
    await _end(caller, caller.session_id, signon, request)
    clear_session_cookie(response, request, settings)
    return Envelope(data=None)


@sessions_router.delete("/auth/sessions/{session_id}")
async def end_other_session(
    caller: Anybody, session_id: str, request: Request, signon: SignOnDep
) -> Envelope[None]:
    """End one of the caller's own sessions, say that of a lost phone."""
    await _end(caller, session_id, signon, request)
    return Envelope(data=None)


async def _end(caller: Principal, session_id: str | None, signon: SignOn, request: Request) -> None:
    await signon.logout(caller, session_id)
    cast("Authenticator", request.app.state.authenticator).forget(caller.client_id, caller.user_id)


@sessions_router.post("/auth/ticket", openapi_extra=_CREDENTIAL)
async def issue_ticket(
    request: Request, response: Response, signon: SignOnDep, body: TicketRequest | None = None
) -> Envelope[TicketOut]:
    """A ticket for the page's address, good once and for a minute; asked for by the issuer's back end.

    The credential is an api_token, in the body or as header, or an api key with the scope `vouch` as header (`Api-Token`,
    or `Authorization: Bearer`); with a key, `user_id` says who comes.
    """
    body = body or TicketRequest()
    credential = _credential(body.api_token, request)
    if not credential.startswith(KEY_PREFIX):
        ticket = await signon.ticket_for_token(credential, address_of(request))
    else:
        authenticator = cast("Authenticator", request.app.state.authenticator)
        voucher = await authenticator.authenticate(credential, address_of(request))
        if not voucher.may(Scope.VOUCH):
            raise Forbidden(Text("没有权限：此密钥需要 vouch", "not allowed: this key needs the scope vouch"))
        if body.user_id is None:
            raise Invalid(Text("缺少 user_id", "user_id is missing"))
        ticket = await signon.ticket_for_user(voucher, body.user_id, body.username)
    response.headers["Cache-Control"] = "no-store"
    return Envelope(data=TicketOut(ticket=ticket, expires_in=int(TICKET_LIFE.total_seconds())))


@users_router.get("/user/info")
async def user_info(caller: Anybody, session: ReadSession) -> Envelope[UserInfo]:
    """Who is calling."""
    account = await find_account(session, caller)
    if account is None:
        raise Unauthenticated(Text("该用户已不存在", "this user is not there any more"))
    return Envelope(
        data=UserInfo(
            client_id=caller.client_id,
            user_id=caller.user_id,
            username=caller.username,
            enable=account.enabled,
            create_time=account.created_at,
        )
    )


def _credential(given: str | None, request: Request) -> str:
    """What the body carries, or else the headers. Raises Unauthenticated when neither does."""
    credential = given or find_credential(request)
    if not credential:
        words = Text(
            "Authentication required: 缺少Api-Token! 请在请求体里给 api_token 或 ticket，或加请求头 Api-Token",
            "Authentication required: give api_token or ticket in the body, or the header Api-Token",
        )
        raise Unauthenticated(words, code="token_missing")
    return credential
