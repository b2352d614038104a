"""Plain ASGI steps around the application. No BaseHTTPMiddleware: it halves throughput and breaks on client aborts."""

import logging
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.core.logging import caller_of_request, loggable_path, request_id

log = logging.getLogger("server.access")
# Asked every few seconds by whoever watches this process.
_PROBES = ("/health", "/ready")


class RequestContext:
    """Gives each request an id, logs one line when it is done, and lets `/api/<path>` mean `/<path>`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reference = secrets.token_hex(8)
        request_id.set(reference)
        caller_of_request.set("-")
        if scope["path"].startswith("/api/"):
            path = scope["path"][4:]
            scope = {**scope, "path": path, "raw_path": path.encode()}
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", reference.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            # The path only: queries carry secrets.
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            path = loggable_path(scope["path"])
            fields = {"method": scope["method"], "path": path, "status": status, "ms": milliseconds}
            level = logging.DEBUG if scope["path"] in _PROBES else logging.INFO
            log.log(level, "request", extra=fields | {"caller_id": caller_of_request.get()})
