"""Pages: the readers' under /h5/, the API's documentation under /docs and /redoc; nothing foreign gets into either."""

from pathlib import Path
from typing import cast

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.auth.api_token import CLIENT_ID
from server.auth.framing import Framing
from server.core.settings import ROOT

# The built page when there is one, else the small one that needs no build.
FOLDERS = (ROOT / "web" / "dist", ROOT / "web" / "demo")
# frame-ancestors stands last: the sites that a client's operator named are put behind it.
_POLICY = (
    "default-src 'none'; script-src 'self'{inline}; style-src 'self'{inline}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY.format(inline=""),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# Swagger UI starts itself by a script inside its page and sets styles inside its elements.
_DOCS_HEADERS = _HEADERS | {"Content-Security-Policy": _POLICY.format(inline=" 'unsafe-inline'")}

# ReDoc looks things up in a worker that it makes of its own text.
_REDOC_HEADERS = _DOCS_HEADERS | {
    "Content-Security-Policy": f"{_DOCS_HEADERS['Content-Security-Policy']}; worker-src blob:"
}


class Pages(StaticFiles):
    """Static files; a path of the page itself (`/h5/401`) gives its index."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or Path(path).suffix:
                raise
            response = await super().get_response("index.html", scope)
        response.headers.update(_HEADERS)
        if origins := await _embedders(scope):
            policy = _HEADERS["Content-Security-Policy"]
            response.headers["Content-Security-Policy"] = f"{policy} {origins}"
        return response


async def _embedders(scope: Scope) -> str:
    """The sites that may show this page in a frame: `?client=` names whose, and its operator has named them."""
    client = QueryParams(scope["query_string"]).get("client", "")
    if not CLIENT_ID.fullmatch(client):
        return ""
    return await cast("Framing", scope["app"].state.framing).origins_of(client)


def mount_pages(app: FastAPI, *, demo: bool) -> None:
    """Serve the page under /h5/ and send the root and /h5 there; serve the documentation without any other host's help."""
    _mount_documentation(app)
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    if folder is None:
        return
    _say_what_is_on(app, demo=demo)
    app.mount("/h5", Pages(directory=folder, html=True), name="h5")

    async def root() -> RedirectResponse:
        return RedirectResponse("/h5/", 307)

    for path in ("/", "/h5"):
        app.add_api_route(path, root, include_in_schema=False)


def _say_what_is_on(app: FastAPI, *, demo: bool) -> None:
    """What the page must know before anybody has come in."""

    async def switches() -> JSONResponse:
        return JSONResponse({"demo": demo}, headers=_HEADERS)

    app.add_api_route("/h5/switches.json", switches, include_in_schema=False)


def _mount_documentation(app: FastAPI) -> None:
    assets = Path(fastapi_offline.__file__).parent / "static"
    app.mount("/docs/assets", StaticFiles(directory=assets), name="docs-assets")

    async def documentation() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="chat2llm API",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon.png",
        )
        page.headers.update(_DOCS_HEADERS)
        return page

    async def reference() -> HTMLResponse:
        page = get_redoc_html(
            openapi_url="openapi.json",
            title="chat2llm API",
            redoc_js_url="docs/assets/redoc.standalone.js",
            redoc_favicon_url="docs/assets/favicon.png",
            with_google_fonts=False,
        )
        page.headers.update(_REDOC_HEADERS)
        return page

    app.add_api_route("/docs", documentation, include_in_schema=False)
    app.add_api_route("/redoc", reference, include_in_schema=False)
