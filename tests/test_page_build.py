"""scripts/build_page.sh: builds the page when it must, says so when it cannot, and never stops a server."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("sh", "find", "grep", "head", "dirname", "touch", "mktemp", "rm", "mkdir", "cat", "env")
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
# Stands in for npm: notes what it was asked for, and builds a page of one large script.
NPM = """#!/bin/sh
echo "$*" >> calls
[ -f broken-"$1" ] && { echo "npm error network" >&2; exit 1; }
case "$1" in
  ci) mkdir -p node_modules; echo '{}' > node_modules/.package-lock.json ;;
  run) mkdir -p dist/assets; echo '<html></html>' > dist/index.html; head -c 4000 /dev/zero > dist/assets/index-1a2b.js
       echo tiny > dist/assets/tiny.js; echo x > tsconfig.tsbuildinfo ;;
esac
"""


class Page:
    """A project's folder with a page in it, and a machine of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.web, self.bin = folder, folder / "web", folder / "bin"
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "build_page.sh", folder / "scripts")
        for path in ("src", "scripts", "tests"):
            (self.web / path).mkdir(parents=True)
        shutil.copy(ROOT / "web" / "scripts" / "compress.mjs", self.web / "scripts")
        for path in ("package.json", "package-lock.json", "src/main.ts", "src/old.ts", "tests/main.test.ts"):
            (self.web / path).write_text("{}")
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or "")

    def install_node(self) -> None:
        (self.bin / "node").unlink(missing_ok=True)
        (self.bin / "node").symlink_to(shutil.which("node") or "")
        (self.bin / "npm").write_text(NPM)
        (self.bin / "npm").chmod(0o755)

    def build(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.bin / "sh"), "scripts/build_page.sh", *arguments]
        environ = {"PATH": str(self.bin), "TMPDIR": str(self.folder)}
        return subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False, timeout=60
        )

    def calls(self) -> list[str]:
        """What npm was asked for since the last time."""
        noted = self.web / "calls"
        found = noted.read_text().splitlines() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return [call.partition(" --")[0] for call in found]

    def later(self, name: str) -> None:
        """A file is written, in the next second: stamps may not be finer."""
        path = self.web / name
        path.write_text("changed")
        os.utime(path, (time.time() + 2, time.time() + 2))


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


@needs_node
def test_it_is_built_once_and_again_when_something_changed(page: Page) -> None:
    page.install_node()
    done = page.build()
    assert (done.returncode, done.stderr) == (0, "")
    assert page.calls() == ["ci", "run build"]
    assert page.build("--can").returncode == 0
    assert page.build().stdout == ""
    assert page.calls() == [], "nothing has changed"
    page.later("tests/main.test.ts")
    page.build()
    assert page.calls() == [], "tests are no part of the page"
    page.later("src/main.ts")
    page.build()
    assert page.calls() == ["run build"]
    os.utime(page.web / "src" / "main.ts", (0, 0))
    page.build()
    os.utime(page.web / "node_modules" / ".built", (0, 0))  # as if long ago
    (page.web / "src" / "old.ts").unlink()
    page.build()
    assert page.calls()[-1:] == ["run build"], "a file less is a change"
    page.later("package-lock.json")
    page.build()
    assert page.calls() == ["ci", "run build"]
    shutil.rmtree(page.web / "dist")
    page.build()
    assert "run build" in page.calls()


@needs_node
def test_large_files_get_smaller_forms(page: Page) -> None:
    page.install_node()
    page.build()
    assert sorted(path.name for path in (page.web / "dist" / "assets").iterdir()) == [
        "index-1a2b.js",
        "index-1a2b.js.br",
        "index-1a2b.js.gz",
        "tiny.js",
    ]


def test_without_node_the_server_starts_and_the_reason_is_told(page: Page) -> None:
    done = page.build()
    assert done.returncode == 0
    assert "The page was not built: node and npm are not there" in done.stderr
    assert "/h5/ says how to build" in done.stderr
    assert page.build("--strict").returncode == 1
    (page.web / "dist").mkdir()
    (page.web / "dist" / "index.html").write_text("<html></html>")
    assert "built before is served" in page.build().stderr


@needs_node
def test_an_old_node_is_told(page: Page) -> None:
    page.install_node()
    (page.bin / "node").unlink()
    (page.bin / "node").write_text('#!/bin/sh\n[ "$1" = --version ] && echo v18.20.4\nexit 1\n')
    (page.bin / "node").chmod(0o755)
    done = page.build()
    assert (done.returncode, page.calls()) == (0, [])
    assert "node v18.20.4 is too old" in done.stderr
    assert page.build("--can").returncode != 0


@needs_node
@pytest.mark.parametrize(("step", "told"), [("ci", "npm ci failed"), ("run", "npm run build failed")])
def test_npm_that_fails_stops_no_server(page: Page, step: str, told: str) -> None:
    """Offline, say."""
    page.install_node()
    (page.web / f"broken-{step}").touch()
    done = page.build()
    assert done.returncode == 0
    assert told in done.stderr
    assert "npm error network" in done.stderr
    assert page.build("--strict").returncode == 1
    (page.web / f"broken-{step}").unlink()
    page.calls()
    assert page.build("--strict").returncode == 0
    assert page.calls()[-1] == "run build", "it is tried again"


def test_a_project_without_a_page_has_nothing_to_build(page: Page) -> None:
    (page.web / "package.json").unlink()
    assert (page.build().returncode, page.build("--strict").stderr) == (0, "")


def test_make_run_builds_the_page_first() -> None:
    told = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.index("scripts/build_page.sh") < told.index("startup.py")
