"""The page for readers: static files under /h5/, with headers that let nothing foreign in."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.core.settings import ROOT

# The built page when there is one, else the small one that needs no build.
FOLDERS = (ROOT / "web" / "dist", ROOT / "web" / "demo")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
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
        return response


def mount_page(app: FastAPI) -> None:
    """Serve the page under /h5/ and send the root there."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), None)
    if folder is None:
        return
    app.mount("/h5", Pages(directory=folder, html=True), name="h5")

    async def root() -> RedirectResponse:
        return RedirectResponse("/h5/", 307)

    app.add_api_route("/", root, include_in_schema=False)
