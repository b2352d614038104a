"""Keeps the product's processes alive: starts them, starts again what dies, and ends them all."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from server.core.setting_kinds import ROOT
from server.supervisor.engines import Engine

# A process that lives shorter than this died at its start; it is given more and more time before the next try.
_STABLE_SECONDS = 10
_MAX_PAUSE_SECONDS = 30
_STOP_SECONDS = 25
CONFIG_ERROR = 3


@dataclass
class Child:
    """A process to keep alive."""

    name: str
    command: list[str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


@dataclass
class Supervisor:
    """Starts the children, starts them again, and ends them. Engines look after themselves, when asked."""

    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def prepare(self, options: list[str]) -> int:
        """Run init_db.py to its end, which comes early when we are told to stop. Returns its exit status."""
        leash = [sys.executable, "-m", "server.supervisor.leash", str(os.getpid())]
        process = subprocess.Popen(
            [*leash, sys.executable, "init_db.py", *options],
            cwd=ROOT,
            env=self.environment,
            start_new_session=True,
        )
        while process.poll() is None:
            if self.stopping.wait(0.05):
                process.terminate()
                process.wait()
                return 0
        return process.returncode

    def start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            cwd=ROOT,
            env=self.environment,
            pass_fds=child.pass_fds,
            # Ctrl-C is for this process; the children hear of it once, by `stop`.
            start_new_session=True,
        )
        child.started = time.monotonic()

    def watch(self) -> int:
        """Until told to stop. Returns the exit status: that of a child which found its configuration wrong, or 0."""
        while not self.stopping.wait(0.2):
            for engine in self.engines:
                engine.tick()
            for child in self.children:
                status = child.process.poll() if child.process else 0
                if child.process is not None and status is None:
                    continue
                if status == CONFIG_ERROR:
                    return CONFIG_ERROR
                self._restart(child, status)
        return 0

    def _restart(self, child: Child, status: int | None) -> None:
        now = time.monotonic()
        if child.process is not None:
            child.process = None
            child.failures = 0 if now - child.started > _STABLE_SECONDS else child.failures + 1
            pause = min(2**child.failures, _MAX_PAUSE_SECONDS) if child.failures else 0
            child.not_before = now + pause
            print(f"{child.name} ended with status {status}; starting it again in {pause} s", file=sys.stderr)
        if now >= child.not_before:
            self.start(child)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not listen."""
        processes = [child.process for child in self.children] + [engine.process for engine in self.engines]
        alive = [process for process in processes if process is not None and process.poll() is None]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in alive:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for engine in self.engines:
            engine.sweep()
