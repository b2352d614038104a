"""The engine of one local model: started, asked whether it is well, started again, and given up with the reason.

`tick` runs in the supervisor's main thread, which starts every process: the kernel ends a child with the thread that
started it (`die_with_parent`). Other threads read its output, ask after its health, and pass on orders.
"""

import importlib.util
import io
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException

from server.core.configuration import foreign_environment
from server.core.engines import EngineState, State
from server.core.setting_kinds import ROOT
from server.core.settings import LLMModelSettings
from server.supervisor.leash import NO_COMMAND
from server.supervisor.llama_cpp import HOPELESS

# Lives that may end before the engine was ever ready, and after; then it is given up.
_MAX_UNREADY, _MAX_CRASHES = 3, 10
# Seconds: of readiness that make earlier failures forgotten; between two tries; until SIGTERM becomes SIGKILL.
_STABLE, _MAX_PAUSE, _GRACE = 60, 30, 10
# Seconds between questions after its health before it is ready; how many may stay without an answer later.
_EAGER, _MAX_MISSES = 0.1, 6
_SHOWN_LINES = 8
# Of a line: bytes that are kept while it has no end, characters that are told. Seconds for the last words of a dead one.
_KEPT, _TOLD, _LAST_WORDS = 4096, 500, 2


@dataclass
class _Life:
    """One process of the engine."""

    process: subprocess.Popen[bytes]
    key: str
    port: int
    begun: float = field(default_factory=time.monotonic)
    ready_at: float | None = None
    # Why we ended it ourselves.
    complaint: str = ""
    # Why our own program around it ended, in its words.
    last_words: str = ""
    kill_at: float | None = None
    output: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    readers: list[threading.Thread] = field(default_factory=list)


class Engine:
    """Runs `[llm.NAME]` with an `engine`."""

    def __init__(
        self,
        name: str,
        settings: LLMModelSettings,
        say: Callable[[str], None],
        *,
        loud: bool = False,
        calm: float = 5.0,
    ) -> None:
        """`say` tells the operator; `loud` passes on what the engine itself writes; `calm`: seconds between two
        questions after the health of one that is ready, and how long an answer to them may take."""
        self.name, self._settings, self._say, self._loud, self._calm = name, settings, say, loud, calm
        self._wanted, self._reason = True, ""
        self._life: _Life | None = None
        self._failures, self._not_before, self._failed = 0, 0.0, False
        self._lock = threading.Lock()

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._life.process if self._life else None

    def state(self) -> EngineState:
        with self._lock:
            life = self._life
            if life is not None and (not self._wanted or life.kill_at):
                return EngineState("stopping")
            if life is not None and life.ready_at:
                return EngineState("ready", port=life.port, key=life.key)
            idle: State = "failed" if self._failed else "starting" if self._wanted else "off"
            return EngineState(idle, self._reason)

    def order(self, *, wanted: bool) -> None:
        """From now on it should run, or not; carried out by the next tick. A failed one is tried again."""
        with self._lock:
            self._wanted = wanted
            if self._failed or not wanted:
                self._failed, self._failures, self._not_before, self._reason = False, 0, 0.0, ""

    def tick(self) -> None:
        """Let what is and what should be come closer."""
        with self._lock:
            now, life = time.monotonic(), self._life
            if life is None:
                if self._wanted and not self._failed and now >= self._not_before:
                    self._start()
            elif (status := life.process.poll()) is not None:
                self._life = None
                _end_group(life.process)
                for reader in life.readers:
                    reader.join(_LAST_WORDS)  # it may not have come to the reason yet
                self._buried(life, status)
            elif life.kill_at and now > life.kill_at:
                _end_group(life.process)
            elif not self._wanted and not life.kill_at:
                life.kill_at = now + _GRACE
                life.process.terminate()

    def sweep(self) -> None:
        """End what the engine's process left behind."""
        if self._life is not None:
            _end_group(self._life.process)

    def _start(self) -> None:
        if reason := self._missing():
            self._give_up(reason)
            return
        # Hexadecimal: one that began with a hyphen would be an option of the command it is handed to.
        settings, key = self._settings, secrets.token_hex(32)
        local = settings.engine == "llama.cpp"
        port = settings.port if local or settings.port else _free_port()
        # llama.cpp takes a free port itself, and tells which.
        told, tell = os.pipe()
        command, environment = self._llama_cpp(port, tell) if local else self._foreign(port, key)
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(tell,) if local else (),
            start_new_session=True,
        )
        os.close(tell)
        assert process.stdin is not None
        with suppress(OSError), process.stdin as stdin:  # it may have died already
            stdin.write(f"{key}\n".encode() if local else b"")
        life = self._life = _Life(process, key, 0 if local else port)
        reading = (partial(self._read, life), partial(_hear, told, life))
        life.readers = [threading.Thread(target=work, daemon=True) for work in reading]
        for thread in (*life.readers, threading.Thread(target=self._observe, args=(life,), daemon=True)):
            thread.start()
        self._say(f"[llm.{self.name}] starting {settings.engine}")

    def _llama_cpp(self, port: int, tell: int) -> tuple[list[str], dict[str, str]]:
        """Command and environment of our own program around llama.cpp."""
        settings = self._settings
        given = {
            "model": settings.weights,
            "alias": self.name,
            "port": port,
            "context": settings.context_tokens,
            "parallel": settings.parallel,
            "threads": settings.threads,
            "report": tell,
        }
        command = [sys.executable, "-m", "server.supervisor.llama_cpp"]
        command += [part for name, value in given.items() for part in (f"--{name}", str(value))]
        # OpenMP's threads spin while they wait for each other, and a spinning one keeps the core from the one that
        # is waited for: on two busy cores 2 tokens/s, asleep 50.
        return command, {"OMP_WAIT_POLICY": "passive"} | foreign_environment() | {"PYTHONUNBUFFERED": "1"}

    def _foreign(self, port: int, key: str) -> tuple[list[str], dict[str, str]]:
        """Command and environment of what the operator configured."""
        settings = self._settings
        values = {
            "model": settings.model or self.name,
            "model_path": settings.weights if settings.model_path else "",
            "context": settings.context_tokens,
            "threads": settings.threads or os.cpu_count(),
            "parallel": settings.parallel,
            "port": port,
            "key": key,
        }
        parts = [part.format(**values) for part in shlex.split(settings.command)]
        command = [sys.executable, "-m", "server.supervisor.leash", str(os.getpid()), *parts]
        return command, foreign_environment() | {
            "PYTHONUNBUFFERED": "1", "VLLM_API_KEY": key, "LLAMA_API_KEY": key
        }  # fmt: skip

    def _missing(self) -> str:
        """What must be there before a start can be tried."""
        settings = self._settings
        if settings.model_path and not settings.weights.exists():
            return f"model_path: no file {settings.weights}"
        if settings.engine == "llama.cpp" and importlib.util.find_spec("xllamacpp") is None:
            return "llama.cpp needs the package xllamacpp: install the full set (make run FULL=1), or pip install xllamacpp"
        return ""

    def _buried(self, life: _Life, status: int) -> None:
        """Decide what comes after a death."""
        if not self._wanted or life.kill_at:
            self._reason = ""
            self._say(f"[llm.{self.name}] stopped")
            return
        now = time.monotonic()
        served = now - life.ready_at if life.ready_at else 0.0
        self._failures = 1 if served > _STABLE else self._failures + 1
        last = life.output[-1] if life.output else ""
        reason = life.complaint or f"ended with status {status}" + (f": {last}" if last else "")
        hopeless = status == (HOPELESS if self._settings.engine == "llama.cpp" else NO_COMMAND)
        if hopeless:
            reason = life.last_words or last
        if hopeless or self._failures >= (_MAX_CRASHES if life.ready_at else _MAX_UNREADY):
            self._give_up(reason, list(life.output)[-_SHOWN_LINES:])
            return
        pause = min(2 ** (self._failures - 1), _MAX_PAUSE)
        self._not_before, self._reason = now + pause, reason
        self._say(f"[llm.{self.name}] {reason}; starting it again in {pause} s")

    def _give_up(self, reason: str, output: list[str] | None = None) -> None:
        self._failed, self._reason = True, reason
        self._say(
            "\n".join(
                [f"[llm.{self.name}] not available: {reason}", *(f"    {line}" for line in output or [])]
            )
        )

    def _read(self, life: _Life) -> None:
        assert isinstance(life.process.stdout, io.BufferedReader)
        with life.process.stdout as output:
            for raw in _lines(output):
                line = raw.decode("utf-8", "replace").rstrip().replace(life.key, "***")[:_TOLD]
                life.output.append(line)
                if self._loud:
                    self._say(f"[llm.{self.name}] {line}")

    def _observe(self, life: _Life) -> None:
        """Ask after its health for as long as it lives."""
        timeout = self._settings.start_timeout.total_seconds()
        misses = 0
        while life.process.poll() is None:
            if life.port and _is_well(life.port, life.key, self._calm):
                misses = 0
                if life.ready_at is None:
                    life.ready_at = time.monotonic()
                    self._say(f"[llm.{self.name}] ready after {life.ready_at - life.begun:.1f} s")
            elif life.ready_at is None:
                if time.monotonic() - life.begun > timeout:
                    self._end(life, f"was not ready after {timeout:.0f} s (start_timeout)")
            else:
                misses += 1
                if misses >= _MAX_MISSES:
                    self._end(life, f"did not answer {misses} times when asked for its health")
            with suppress(subprocess.TimeoutExpired):
                life.process.wait(self._calm if life.ready_at else _EAGER)

    @staticmethod
    def _end(life: _Life, complaint: str) -> None:
        life.complaint = life.complaint or complaint
        _end_group(life.process)


def _lines(output: io.BufferedIOBase) -> Iterator[bytes]:
    """Lines, as they come; a carriage return ends one too (progress bars). Of one without an end the beginning."""
    rest = b""
    while piece := output.read1(1 << 16):
        *lines, rest = re.split(rb"[\r\n]+", rest + piece)
        yield from lines
        rest = rest[:_KEPT]
    if rest:
        yield rest


def _hear(told: int, life: _Life) -> None:
    """Wait for the port that llama.cpp took, or why it takes none; another program tells nothing."""
    with os.fdopen(told, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    if text.isascii() and text.isdigit():
        life.port = int(text)
    else:
        life.last_words = text[:_TOLD]


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to a process and what it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _is_well(port: int, key: str, patience: float) -> bool:
    """Does it answer? Engines without /health are asked for their models."""
    status = _get(port, "/health", key, patience)
    return status == 200 or (status in (404, 405, 501) and _get(port, "/v1/models", key, patience) == 200)


def _get(port: int, path: str, key: str, patience: float) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()
