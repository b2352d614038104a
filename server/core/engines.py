"""What the supervisor says of a local model's engine, and how it is asked: a line of JSON each way on a Unix socket that
only this user can open. The socket is there while a supervisor is responsible for engines."""

import json
import os
import socket
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

# `off`: nobody wants it now. `failed`: given up, `reason` says why.
State = Literal["off", "starting", "ready", "stopping", "failed"]
Order = Literal["list", "start", "stop"]

MAX_LINE = 1024**2
_PATIENCE = 10  # seconds


class SupervisorAway(Exception):
    """No supervisor answers: none was started for engines, or it is another machine's."""


@dataclass(frozen=True, slots=True)
class EngineState:
    """`port` and `key` are where a ready engine speaks OpenAI's protocol, on 127.0.0.1."""

    state: State
    reason: str = ""
    port: int = 0
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def private_folder(folder: Path, *, create: bool = False) -> None:
    """Raises OSError when `folder` is not one that only this user can enter: somebody else could stand behind a socket."""
    if create:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(f"{folder} must be a folder that only its owner, this user, can enter")


def ask_supervisor(path: Path, order: Order, name: str = "") -> dict[str, EngineState]:
    """Give an order, and return the state of every engine; blocks for a moment. Raises SupervisorAway."""
    request = json.dumps({"order": order, "name": name}).encode() + b"\n"
    try:
        private_folder(path.parent)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(path))
            connection.sendall(request)
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline(MAX_LINE))
        return {name: EngineState(**state) for name, state in answer["engines"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SupervisorAway(str(error)) from error
