"""How every sign-on ends: with a browser on its way to the page, or to the page's refusal."""

from typing import TypeVar, cast
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from server.auth.cookies import set_session_cookie
from server.auth.signon import Arrival, SignOn
from server.core.http import Envelope
from server.core.i18n import Text, negotiate
from server.core.settings import Settings

T = TypeVar("T", bound=Response)

_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
# What the page was really told, for as long as it takes to get there: any link can put words behind `?message=`.
_REFUSAL, _REFUSAL_LIFE = "c2l_refusal", 60


def send_on(arrival: Arrival, request: Request, status: int = 307) -> RedirectResponse:
    """To where the person arrives, with the session's cookie where one is wanted."""
    return _with_session(RedirectResponse(arrival.location, status, headers=_HEADERS), arrival, request)


def tell_where(arrival: Arrival, request: Request) -> JSONResponse:
    """The same for a page that goes there by itself."""
    told = Envelope[dict[str, str]](data={"location": arrival.location})
    return _with_session(JSONResponse(told.model_dump(), headers=_HEADERS), arrival, request)


def _with_session(answer: T, arrival: Arrival, request: Request) -> T:
    if arrival.cookie is not None:
        set_session_cookie(answer, arrival.cookie, request, cast("Settings", request.app.state.settings))
    return answer


def turn_away(request: Request, text: Text, status: int = 307) -> RedirectResponse:
    """To the page that shows the reason, in the reader's language."""
    message = text.in_language(negotiate(request.headers.get("accept-language")))
    answer = send_on(cast("SignOn", request.app.state.signon).turn_away(message), request, status)
    answer.set_cookie(_REFUSAL, quote(message), max_age=_REFUSAL_LIFE, samesite="lax")
    return answer
