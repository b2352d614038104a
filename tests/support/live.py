"""The product as `make run` starts it: real processes, a real port, the command line."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from server.core.tls import tls_context
from tests.conftest import ROOT
from tests.support.commands import run_command


class Server:
    """A running startup.py over a data folder of its own; `--lite`, unless `start` gives other flags."""

    def __init__(self, folder: Path, *options: str, start: str = "--lite", **environ: str) -> None:
        self.folder, self.log_file = folder, folder / "run.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SERVER__DATA_DIR": str(folder / "data"),
        } | environ
        self.options = [*start.split(), "--port", str(self.port), *options]
        self.process: subprocess.Popen[bytes] | None = None
        self.base = f"http://127.0.0.1:{self.port}"
        self.clients: list[httpx2.Client] = []

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            assert self.stop() == 0

    def start(self) -> "Server":
        ready = self.log().count("chat2llm is ready")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "startup.py", *self.options],
                cwd=ROOT,
                env=self.environ,
                stdout=log,
                stderr=log,
            )
        self.wait_for("chat2llm is ready", times=ready + 1)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(40)

    def http(self, **headers: str) -> httpx2.Client:
        """A client with headers, closed with the server."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.clients.append(
            httpx2.Client(base_url=self.base, headers=names, timeout=60, verify=tls_context())
        )
        return self.clients[-1]

    def log(self) -> str:
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def wait_for(self, words: str, times: int = 1, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while self.log().count(words) < times:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def children(self, name: str) -> list[int]:
        """Process ids of the supervisor's children whose command has `name` as a word."""
        assert self.process is not None
        return children(self.process.pid, name)

    def cli(self, *arguments: str) -> str:
        """Output of `python -m server …`; fails with what it said when it failed."""
        done = run_command(arguments, self.environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def caller(self, client: str = "acme", *scopes: str) -> httpx2.Client:
        """A program of a new client, made by the command line."""
        self.cli("client", "add", "--id", client)
        key = re.search(
            r"sk-\S{20,}",
            self.cli(
                "api-key",
                "add",
                "--client",
                client,
                "--scopes",
                ",".join(scopes or ("chat", "kb:read", "kb:write")),
            ),
        )
        assert key is not None
        return self.http(Authorization=f"Bearer {key[0]}")


def wait_until(check, seconds: float = 180) -> None:
    """Wait until `check()` is true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def children(pid: int, name: str = "") -> list[int]:
    """Process ids of a process's children (whose command has `name` as a word)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
            command = (path.parent / "cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and (not name or name in command):
            found.append(int(path.parent.name))
    return found
