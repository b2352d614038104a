"""Taking files in: the memory that an upload of a gigabyte costs, and a folder of a thousand small files."""

import asyncio
import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Figure, show
from bench.startup import Running
from server.core.setting_kinds import ROOT

_SIZE, _BLOCK = 1024**3, 1024**2
_FILES = 1_000
_GROWTH = 64


async def run() -> None:
    figures = [await asyncio.to_thread(_upload), await asyncio.to_thread(_folder)]
    show("Intake: files taken in", figures)


class _Watch(threading.Thread):
    """The most memory that the processes of a server hold together, while it runs."""

    def __init__(self, running: Running) -> None:
        super().__init__(daemon=True)
        self._running, self._ends = running, threading.Event()
        self.first = self.most = running.memory()[1]

    def run(self) -> None:
        while not self._ends.wait(0.05):
            self.most = max(self.most, self._running.memory()[1])

    def end(self) -> float:
        """By how many MiB it grew."""
        self._ends.set()
        self.join()
        return self.most - self.first


def _upload() -> Figure:
    """Kept, not read: what is measured is the way to the disk."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        limits = {"KB__MAX_FILE_SIZE": "1100MiB", "KB__MAX_UPLOAD_SIZE": "1100MiB"}
        running = Running(Path(name), 7991, None, **limits)
        try:
            running.seconds_to_health()
            running.cli("client", "add", "--id", "m")
            key = running.cli("api-key", "add", "--client", "m", "--scopes", "kb:read,kb:write").strip()
            headers = {"Authorization": f"Bearer {key}"}
            body = {"knowledge_base_name": "large"}
            running.post("/knowledge_base/create_knowledge_base", body, headers)
            _send(running, headers, 8 * _BLOCK, "warm.pdf")  # what the first upload loads, it keeps
            time.sleep(1)
            watch = _Watch(running)
            watch.start()
            started = time.perf_counter()
            status = _send(running, headers, _SIZE, "large.pdf")
            seconds = time.perf_counter() - started
            grown = watch.end()
        finally:
            running.stop()
    raw = f"answered {status} after {seconds:.1f} s ({_SIZE / seconds / 1024**2:.0f} MiB/s); RSS of all processes {watch.first:.0f} → {watch.most:.0f} MiB"
    met = status == 200 and grown <= _GROWTH
    return Figure("upload of 1 GiB, growth of RSS", f"{grown:.0f} MiB", f"≤ {_GROWTH} MiB", met, raw)


def _send(running: Running, headers: dict[str, str], size: int, name: str) -> int:
    fields = {"knowledge_base_name": "large", "to_vector_store": "false"}
    head = "".join(
        f'--XX\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    )
    head += f'--XX\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n%PDF-1.7\n'
    tail = b"\r\n--XX--\r\n"

    def body() -> Iterator[bytes]:
        yield head.encode()
        block = os.urandom(_BLOCK)
        for _ in range(size // _BLOCK):
            yield block
        yield tail

    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=300)
    length = str(len(head.encode()) + size // _BLOCK * _BLOCK + len(tail))
    form = {"Content-Type": "multipart/form-data; boundary=XX", "Content-Length": length}
    try:
        connection.request("POST", "/knowledge_base/upload_docs", body(), {**headers, **form})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _folder() -> Figure:
    """`init_db.py -i` with a thousand files of one paragraph, until all are searchable."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        data = Path(name)
        source = data / "import" / "small"
        source.mkdir(parents=True)
        for number in range(_FILES):
            text = f"第{number}号通知：编号{number * 37 % 9973}的设备由{number % 41}号部门保管，每{number % 11 + 2}个月检查一次。\n"
            (source / f"{number:04}.txt").write_text(text, encoding="utf-8")
        environ = os.environ | {"SERVER__DATA_DIR": str(data), "SERVER__LOG_LEVEL": "warning"}
        prepare = [sys.executable, "init_db.py", "--create-tables"]
        subprocess.run(prepare, cwd=ROOT, env=environ, check=True, capture_output=True)
        started = time.perf_counter()
        command = [sys.executable, "init_db.py", "-i", "-n", "small"]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        said = " ".join((done.stdout + done.stderr).split())
        taken = re.search(r"(\d+)[^\d]{0,40}documents|documents[^\d]{0,40}(\d+)", said)
        count = int(next(filter(None, taken.groups()))) if taken else 0
    raw = f"{_FILES / seconds:.1f} files/s with the start of the command; exit status {done.returncode}, documents taken {count}"
    met = done.returncode == 0 and count == _FILES
    return Figure("folder of 1,000 small files", f"{seconds:.0f} s", "all searchable", met, raw)
