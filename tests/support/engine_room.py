"""Engines as the supervisor runs them, within a test: ticks in one thread that lives as long as they do."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.core.settings import LLMModelSettings
from server.supervisor.control import serve_orders
from server.supervisor.engines import Engine
from server.supervisor.processes import Supervisor

PROGRAM = f"{sys.executable} -m tests.support.engine_program --port {{port}} --key {{key}}"


def command_engine(how: str = "well", **fields: Any) -> LLMModelSettings:
    """`[llm.NAME]` of a stand-in; its model `echo` answers."""
    command = f"{PROGRAM} --how {how}"
    return LLMModelSettings(**({"engine": "command", "command": command, "model": "echo"} | fields))


class Room:
    """Some engines, and what was said about them."""

    def __init__(self, models: dict[str, LLMModelSettings], socket: Path | None = None) -> None:
        self.said: list[str] = []
        self.engines = {
            name: Engine(name, model, self.said.append, calm=0.2) for name, model in models.items()
        }
        self.supervisor = Supervisor({}, engines=list(self.engines.values()))
        if socket is not None:
            serve_orders(socket, self.engines)

    def wait(self, name: str, state: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.engines[name].state().state != state:
            assert time.monotonic() < deadline, (self.engines[name].state(), self.said)
            time.sleep(0.02)


@contextmanager
def engine_room(models: dict[str, LLMModelSettings], socket: Path | None = None) -> Iterator[Room]:
    """Run engines until the end of the block."""
    room = Room(models, socket)

    def work() -> None:
        room.supervisor.watch()
        room.supervisor.stop()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield room
    finally:
        room.supervisor.stopping.set()
        thread.join(40)
