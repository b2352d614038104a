"""HTTP: how people come in."""

from typing import Annotated, cast
from urllib.parse import quote

from fastapi import Cookie, Request
from fastapi.responses import RedirectResponse

from server.auth.demo import DEMO_CLIENT, Demo
from server.core.errors import Unauthenticated
from server.core.http import new_router
from server.core.i18n import Text, negotiate

router = new_router(tags=["SSO"])

PAGE = "/h5/"
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
    """The demo link (`client=0` and the passphrase): on to the page, with a session in the fragment, which no server sees."""
    language = negotiate(request.headers.get("accept-language"))
    if client != DEMO_CLIENT:
        return _refused(_UNKNOWN_CLIENT.in_language(language))
    demo = cast("Demo", request.app.state.demo)
    try:
        session, cookie = await demo.login(secret, cookie)
    except Unauthenticated as error:
        return _refused(error.text.in_language(language))
    answer = RedirectResponse(
        f"{PAGE}#st={session}", 307, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    )
    answer.set_cookie(_VISITOR, cookie, max_age=30 * 86400, httponly=True, samesite="lax", path="/sso")
    return answer


def _refused(message: str) -> RedirectResponse:
    return RedirectResponse(f"{PAGE}401?message={quote(message)}", 307, headers={"Cache-Control": "no-store"})
