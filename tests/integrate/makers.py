"""The token makers of docs/integrate, each run by its own runtime. One that is missing skips its tests by name."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from json import dumps
from pathlib import Path
from re import search
from typing import Any

import pytest

from tests.conftest import ROOT

KIT = ROOT / "docs" / "integrate"
# A token from (public key file, client_id, user_id, username). Raises RefusedError with what the program says.
Maker = Callable[[Path, str, str, str], str]


class RefusedError(Exception):
    """A program's refusal: its words on stderr."""


def _needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program}")


def _build(*command: str | Path, **environ: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environ)
    assert done.returncode == 0, done.stdout + done.stderr


def _program(*command: str | Path) -> Callable[..., str]:
    def make(pem: Path, *who: str) -> str:
        # Java reads its arguments in the locale's encoding.
        environ = os.environ | {"LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [*command, pem, *who], capture_output=True, encoding="utf-8", env=environ, timeout=60
        )
        if done.returncode:
            raise RefusedError(done.stderr.removesuffix("\n"))
        assert done.stderr == ""
        return done.stdout.removesuffix("\n")

    return make


def java(folder: Path) -> Maker:
    _needs("javac", "java")
    _build(
        "javac", "-Xlint:all", "-Werror", "-encoding", "UTF-8", "-d", folder, KIT / "java" / "ApiToken.java"
    )
    return _program("java", "-cp", folder, "ApiToken")


def php(_folder: Path) -> Maker:
    _needs("php")
    return _program(
        "php", "-d", "error_reporting=-1", "-d", "display_errors=stderr", KIT / "php" / "api_token.php"
    )


def node(_folder: Path) -> Maker:
    _needs("node")
    return _program("node", KIT / "node" / "api_token.mjs")


def go(folder: Path) -> Maker:
    _needs("go")
    source = KIT / "go" / "api_token.go"
    _build("go", "vet", source, GOCACHE=f"{folder / 'cache'}")
    _build("go", "build", "-o", folder / "api_token", source, GOCACHE=f"{folder / 'cache'}")
    return _program(folder / "api_token")


def python(_folder: Path) -> Maker:
    return _program(sys.executable, KIT / "python" / "api_token.py")


def csharp(folder: Path) -> Maker:
    _needs("mcs", "mono")
    return _program("mono", _csharp_program(folder))


def csharp_on_dotnet(folder: Path) -> Maker:
    """The same file on Microsoft's runtime."""
    _needs("mcs", "dotnet")
    framework = {"name": "Microsoft.NETCore.App", "version": "5.0.0"}
    options = {"runtimeOptions": {"framework": framework, "rollForward": "LatestMajor"}}
    (folder / "runtime.json").write_text(dumps(options))
    return _program("dotnet", "exec", "--runtimeconfig", folder / "runtime.json", _csharp_program(folder))


def _csharp_program(folder: Path) -> Path:
    program = folder / "ApiToken.exe"
    _build("mcs", "-warnaserror", f"-out:{program}", KIT / "csharp" / "ApiToken.cs")
    return program


def shell(_folder: Path) -> Maker:
    _needs("openssl")
    return _program("sh", KIT / "shell" / "api_token.sh")


def browser_code_in_node(folder: Path) -> Maker:
    _needs("node")
    script = folder / "run.mjs"
    script.write_text(f"""
import {{ readFileSync }} from 'node:fs'
import {{ importPublicKey, makeApiToken }} from {dumps((KIT / "browser" / "api_token.mjs").as_uri())}
const [pem, ...who] = process.argv.slice(2)
try {{
  console.log(await makeApiToken(await importPublicKey(readFileSync(pem, 'ascii')), ...who))
}} catch (error) {{
  console.error(error.message)
  process.exit(1)
}}
""")
    return _program("node", script)


PAGE = """<!doctype html><meta charset="utf-8"><p></p>
<script type="module">
import { importPublicKey, makeApiToken } from './api_token.mjs'
const [pem, ...who] = ARGUMENTS
const show = (id, text) => Object.assign(document.querySelector('p'), { id, textContent: text })
try {
  show('token', await makeApiToken(await importPublicKey(pem), ...who))
} catch (error) {
  show('refusal', error.message)
}
</script>
"""


def browser_code_in_chromium(folder: Path) -> Maker:
    _needs("chromium")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=5000",
    ]

    def make(pem: Path, *who: str) -> str:
        page = PAGE.replace("ARGUMENTS", dumps([pem.read_text(), *who]))
        with _served(page) as address:
            done = subprocess.run(
                ["chromium", *options, f"--user-data-dir={folder}", "--dump-dom", address],
                capture_output=True,
                encoding="utf-8",
                timeout=60,
            )
        found = search(r'<p id="(\w+)">(.*?)</p>', done.stdout)
        assert found is not None, done.stdout + done.stderr
        if found[1] == "refusal":
            raise RefusedError(unescape(found[2]))
        return found[2]

    return make


@contextmanager
def _served(page: str) -> Iterator[str]:
    """The page at / and the browser's module beside it. WebCrypto is there on https and localhost only."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(KIT / "browser"))

        def do_GET(self) -> None:
            if self.path != "/":
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


MAKERS: list[Callable[[Path], Maker]] = [
    java,
    php,
    node,
    go,
    python,
    csharp,
    csharp_on_dotnet,
    shell,
    browser_code_in_node,
    browser_code_in_chromium,
]


def python_signing() -> Callable[..., str]:
    return _program(sys.executable, KIT / "python" / "signed_token.py")


def node_signing() -> Callable[..., str]:
    _needs("node")
    return _program("node", KIT / "node" / "signed_token.mjs")


# Signed tokens from (private key file, kid, client_id, user_id, name).
SIGNERS: list[Callable[[], Callable[..., str]]] = [python_signing, node_signing]
