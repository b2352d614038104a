"""Start-up time and memory of the product as it is started, empty and with 100,000 chunks."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from bench.report import Figure, show
from bench.stage import fill, stage_in
from server.core.processes import die_with_parent
from server.core.setting_kinds import ROOT

_ROUNDS = 5


class Running:
    """startup.py over a folder."""

    def __init__(
        self,
        folder: Path,
        port: int,
        log: IO[bytes] | None = None,
        flags: tuple[str, ...] = ("--lite",),
        /,
        **environment: str,
    ) -> None:
        self.port, self.started = port, time.perf_counter()
        environ = os.environ | {"SERVER__DATA_DIR": str(folder), "SERVER__LOG_LEVEL": "warning"} | environment
        command = [sys.executable, "startup.py", *flags, "--no-samples", "--port", str(port)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=die_with_parent,  # whoever ends a bench ends its server
        )
        self.environ = environ

    def seconds_to_health(self) -> float:
        while self.get("/health") != 200:
            time.sleep(0.02)
        return time.perf_counter() - self.started

    def get(self, path: str) -> int:
        return self.post(path, None, {})[0]

    def post(self, path: str, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            method, data = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def cli(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "server", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environ, check=True, capture_output=True, text=True
        ).stdout

    def memory(self) -> tuple[float, float, str]:
        """(PSS, RSS) of all processes in MiB, and each one's PSS. PSS counts shared pages once."""
        pss = rss = 0.0
        parts = []
        for pid in self.pids(self.process.pid):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            values = {key: int(value) / 1024 for key, value in re.findall(r"^(Pss|Rss):\s+(\d+)", text, re.M)}
            pss, rss = pss + values["Pss"], rss + values["Rss"]
            name = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
            parts.append(f"{' '.join(name[1:4])} {values['Pss']:.0f}")
        return pss, rss, "; ".join(parts)

    def pids(self, root: int) -> list[int]:
        children = Path(f"/proc/{root}/task/{root}/children").read_text(encoding="ascii").split()
        return [root, *(pid for child in children for pid in self.pids(int(child)))]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


async def run() -> None:
    figures = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        first = _start_and_stop(folder, 7981)
        times = [_start_and_stop(folder, 7982 + n) for n in range(_ROUNDS)]
        raw = f"first start (schema, secrets, keys) {first:.2f} s, then {[f'{t:.2f}' for t in times]} s"
        figures.append(
            Figure("start to ready, empty store", f"{min(times):.2f} s", "≤ 3 s", min(times) <= 3, raw)
        )
        figures.append(_memory(folder))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with stage_in(Path(name)) as services:
            await fill(services, "large", 100_000)
        figures.append(_large(Path(name)))
    show("Startup: python startup.py --lite", figures)


def _start_and_stop(folder: Path, port: int) -> float:
    running = Running(folder, port)
    try:
        return running.seconds_to_health()
    finally:
        running.stop()


def _memory(folder: Path) -> Figure:
    """At rest, after one document was read and one question asked: every lazy part is loaded."""
    running = Running(folder, 7990)
    try:
        running.seconds_to_health()
        running.cli("client", "add", "--id", "m")
        key = running.cli("api-key", "add", "--client", "m", "--scopes", "chat,kb:read,kb:write").strip()
        headers = {"Authorization": f"Bearer {key}"}
        running.post("/knowledge_base/create_knowledge_base", {"knowledge_base_name": "kb"}, headers)
        form = b'--b\r\nContent-Disposition: form-data; name="knowledge_base_name"\r\n\r\nkb\r\n'
        form += (
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
            + "年假五天。".encode() * 200
            + b"\r\n--b--\r\n"
        )
        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        connection.request(
            "POST",
            "/knowledge_base/upload_docs",
            form,
            headers | {"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert connection.getresponse().status == 200
        while running.post(
            "/knowledge_base/search_docs", {"query": "年假", "knowledge_base_name": "kb"}, headers
        )[1] in (b"[]", b""):
            time.sleep(0.2)
        time.sleep(1)
        pss, rss, parts = running.memory()
    finally:
        running.stop()
    return Figure(
        "memory at rest, all processes",
        f"{pss:.0f} MiB",
        "≤ 450 MB",
        pss <= 429,
        f"RSS {rss:.0f} MiB; PSS: {parts}",
    )


def _large(folder: Path) -> Figure:
    running = Running(folder, 7991)
    try:
        ready = running.seconds_to_health()
        key = running.cli("api-key", "add", "--client", "bench", "--scopes", "kb:read").strip()
        started = time.perf_counter()
        status, _ = running.post(
            "/knowledge_base/search_docs",
            {"query": "年假", "knowledge_base_name": "large"},
            {"Authorization": f"Bearer {key}"},
        )
        first = time.perf_counter() - started
        assert status == 200
        pss, rss, _ = running.memory()
    finally:
        running.stop()
    raw = f"healthy after {ready:.2f} s, first search (fills the index) {first:.2f} s; then PSS {pss:.0f} MiB, RSS {rss:.0f} MiB"
    return Figure(
        "start to answering a search, 100,000 chunks",
        f"{ready + first:.2f} s",
        "≤ 5 s",
        ready + first <= 5,
        raw,
    )
