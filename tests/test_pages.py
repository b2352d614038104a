"""What a browser gets: the readers' page and the documentation, both from this server alone."""

import re
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI

from server.app import create_app
from server.auth.management import set_frame_ancestors
from server.core.settings import Settings
from tests.conftest import Callers


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
        assert page.headers["x-content-type-options"] == "nosniff"
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text.replace('href="data:,"', "")):
            assert (await http.get(urljoin("/h5/", address))).status_code == 200, address


@pytest.mark.parametrize(
    "path", ["/h5/none.js", "/h5/../configs/config.ini", "/h5/%2e%2e/startup.py", "/docs/assets/x.js"]
)
async def test_files_that_are_not_there(callers: Callers, path: str) -> None:
    assert (await callers.nobody().http.get(path)).status_code == 404


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
        assert (await http.get("/h5/switches.json")).json() == {"demo": is_on}
        assert 'fetch("/h5/switches.json")' in (await http.get("/h5/app.js")).text
        if not is_on:
            told = (await http.get("/sso?client=0", headers={"Accept-Language": "en"})).headers["location"]
            assert "demo%20is%20off" in told
