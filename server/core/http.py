"""What every route shares: one envelope, one mapping of errors to answers, strict JSON in, callers before bodies."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar, cast

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Form
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.types import Message

from server.core import logging as request_log
from server.core import strict_json
from server.core.errors import AppError, BadRequest, Invalid, TooLarge, UnsupportedFile
from server.core.forms import read_form
from server.core.i18n import Language, Text, negotiate

log = logging.getLogger(__name__)
T = TypeVar("T")
Check = Callable[[Request], Awaitable[object]]

# Paths that old pages call; only there may `[compat] http_200_errors` turn a refusal into HTTP 200.
CONTRACT_PREFIXES = (
    "/chat/", "/knowledge_base/", "/session/", "/history/", "/user/", "/recommend/", "/llm_model/", "/server/", "/other/",
)  # fmt: skip
# Younger paths among them, which are always true.
_YOUNGER = ("/chat/answers", "/session/files", "/session/pin", "/knowledge_base/evaluation")
# Where old pages are told their own codes for the name of a knowledge base.
_NAMED_PREFIX = "/knowledge_base/"
# What is told of a wrong body: so many mistakes, so many characters of each name in it and of each explanation. Names
# are the sender's own, and as many and as long as they like.
_TOLD, _ECHOED, _EXPLAINED = 20, 100, 300
# Seconds without a byte of a body that was announced.
_BODY_PATIENCE = 30
# Refusals that old pages expect as HTTP 200 with a code in the body; 401 and 422 were true statuses there too.
_HIDDEN_STATUSES = {400, 403, 404, 409, 413, 415, 500, 502, 503, 504}


async def _language(request: Request) -> Language:
    return negotiate(request.headers.get("accept-language"))


Lang = Annotated[Language, Depends(_language)]


class Envelope(BaseModel, Generic[T]):
    """The contract's answer: `code` is the true HTTP status, `data` what was asked for."""

    code: int = 200
    msg: str = "success"
    data: T


class ErrorReference(BaseModel):
    """`code` never changes; `request_id` finds the request in the log."""

    code: str
    message: str
    request_id: str


class Refusal(BaseModel):
    """The answer to whatever could not be done."""

    code: int
    msg: str
    data: Any = None
    error: ErrorReference


def error_body(status: int, code: str, message: str, data: object = None) -> dict[str, Any]:
    """The body of every refusal."""
    reference = {"code": code, "message": message, "request_id": request_log.request_id.get()}
    return {"code": status, "msg": message, "data": data, "error": reference}


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The largest bodies in bytes: of JSON routes, of uploads, of packages. Stands in `app.state.body_limits`."""

    json: int
    form: int
    package: int = 0


class StrictRequest(Request):
    """A request whose body is bounded, in size and in patience, and whose JSON and forms are strict."""

    def __init__(self, request: Request, limit: int) -> None:
        super().__init__(request.scope, self._receive_bounded)
        self._unbounded, self._left, self._reading = request.receive, limit, True

    async def _receive_bounded(self) -> Message:
        if (
            not self._reading
        ):  # what comes after the body is the caller's going away, and may take as long as it likes
            return await self._unbounded()
        try:
            message = await asyncio.wait_for(self._unbounded(), _BODY_PATIENCE)
        except TimeoutError:
            words = "请求体迟迟没有传完 / the rest of the body did not come"
            raise HTTPException(408, words, headers={"Connection": "close"}) from None
        self._reading = message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            # An HTTPException, since FastAPI turns anything else that a body raises into a vague 400.
            raise HTTPException(413, "请求体过大 / the body is too large", headers={"Connection": "close"})
        return message

    async def json(self) -> Any:
        if not hasattr(self, "_strict"):
            try:
                self._strict = strict_json.loads(await self.body())
            except strict_json.StrictJSONError as error:
                words = Text(f"请求体不是合法的 JSON：{error}", f"the body is not valid JSON: {error}")
                raise Invalid(words, code="bad_json") from None
        return self._strict

    async def _get_form(self, **limits: Any) -> FormData:
        if self._form is None:
            self._form = await read_form(self.headers, self.stream(), **limits)
        return self._form


def _as_people_say(size: int) -> str:
    """Bytes, as people say them."""
    for unit, factor in (("MB", 1024**2), ("KB", 1024)):
        if size >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"


class StrictRoute(APIRoute):
    """A route that bounds the body, asks who calls before it reads it, and reads JSON strictly."""

    # Bytes of a body, where a route needs less than what BodyLimits lets through.
    max_body: int | None = None
    # Its form brings the package of a knowledge base.
    takes_package = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        first = [
            cast("Check", d.call)
            for d in self.dependant.dependencies
            if getattr(d.call, "before_body", False)
        ]
        is_form = isinstance(self.body_field.field_info, Form) if self.body_field else False

        async def handler(request: Request) -> Response:
            limits = cast("BodyLimits", request.app.state.body_limits)
            of_form = limits.package if self.takes_package else limits.form
            limit = self.max_body or (of_form if is_form else limits.json)
            if int(request.headers.get("content-length") or 0) > limit:
                size = _as_people_say(limit)
                raise TooLarge(Text(f"请求体超过 {size}", f"the body is larger than {size}"))
            if request.headers.get("content-encoding", "identity").lower() != "identity":
                raise UnsupportedFile(
                    Text("请求体不能压缩后发送", "the body must not be compressed"),
                    code="unsupported_encoding",
                )
            if b"%00" in request.scope["query_string"] or "\0" in request.scope["path"]:
                raise BadRequest(Text("网址里不能有 NUL 字符", "an address must not contain a NUL character"))
            strict = StrictRequest(request, limit)
            for check in first:
                await check(strict)
            if self.body_field and "json" in request.headers.get("content-type", "") and await strict.body():
                await strict.json()  # here, where its refusal is still told in full
            return await handle(strict)

        return handler


class SmallBodyRoute(StrictRoute):
    """For routes that answer to anybody, where what is parsed before it is known who sends it must cost nothing, and for
    those that need no more."""

    max_body = 16 * 1024


def new_router(*, tags: Sequence[str], route_class: type[StrictRoute] = StrictRoute) -> APIRouter:
    """The router of a feature."""
    refusal = {"model": Refusal, "description": "Refused: the true status, with a code for programs"}
    return APIRouter(
        route_class=route_class,
        tags=list(tags),
        responses={422: refusal, "4XX": refusal, "5XX": refusal},
        # Scripts of old send JSON without saying so. What a foreign page sends that way is stopped by its Origin.
        strict_content_type=False,
    )


class PackageRoute(StrictRoute):
    """For routes that take the package of a knowledge base."""

    takes_package = True


_FRAMEWORK = {
    404: (
        "not_found",
        Text("没有这个地址，接口列表见 /docs", "there is no such address; /docs lists them all"),
    ),
    405: (
        "method_not_allowed",
        Text("这个地址不接受该请求方法，见 /docs", "wrong method for this address; see /docs"),
    ),
    408: ("timeout", None),
    413: ("too_large", None),
}
_PHRASES = {status.phrase for status in HTTPStatus}


def install_error_handlers(app: FastAPI, *, http_200_errors: bool) -> None:
    """The only place where errors become answers."""

    def answer(
        request: Request, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> JSONResponse:
        path = request.scope["path"]
        contract = path.startswith(CONTRACT_PREFIXES) and not path.startswith(_YOUNGER)
        shown = 200 if http_200_errors and contract and status in _HIDDEN_STATUSES else status
        return JSONResponse(body, status_code=shown, headers=headers)

    async def refused(request: Request, error: AppError) -> Response:
        language = negotiate(request.headers.get("accept-language"))
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        status, message = error.status, error.text.in_language(language)
        if http_200_errors and error.old_code and request.scope["path"].startswith(_NAMED_PREFIX):
            status = error.old_code
            message = f"Don't attack me: {message}" if status == 403 else message
        body = error_body(status, error.code, message, error.data)
        return answer(request, status, body, headers)

    async def invalid(request: Request, error: RequestValidationError) -> Response:
        details = [
            {
                "loc": [str(part)[:_ECHOED] for part in item["loc"]],
                "msg": item["msg"][:_EXPLAINED],
                "type": item["type"],
            }
            for item in error.errors()[:_TOLD]
        ]
        where = "；".join(
            f"{'.'.join(item['loc'][1:]) or item['loc'][0]}: {item['msg']}" for item in details[:5]
        )
        prefix = (
            "invalid input: " if negotiate(request.headers.get("accept-language")) == "en" else "参数有误："
        )
        body = error_body(422, "invalid_input", prefix + where) | {"detail": details}
        return answer(request, 422, body)

    async def by_framework(request: Request, error: HTTPException) -> Response:
        if isinstance(
            error.__cause__, AppError
        ):  # raised while a form was read, and covered by FastAPI's own
            return await refused(request, error.__cause__)
        language = negotiate(request.headers.get("accept-language"))
        code, words = _FRAMEWORK.get(error.status_code, ("bad_request", None))
        # Ours say more than the status; the framework's own say just its name.
        message = words.in_language(language) if words and error.detail in _PHRASES else str(error.detail)
        body = error_body(error.status_code, code, message)
        return answer(request, error.status_code, body, dict(error.headers or {}))

    async def unexpected(request: Request, error: Exception) -> Response:
        log.error(
            "unexpected error",
            exc_info=error,
            extra={"path": request_log.loggable_path(request.scope["path"])},
        )
        reference = request_log.request_id.get()
        body = error_body(
            500,
            "internal_error",
            f"服务器内部错误，请把编号告诉管理员 / internal error, tell your operator: {reference}",
        )
        return answer(request, 500, body)

    app.add_exception_handler(AppError, refused)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, by_framework)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, unexpected)
