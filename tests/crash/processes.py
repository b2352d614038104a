"""The processes of a server, started and killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.conftest import ROOT


class Processes:
    """An API and workers over one data folder; each is killed and started as one likes."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SERVER__DATA_DIR": str(folder / "data"),
            "SERVER__PORT": str(self.port),
        } | environ
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote", str(theirs.fileno())],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self.running: dict[str, int] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.running):
            self.kill(name)
        self._orders.close()
        self._zygote.wait(10)

    def start(self, name: str, die_at: int = 0) -> None:
        """`api`, `worker` or `worker-2`."""
        order = {
            "arguments": [name.partition("-")[0]],
            "environ": self._environ,
            "log": str(self.folder / "run.log"),
            "die_at": die_at,
        }
        self._orders.send(json.dumps(order).encode())
        self.running[name] = int(self._orders.recv(100))

    def is_alive(self, name: str) -> bool:
        pid = self.running.get(name)
        return pid is not None and Path(f"/proc/{pid}").exists()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Returns when it is gone."""
        pid = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        while Path(f"/proc/{pid}").exists():
            time.sleep(0.005)

    def log(self) -> str:
        return (self.folder / "run.log").read_text("utf-8", "replace")
