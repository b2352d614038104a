"""The door: what can be refused without work is refused before there is any, so that a flood costs next to nothing."""

from collections.abc import Awaitable
from typing import cast

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.auth.deps import address_of, find_credential
from server.auth.service import Authenticator
from server.auth.signon import SignOn
from server.core.errors import AppError

# Where a credential stands in the body: only where it comes from is known here.
_EXCHANGES = ("/auth/session", "/auth/ticket")


class Door:
    """A plain ASGI step before FastAPI. It lets in whoever might be good; who they are is found out behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            try:
                _look(request)
            except AppError as error:
                answer = cast("FastAPI", request.app).exception_handlers[AppError]
                response = await cast("Awaitable[Response]", answer(request, error))
                await response(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _look(request: Request) -> None:
    """Raises Unauthenticated, TooManyRequests, Ambiguous."""
    credential, address = find_credential(request), address_of(request)
    if credential is not None:
        cast("Authenticator", request.app.state.authenticator).foresee(credential, address)
    elif request.method == "POST" and request.url.path in _EXCHANGES:
        cast("SignOn", request.app.state.signon).foresee(address)
