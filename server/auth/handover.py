"""How every sign-on ends: with a browser on its way to the page, or to the page's refusal."""

from typing import cast

from fastapi import Request
from fastapi.responses import RedirectResponse

from server.auth.cookies import set_session_cookie
from server.auth.signon import Arrival, SignOn
from server.core.i18n import Text, negotiate
from server.core.settings import Settings


def send_on(arrival: Arrival, request: Request, status: int = 307) -> RedirectResponse:
    """To where the person arrives, with the session's cookie where one is wanted."""
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    answer = RedirectResponse(arrival.location, status, headers=headers)
    if arrival.cookie is not None:
        set_session_cookie(answer, arrival.cookie, request, cast("Settings", request.app.state.settings))
    return answer


def turn_away(request: Request, text: Text, status: int = 307) -> RedirectResponse:
    """To the page that shows the reason, in the reader's language."""
    message = text.in_language(negotiate(request.headers.get("accept-language")))
    return send_on(cast("SignOn", request.app.state.signon).turn_away(message), request, status)
