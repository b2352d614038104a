"""The caller in the signature of a route: to name one of these types is the authorisation.

A route without one is open, and must stand on the list that tests/test_public_routes.py holds.
"""

from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader

from server.auth.cookies import cookie_session
from server.auth.principal import Principal, Scope
from server.auth.service import Authenticator
from server.core.connections import PEER
from server.core.errors import Ambiguous, Forbidden
from server.core.i18n import Text
from server.core.logging import caller_of_request

# Where a credential may stand. Both spellings of the contract's header, and what OpenAI clients send.
_HEADERS = ("api-token", "api_token", "x-api-key")


class Needs(APIKeyHeader):
    """Requires a caller with a scope; 401 without a valid credential, 403 without the scope."""

    # Checked before the body is read: an unknown caller cannot make the server swallow an upload.
    before_body = True

    def __init__(self, scope: Scope | None) -> None:
        """`scope` None: any caller, for what is their own."""
        super().__init__(
            name="Api-Token",
            scheme_name="api_token",
            description="An api_token, a session (`st_…`) or an api key (`sk-…`); `Authorization: Bearer …` works too.",
            auto_error=False,
        )
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override]
        principal = getattr(request.state, "principal", None)
        if principal is None:
            authenticator = cast("Authenticator", request.app.state.authenticator)
            credential = find_credential(request) or cookie_session(request, request.app.state.settings)
            principal = await authenticator.authenticate(credential, address_of(request))
            request.state.principal = principal
            caller_of_request.set(f"{principal.client_id}/{principal.user_id}")
        if self.scope is not None and not principal.may(self.scope):
            raise Forbidden(
                Text(f"没有权限：此操作需要 {self.scope}", f"not allowed: this needs the scope {self.scope}")
            )
        return cast("Principal", principal)


def find_credential(request: Request) -> str | None:
    """Return the one credential a request carries. Raises Ambiguous when it carries different ones."""
    found = {value.strip() for name in _HEADERS for value in request.headers.getlist(name)}
    for value in request.headers.getlist("authorization"):
        scheme, _, secret = value.partition(" ")
        if scheme.lower() == "bearer":
            found.add(secret.strip())
    found.discard("")
    if len(found) > 1:
        raise Ambiguous
    return next(iter(found), None)


def address_of(request: Request) -> str:
    """Where a request comes from, an IP address of at most 45 characters; behind a proxy of `[server] trusted_proxies`,
    what that says, if it is one."""
    peer = request.scope.get("extensions", {}).get(PEER, {}).get("address", "")
    for host in (request.client.host if request.client else "", peer):
        with suppress(ValueError):
            # What stands behind a `%` may be anything.
            return str(ip_address(host.partition("%")[0]))
    return ""


Anybody = Annotated[Principal, Depends(Needs(None))]
Chatter = Annotated[Principal, Depends(Needs(Scope.CHAT))]
Reader = Annotated[Principal, Depends(Needs(Scope.KB_READ))]
Editor = Annotated[Principal, Depends(Needs(Scope.KB_WRITE))]
