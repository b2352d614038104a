"""HTTP: to WeCom and back, signatures for the JS-SDK, and the files that prove whose domain this is."""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from server.auth import sso_states
from server.auth.deps import Chatter, address_of
from server.auth.handover import send_on, turn_away
from server.auth.signon import SignOn
from server.auth.wecom import Signature
from server.auth.wecom_login import RETURN_PATH, WecomLogin
from server.core.errors import AppError, NotFound
from server.core.http import Envelope, new_router
from server.core.i18n import Text
from server.core.logging import caller_of_request
from server.core.settings import WecomSettings

log = logging.getLogger(__name__)
router = new_router(tags=["SSO"])


class PageSignature(BaseModel):
    """One signature, under the names that the JS-SDK expects."""

    timestamp: int
    """Seconds."""
    nonce: str = Field(serialization_alias="nonceStr")
    signature: str

    model_config = ConfigDict(use_attribute_docstrings=True)


class PageSignatures(BaseModel):
    """What a page needs to start WeCom's JS-SDK."""

    corp_id: str
    """`appId` of `wx.config`, `corpid` of `wx.agentConfig`, `corpId` of `ww.register`."""
    agent_id: str
    config: PageSignature
    """For `wx.config`, or `getConfigSignature` of `ww.register`."""
    agent_config: PageSignature
    """For `wx.agentConfig`, or `getAgentConfigSignature` of `ww.register`."""

    model_config = ConfigDict(use_attribute_docstrings=True)


async def send_to_wecom(request: Request, wecom: WecomLogin) -> RedirectResponse:
    """To WeCom's authorisation, with a state that only this browser can bring back."""
    try:
        cast("SignOn", request.app.state.signon).check_arrival(address_of(request))
        target, cookie = await wecom.begin(request.cookies.get(_cookie_name(wecom)))
    except AppError as error:
        return _turn_away(request, error)
    answer = RedirectResponse(target, 307, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        _cookie_name(wecom),
        cookie,
        max_age=int(sso_states.LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=wecom.is_secure,
    )
    return answer


@router.get(RETURN_PATH, response_class=RedirectResponse, status_code=307)
async def come_back_from_wecom(request: Request, code: str = "", state: str = "") -> RedirectResponse:
    """Where WeCom sends people after `/sso?client=1`: on to the page, or to its `401` with the reason."""
    try:
        wecom = _find_wecom(request)
        arrival, user = await wecom.finish(code, state, request.cookies.get(_cookie_name(wecom)))
    except AppError as error:
        return _turn_away(request, error)
    caller_of_request.set(f"{user.client_id}/{user.id}")
    return send_on(arrival, request)


@router.get("/wecom/js-sdk-signature")
async def sign_page(
    request: Request, _: Chatter, url: Annotated[str, Query(max_length=2048)]
) -> Envelope[PageSignatures]:
    """Sign a page's address (`location.href`) for WeCom's JS-SDK. The page must be this server's or a trusted host's."""
    wecom = _find_wecom(request)
    config, agent_config = await wecom.sign_page(url)
    return Envelope(
        data=PageSignatures(
            corp_id=wecom.corp_id,
            agent_id=wecom.agent_id,
            config=_shown(config),
            agent_config=_shown(agent_config),
        )
    )


def verification_router(settings: WecomSettings) -> APIRouter:
    """The files at the root of the domain that WeCom's consoles look for."""
    files = APIRouter()
    for name, text in settings.verification_files.items():
        files.add_api_route(f"/{name}", _serve(text), methods=["GET", "HEAD"], include_in_schema=False)
    return files


def _serve(text: str) -> Callable[[], Awaitable[PlainTextResponse]]:
    async def verification_file() -> PlainTextResponse:
        return PlainTextResponse(text, headers={"X-Content-Type-Options": "nosniff"})

    return verification_file


def _find_wecom(request: Request) -> WecomLogin:
    wecom = cast("WecomLogin | None", request.app.state.wecom)
    if wecom is None:
        raise NotFound(
            Text(
                "没有启用企业微信登录，请管理员填写 [wecom]",
                "sign-on from WeCom is off; your operator must fill in [wecom]",
            )
        )
    return wecom


def _cookie_name(wecom: WecomLogin) -> str:
    """`__Host-`: no neighbour below the same domain can set it. Browsers allow the name over https only."""
    return "__Host-c2l_sso" if wecom.is_secure else "c2l_sso"


def _turn_away(request: Request, error: AppError) -> RedirectResponse:
    log.info("wecom sign-on refused", extra={"reason": error.code})
    return turn_away(request, error.text)


def _shown(signature: Signature) -> PageSignature:
    return PageSignature(timestamp=signature.timestamp, nonce=signature.nonce, signature=signature.signature)
