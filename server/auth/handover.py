"""How every sign-on ends: on the page with a session, or on the page with the reason why not."""

from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse

from server.core.i18n import Text, negotiate

PAGE = "/h5/"
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def hand_over(session: str) -> RedirectResponse:
    """On to the page, with the session in the fragment, which no server sees."""
    return RedirectResponse(f"{PAGE}#st={session}", 307, headers=_HEADERS)


def turn_away(request: Request, text: Text) -> RedirectResponse:
    """On to the page that shows the reason, in the reader's language."""
    message = quote(text.in_language(negotiate(request.headers.get("accept-language"))))
    return RedirectResponse(f"{PAGE}401?message={message}", 307, headers=_HEADERS)
