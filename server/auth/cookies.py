"""The session as a cookie, for pages of this server that send no header with some of their calls.

A browser sends a cookie whoever's page makes it call. So the cookie counts only where `[h5] cookie` turns it on, it is
SameSite=Lax, and whatever changes something must come from a page of this very server, or from where `[h5] address` says that the page is (Origin).
"""

from urllib.parse import urlsplit

from fastapi import Request, Response

from server.core.errors import Forbidden
from server.core.i18n import Text
from server.core.settings import Settings

_SAFE = {"GET", "HEAD", "OPTIONS"}
_PLAIN, _SECURE = "c2l", "__Host-c2l"


def cookie_session(request: Request, settings: Settings) -> str | None:
    """The session of the cookie, if there is one and it counts. Raises Forbidden for another page's unsafe call."""
    if not settings.h5.cookie:
        return None
    secret = request.cookies.get(_name(request, settings))
    if secret:
        check_origin(request, settings)
    return secret or None


def check_origin(request: Request, settings: Settings) -> None:
    """Raises Forbidden when a call that may change something does not come from a page of this server."""
    if request.method in _SAFE:
        return
    own = {f"{request.url.scheme}://{request.headers.get('host', '')}"}
    for address in (settings.server.public_url, settings.h5.address):
        parts = urlsplit(address)
        if parts.netloc:
            own.add(f"{parts.scheme}://{parts.netloc}")
    if request.headers.get("origin", "").lower() not in {origin.lower() for origin in own}:
        raise Forbidden(
            Text(
                "请求不是来自本站页面，请改用请求头携带凭证",
                "this call does not come from a page of this server; send the credential in a header",
            ),
            code="foreign_origin",
        )


def set_session_cookie(response: Response, secret: str, request: Request, settings: Settings) -> None:
    name = _name(request, settings)
    lifetime = int(settings.auth.session_max_age.total_seconds())
    response.set_cookie(
        name, secret, max_age=lifetime, path="/", secure=name == _SECURE, httponly=True, samesite="lax"
    )


def clear_session_cookie(response: Response, request: Request, settings: Settings) -> None:
    name = _name(request, settings)
    response.delete_cookie(name, path="/", secure=name == _SECURE, httponly=True, samesite="lax")


def _name(request: Request, settings: Settings) -> str:
    """Over TLS a name that no other host of the domain can set; without TLS browsers would not keep that one."""
    address = settings.server.public_url or str(request.url)
    return _SECURE if address.startswith("https:") else _PLAIN
