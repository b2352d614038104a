"""What the README tells people to type."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.live import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("readme"), "--no-samples") as running:
        yield running


@pytest.mark.parametrize("readme", ["README.md", "README.en.md"])
def test_the_first_editor_comes_in_as_the_readme_says(server: Server, readme: str) -> None:
    block = next(
        found
        for found in re.findall(r"```bash\n(.*?)```", (ROOT / readme).read_text("utf-8"), re.DOTALL)
        if "user role" in found
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = server.environ | {"BASE": server.base, "PATH": path}
    done = subprocess.run(
        ["bash", "-c", block], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )
    link = done.stdout.strip().splitlines()[-1]
    assert link.startswith(f"{server.base}/h5/#tk=tk_"), done.stdout + done.stderr
    ticket = link.partition("#tk=")[2]
    login = server.http().post("/auth/session", json={"ticket": ticket}).json()["data"]
    assert login["user"]["role"] == "manager"
    made = server.http(Authorization=f"Bearer {login['session_token']}").post(
        "/knowledge_base/create_knowledge_base", json={"knowledge_base_name": readme.replace(".", "-")}
    )
    assert made.status_code == 200, made.text
