"""What a browser gets: the readers' page and the documentation, both from this server alone."""

import asyncio
import gzip
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi import FastAPI

from server.app import create_app
from server.auth.framing import Framing
from server.auth.management import set_frame_ancestors
from server.core.settings import Settings
from server.pages import FOLDERS, mount_pages
from server.services import Services
from tests.conftest import Callers
from tests.support.api import serving

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(("path", "count"), [("/docs", 4), ("/redoc", 3)])
async def test_the_documentation_needs_no_other_host(callers: Callers, path: str, count: int) -> None:
    http = callers.nobody().http
    page = await http.get(path)
    addresses = re.findall(r'(?:src|href|url)["\']?\s*[=:]\s*["\']([^"\']+)["\']', page.text)
    assert len(addresses) >= count, page.text
    for address in addresses:
        if address != "https://github.com/Redocly/redoc":
            assert "//" not in address
            assert (await http.get(urljoin(path, address))).status_code == 200, address
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_page_lets_nothing_foreign_in(callers: Callers) -> None:
    http = callers.nobody().http
    for path in ("/", "/h5"):
        root = await http.get(path)
        assert (root.status_code, root.headers["location"]) == (307, "/h5/")
    for path in ("/h5/", "/h5/401", "/h5/some/where"):
        page = await http.get(path)
        assert page.status_code == 200
        assert "<html" in page.text
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-cache"
        assert page.headers["x-content-type-options"] == "nosniff"
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text.replace('href="data:,"', "")):
            assert (await http.get(urljoin("/h5/", address))).status_code == 200, address


@pytest.mark.parametrize(
    "path", ["/h5/none.js", "/h5/../configs/config.ini", "/h5/%2e%2e/startup.py", "/docs/assets/x.js"]
)
async def test_files_that_are_not_there(callers: Callers, path: str) -> None:
    answer = await callers.nobody().http.get(path)
    assert answer.status_code == 404
    if path.startswith("/h5/n"):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_wrong_method_and_odd_paths_of_the_page(callers: Callers) -> None:
    http = callers.nobody().http
    wrong = await http.post("/h5/")
    assert wrong.status_code == 405
    assert wrong.headers["x-content-type-options"] == "nosniff"
    # A directory is no reason to send anybody anywhere.
    for path in ("/h5//evil.example/%2e%2e", "/h5/assets", "/h5/drawing"):
        answer = await http.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, "location" in answer.headers) == (200, False), path
        assert "<html" in answer.text
    assert (await http.get("/h5?client=oa")).headers["location"] == "/h5/?client=oa"


@pytest.mark.parametrize("path", ["/health/", "/docs/", "/auth/sessions/", "/knowledge_base/list_files/"])
async def test_no_redirection_follows_the_host_header(callers: Callers, path: str) -> None:
    answer = await callers.nobody().http.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code, "location" in answer.headers) == (404, False)


async def test_only_the_sites_that_a_client_names_may_show_the_page_in_a_frame(callers: Callers) -> None:
    async def ancestors(query: str) -> str:
        page = await callers.nobody().http.get(f"/h5/{query}")
        assert page.status_code == 200
        return page.headers["content-security-policy"].partition("frame-ancestors ")[2]

    now, actor = callers.services.runtime.clock.now(), "test"
    await callers.client("oa")
    origins = ["https://oa.example.com", "https://m.example.com:8443"]
    async with callers.services.database.write() as session:
        await set_frame_ancestors(session, actor, "oa", origins, now)
    assert await ancestors("?client=oa") == f"'self' {' '.join(origins)}"
    for query in ("", "?client=acme", "?client=nobody", "?client=oa%20*", "?client="):
        assert await ancestors(query) == "'self'", query


class TestSwitches:
    """The page asks for the demo's passphrase only where there is a demo."""

    @pytest.fixture(params=[True, False])
    def app(self, settings: Settings, request: pytest.FixtureRequest) -> FastAPI:
        auth = settings.auth.model_copy(update={"demo": request.param})
        return create_app(settings.model_copy(update={"auth": auth}))

    async def test_what_is_on(self, callers: Callers, app: FastAPI) -> None:
        http = callers.nobody().http
        is_on = app.state.settings.auth.demo
        told = (await http.get("/h5/switches.json")).json()
        assert (told["demo"], told["wecom"]) == (is_on, "")
        assert {".pdf", ".docx", ".txt"} <= set(told["file_types"])
        assert told["max_file_size"] == app.state.settings.kb.max_file_size
        if not is_on:
            refusal = (await http.get("/sso?client=0", headers={"Accept-Language": "en"})).headers["location"]
            assert "demo%20is%20off" in refusal


SCRIPT = "console.log('hello')\n" * 100
# A drawing that notes what its document may do, where whoever shows it sees it.
DRAWING = """
const told = {};
const note = (name) => { told[name] = true; document.title = Object.keys(told).join(" "); };
note("script");
document.head.append(Object.assign(document.createElement("style"), { textContent: "p { color: rgb(1, 2, 3) }" }));
if (getComputedStyle(document.querySelector("p")).color === "rgb(1, 2, 3)") note("style");
try { sessionStorage.length; note("storage"); } catch {}
fetch("/h5/switches.json").then(() => note("fetch"), () => note("no-fetch"));
"""


class TestBuilt:
    """A page as Vite writes it."""

    @pytest.fixture
    async def http(self, services: Services, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
        dist = tmp_path / "dist"
        for folder in ("assets", "drawing"):
            (dist / folder).mkdir(parents=True)
        (dist / "index.html").write_text("<html></html>")
        (dist / "icon.svg").write_text("<svg></svg>")
        (dist / "assets" / "index-1a2b.js").write_text(SCRIPT)
        (dist / "assets" / "index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
        (dist / "assets" / "index-1a2b.js.br").write_bytes(b"smaller still")
        (dist / "assets" / "worker-3c4d.mjs").write_text(SCRIPT)
        (dist / "assets" / "KaTeX.woff2").write_bytes(b"wOF2")
        for page in ("drawing/frame.html",):
            (dist / page).write_text('<body><p>x</p><script src="/h5/drawing/frame.js"></script>')
        (dist / "drawing" / "frame.js").write_text(DRAWING)
        app = FastAPI()
        mount_pages(app, demo=False, folders=(tmp_path / "none", dist))
        app.state.framing = Framing(services.database)
        async with serving(app) as address, httpx2.AsyncClient(base_url=address) as http:
            yield http

    async def test_what_is_named_after_its_content_is_asked_for_once(self, http: httpx2.AsyncClient) -> None:
        asset = await http.get("/h5/assets/index-1a2b.js")
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"
        for path in (
            "/h5/",
            "/h5/index.html",
            "/h5/icon.svg",
            "/h5/chat/1",
            "/h5/assets/chat",
            "/h5/drawing/frame.js",
        ):
            page = await http.get(path)
            assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache"), path
            again = await http.get(path, headers={"If-None-Match": page.headers["etag"]})
            assert again.status_code == 304, path
        missing = await http.get("/h5/assets/index-0000.js")
        assert missing.status_code == 404
        assert "immutable" not in missing.headers.get("cache-control", "")

    @pytest.mark.parametrize(
        ("accepted", "encoding"),
        [
            ("gzip, deflate, br", "br"),
            ("gzip", "gzip"),
            ("br;q=0, gzip;q=0.5", "gzip"),
            ("GZIP; q=0.0", None),
            ("identity", None),
            ("", None),
        ],
    )
    async def test_the_smallest_form_that_the_browser_takes(
        self, http: httpx2.AsyncClient, accepted: str, encoding: str | None
    ) -> None:
        request = http.build_request("GET", "/h5/assets/index-1a2b.js", headers={"Accept-Encoding": accepted})
        asset = await http.send(request, stream=True)
        body = b"".join([part async for part in asset.aiter_raw()])
        assert asset.headers.get("content-encoding") == encoding
        assert asset.headers["vary"] == "Accept-Encoding"
        assert asset.headers["content-type"] == "text/javascript; charset=utf-8"
        assert asset.headers["cache-control"].endswith("immutable")
        expected = {"br": b"smaller still", "gzip": None, None: SCRIPT.encode()}[encoding]
        assert (gzip.decompress(body) if expected is None else body) == (expected or SCRIPT.encode())
        etag = {"If-None-Match": asset.headers["etag"], "Accept-Encoding": accepted}
        assert (await http.get("/h5/assets/index-1a2b.js", headers=etag)).status_code == 304
        head = await http.head("/h5/assets/index-1a2b.js", headers={"Accept-Encoding": accepted})
        assert head.headers.get("content-encoding") == encoding
        plain = await http.get("/h5/assets/worker-3c4d.mjs", headers={"Accept-Encoding": accepted})
        assert (plain.text, plain.headers["vary"]) == (SCRIPT, "Accept-Encoding")

    async def test_scripts_and_fonts_are_called_what_they_are(self, http: httpx2.AsyncClient) -> None:
        worker = await http.get("/h5/assets/worker-3c4d.mjs")
        assert worker.headers["content-type"].startswith("text/javascript")
        assert (await http.get("/h5/assets/KaTeX.woff2")).headers["content-type"] == "font/woff2"

    async def test_what_the_page_may_do(self, http: httpx2.AsyncClient) -> None:
        policy = (await http.get("/h5/")).headers["content-security-policy"].split("; ")
        assert policy == [
            "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
            "connect-src 'self'", "font-src 'self'", "worker-src 'self'", "frame-src 'self'", "base-uri 'none'",
            "form-action 'self'", "frame-ancestors 'self'",
        ]  # fmt: skip

    async def test_a_diagram_has_a_document_that_reaches_nothing(
        self, http: httpx2.AsyncClient, callers: Callers
    ) -> None:
        expected = (
            "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; connect-src 'none'; "
            "base-uri 'none'; form-action 'none'; sandbox allow-scripts; frame-ancestors 'self'"
        )
        await callers.client("oa")
        now = callers.services.runtime.clock.now()
        async with callers.services.database.write() as session:
            await set_frame_ancestors(session, "test", "oa", ["https://oa.example.com"], now)
        for path in ("/h5/drawing/frame.html", "/h5/drawing/frame.js"):
            assert (await http.get(path)).headers["content-security-policy"] == expected, path
            # Where the page itself stands in somebody's frame, so does the diagram.
            framed = await http.get(path, params={"client": "oa"})
            assert framed.headers["content-security-policy"] == f"{expected} https://oa.example.com"

    @pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
    async def test_a_browser_draws_in_it_and_no_more(self, http: httpx2.AsyncClient, tmp_path: Path) -> None:
        command = [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/chromium",
        ]
        command += ["--virtual-time-budget=5000", "--dump-dom", f"{http.base_url}/h5/drawing/frame.html"]
        browser = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
        shown = (await asyncio.wait_for(browser.communicate(), 60))[0].decode()
        assert "<title>script style no-fetch</title>" in shown


async def test_a_page_that_was_not_built_says_how_to(services: Services, tmp_path: Path) -> None:
    app = FastAPI()
    (tmp_path / "dist").mkdir()  # a build that broke off
    mount_pages(app, demo=False, folders=(tmp_path / "dist", FOLDERS[-1]))
    app.state.framing = Framing(services.database)
    async with serving(app) as address, httpx2.AsyncClient(base_url=address) as http:
        page = await http.get("/h5/")
        assert page.status_code == 200
        assert "make page" in page.text
        assert (await http.get("/h5/style.css")).status_code == 200
        assert "<script" not in page.text
