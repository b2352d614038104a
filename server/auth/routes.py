"""HTTP: how people come in."""

from typing import Annotated, cast

from fastapi import Cookie, Request
from fastapi.responses import RedirectResponse

from server.auth.demo import DEMO_CLIENT, Demo
from server.auth.handover import hand_over, turn_away
from server.auth.wecom_login import WecomLogin
from server.auth.wecom_routes import send_to_wecom
from server.core.errors import Unauthenticated
from server.core.http import new_router
from server.core.i18n import Text

router = new_router(tags=["SSO"])

_VISITOR = "c2l_demo"
_UNKNOWN_CLIENT = Text(
    "无效的客户端,无法单点登录,请重新进入", "unknown client; single sign-on is not possible"
)


@router.get("/sso", response_class=RedirectResponse, status_code=307)
async def single_sign_on(
    request: Request,
    client: str = "0",
    secret: str = "",
    cookie: Annotated[str | None, Cookie(alias=_VISITOR)] = None,
) -> RedirectResponse:
    """The demo link (`client=0` and the passphrase): on to the page, with a session in the fragment, which no server sees.

    `client=1` (`[wecom] client`) leads through WeCom's authorisation, which comes back to `/ent-wechat-sso`.
    """
    wecom = cast("WecomLogin | None", request.app.state.wecom)
    if wecom is not None and client == wecom.client:
        return await send_to_wecom(request, wecom)
    if client != DEMO_CLIENT:
        return turn_away(request, _UNKNOWN_CLIENT)
    demo = cast("Demo", request.app.state.demo)
    try:
        session, cookie = await demo.login(secret, cookie)
    except Unauthenticated as error:
        return turn_away(request, error.text)
    answer = hand_over(session)
    answer.set_cookie(_VISITOR, cookie, max_age=30 * 86400, httponly=True, samesite="lax", path="/sso")
    return answer
