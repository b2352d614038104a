"""Pages: the readers' under /h5/, the API's documentation under /docs and /redoc; nothing foreign gets into either."""

import mimetypes
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.auth.api_token import CLIENT_ID
from server.auth.framing import Framing
from server.core.setting_kinds import ROOT

# The built page when there is one, else the few words on how to build it: scripts/build_page.sh.
FOLDERS = (ROOT / "web" / "dist", ROOT / "web" / "unbuilt")
# Names that tell what is in them, so that they are asked for once.
_HASHED = "assets/"
# Where diagrams are drawn. What draws them writes styles into its document, so that it has one of its own, in an origin
# of its own, that reaches nothing and nobody.
_DRAWING = "drawing/"
# Smaller forms beside a file, the smallest first, made at the build: nothing is compressed while somebody waits.
_PACKED = {"br": ".br", "gzip": ".gz"}
_PACKABLE = {".js", ".mjs", ".css", ".svg", ".json", ".html", ".ttf", ".wasm"}
# frame-ancestors stands last: the sites that a client's operator named are put behind it.
_POLICY = (
    "default-src 'none'; script-src 'self'{inline}; style-src 'self'{inline}; img-src 'self' data:{images}; connect-src 'self'; "
    "{more}base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
# blob: pictures that the page has fetched itself. Fonts are KaTeX's, the worker is pdf.js's, the frame draws diagrams.
_PAGE_POLICY = _POLICY.format(
    inline="", images=" blob:", more="font-src 'self'; worker-src 'self'; frame-src 'self'; "
)
_DRAWING_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'none'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-scripts; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# Swagger UI starts itself by a script inside its page and sets styles inside its elements.
_DOCS_HEADERS = _HEADERS | {
    "Content-Security-Policy": _POLICY.format(inline=" 'unsafe-inline'", images="", more="")
}

# ReDoc looks things up in a worker that it makes of its own text.
_REDOC_HEADERS = _DOCS_HEADERS | {
    "Content-Security-Policy": f"{_DOCS_HEADERS['Content-Security-Policy']}; worker-src blob:"
}


# What a machine calls these differs, and a browser runs no script by another name.
for _suffix, _type in {".js": "text/javascript", ".mjs": "text/javascript", ".woff2": "font/woff2"}.items():
    mimetypes.add_type(_type, _suffix)


class Pages(StaticFiles):
    """Static files; a path of the page itself (`/h5/401`), and whatever is no file, gives its index."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        is_file = True
        try:
            response = await self._packed(path, scope) or await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != 404 or Path(path).suffix:
                raise HTTPException(error.status_code, error.detail, headers=_HEADERS) from None
            response, is_file = await super().get_response("index.html", scope), False
        response.headers.update(_HEADERS)
        if path.startswith(_DRAWING):
            response.headers["Content-Security-Policy"] = _DRAWING_POLICY
        if is_file and path.startswith(_HASHED):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        if Path(path).suffix in _PACKABLE:
            response.headers["Vary"] = "Accept-Encoding"
        if origins := await _embedders(scope):
            policy = response.headers["Content-Security-Policy"]
            response.headers["Content-Security-Policy"] = f"{policy} {origins}"
        return response

    async def _packed(self, path: str, scope: Scope) -> Response | None:
        """The smallest form of a file that there is and that the browser takes."""
        if scope["method"] not in ("GET", "HEAD") or Path(path).suffix not in _PACKABLE:
            return None
        accepted = _encodings(Headers(scope=scope).get("accept-encoding", ""))
        for encoding, suffix in _PACKED.items():
            if encoding not in accepted:
                continue
            full_path, found = await anyio.to_thread.run_sync(self.lookup_path, path + suffix)
            if found is not None and stat.S_ISREG(found.st_mode):
                response = self.file_response(full_path, found, scope)
                response.headers["Content-Encoding"] = encoding
                return response
        return None


def _encodings(accepted: str) -> set[str]:
    """The names in `Accept-Encoding`, without those that are ruled out."""
    parts = (part.replace(" ", "").lower().partition(";q=") for part in accepted.split(","))
    return {name for name, _, weight in parts if not weight or weight.strip("0.")}


async def _embedders(scope: Scope) -> str:
    """The sites that may show this page in a frame: `?client=` names whose, and its operator has named them."""
    client = QueryParams(scope["query_string"]).get("client", "")
    if not CLIENT_ID.fullmatch(client):
        return ""
    return await cast("Framing", scope["app"].state.framing).origins_of(client)


def mount_pages(
    app: FastAPI,
    *,
    demo: bool,
    wecom: str = "",
    file_types: Sequence[str] = (),
    max_file_size: int = 0,
    folders: Sequence[Path] = FOLDERS,
) -> None:
    """Serve the page under /h5/ and send the root and /h5 there; serve the documentation without any other host's help.

    `wecom`: the client whose people sign on by WeCom, if any; `file_types`: endings of the files that can be uploaded, `max_file_size` their bytes;
    `folders`: where the page may be; the first that has one is served.
    """
    _mount_documentation(app)
    folder = next((folder for folder in folders if (folder / "index.html").is_file()), None)
    if folder is None:
        return
    _say_what_is_on(
        app, {"demo": demo, "wecom": wecom, "file_types": list(file_types), "max_file_size": max_file_size}
    )
    app.mount("/h5", Pages(directory=folder), name="h5")

    async def root(request: Request) -> RedirectResponse:
        # `?client=` says who may show the page in a frame.
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/h5/{query}", 307)

    for path in ("/", "/h5"):
        app.add_api_route(path, root, include_in_schema=False)


def _say_what_is_on(app: FastAPI, switches_on: dict[str, Any]) -> None:
    """What the page must know before anybody has come in."""

    async def switches() -> JSONResponse:
        return JSONResponse(switches_on, headers=_HEADERS)

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
