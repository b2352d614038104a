"""Runs `rekey` again and again on copies of one data folder, killed at its first, second … step; one line of JSON each.

    python -m tests.support.rekey_killed FOLDER [KEY …]

FOLDER holds the data folder `data`. KEYs are tried as `[auth] master_key` of the start after each kill; without one the
key is in files. A step is a change of a file in `secrets/`, its fsync, or the commit. Forks, so that the imports are paid once.
"""

import gc
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from server.cli import load_commands, main

_FILE_EVENTS = {"os.rename", "os.link", "os.remove", "os.chmod", "os.truncate"}


def _die_at(number: int) -> None:
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, values: tuple) -> None:
        if name in _FILE_EVENTS and "secrets" in str(values[0]):
            step()
        if name == "open" and "secrets" in str(values[0]) and (values[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            step()

    sync = os.fsync

    def fsync(descriptor: int) -> None:
        step()
        sync(descriptor)
        step()

    os.fsync = fsync  # type: ignore[assignment]
    event.listen(Engine, "commit", step)
    event.listen(Session, "after_commit", step)
    sys.addaudithook(hook)


def _run(folder: Path, key: str | None, arguments: list[str], kill_at: int = 0) -> int:
    """The exit status; negative when it was killed."""
    if (pid := os.fork()) == 0:
        with (folder / "out").open("ab") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        os.environ["SERVER__DATA_DIR"] = str(folder / "data")
        if key:
            os.environ["AUTH__MASTER_KEY"] = key
        if kill_at:
            _die_at(kill_at)
        status = 99
        try:
            status = main(arguments)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(origin: Path, keys: list[str | None]) -> None:
    # No fork reads the program again, nor walks through what was read.
    load_commands()
    gc.collect()
    gc.freeze()
    work, number, status = origin / "work", 0, -1
    while status < 0:
        number += 1
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        shutil.copytree(origin / "data", work / "data")
        status = _run(work, keys[0], ["rekey"], number)
        started = [_run(work, key, ["client", "list"]) for key in keys]
        # As if nothing had been, once more; now the start with the first key again.
        again = [_run(work, keys[0], arguments) for arguments in (["rekey"], ["client", "list"])]
        said = (work / "out").read_text("utf-8", "replace")
        line = {"step": number, "rekey": status, "started": started, "again": again, "said": said}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()  # or a fork writes it again


if __name__ == "__main__":
    run(Path(sys.argv[1]), [*sys.argv[2:]] or [None])
