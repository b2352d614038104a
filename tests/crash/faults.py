"""Every step that leaves something behind, counted; the one of a number fails, or the process is as if killed there.

Steps are changes of files below a folder (opened for writing, written, synced, renamed, linked, removed, folders made and removed),
statements that write to the database, and commits. Nothing in the product knows of this: Python's audit events, `os.fsync`,
`Path.open` and SQLAlchemy's events are where they pass.
"""

import errno
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

_CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
_WRITES = ("INSERT", "UPDATE", "DELETE")
_WORDS = {errno.ENOSPC: "database or disk is full", errno.EIO: "disk I/O error"}


class Killed(BaseException):
    """From here on nothing is written: the process is dead, though it does not know."""


class Faults:
    """Lets steps pass up to `at`. With `code` that one fails with it; without, it and all that follow do not happen."""

    def __init__(self, folder: Path, at: int, code: int | None, *, statements: bool) -> None:
        self.folder, self.at, self.code, self.statements = str(folder), at, code, statements
        self.steps: list[str] = []
        self._lock = threading.Lock()
        self.committing: set[int] = set()

    @property
    def has_struck(self) -> bool:
        return len(self.steps) >= self.at

    def step(self, what: str) -> None:
        """Raises OSError or Killed."""
        with self._lock:
            if self.code is None and self.has_struck:
                raise Killed(what)
            self.steps.append(what)
            is_it = len(self.steps) == self.at
        if is_it:
            if self.code is None:
                raise Killed(what)
            raise OSError(self.code, os.strerror(self.code), what)

    def is_ours(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder)


class Death(Faults):
    """The process itself ends at that step, with no time for anything."""

    def step(self, what: str) -> None:
        with self._lock:
            self.steps.append(what)
            if self.has_struck:
                os.kill(os.getpid(), signal.SIGKILL)


_now: Faults | None = None


def die_at(folder: Path, at: int) -> None:
    """From here to the end of this process."""
    global _now
    _install()
    _now = Death(folder, at, None, statements=False)


@contextmanager
def faults(folder: Path, at: int, code: int | None, *, statements: bool = False) -> Iterator[Faults]:
    """`statements`: each that writes is a step of its own; else only the commit that would keep it."""
    global _now
    _install()
    _now = given = Faults(folder, at, code, statements=statements)
    try:
        yield given
    finally:
        _now = None


_installed = False


def _install() -> None:
    global _installed
    if _installed:
        return
    _installed = True
    sys.addaudithook(_audit)
    sync, open_path = os.fsync, Path.open

    def fsync(descriptor: int) -> None:
        if _now is not None:
            _now.step("fsync")
        sync(descriptor)

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = open_path(path, mode, *rest, **options)
        return _Writing(file) if _now is not None and "w" in mode and _now.is_ours(path) else file

    os.fsync = fsync  # type: ignore[assignment]
    Path.open = opened  # type: ignore[method-assign,assignment]
    event.listen(Engine, "before_cursor_execute", _statement)
    event.listen(Engine, "commit", _commit)
    event.listen(Session, "after_commit", _committed)


class _Writing:
    """A file whose writing is a step."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        if _now is not None:
            _now.step("write")
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Writing":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _audit(name: str, values: tuple) -> None:
    if _now is None:
        return
    if (name in _CHANGES and _now.is_ours(values[0])) or (
        name == "open" and _now.is_ours(values[0]) and (values[2] or 0) & (os.O_WRONLY | os.O_RDWR)
    ):
        _now.step(name)


def _statement(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if statement.lstrip().upper().startswith(_WRITES):
        connection.info["wrote"] = True
        if _now is not None and _now.statements:
            _of_database(statement.split(None, 3)[:3])


def _commit(connection: Any) -> None:
    if connection.info.pop("wrote", False):
        _of_database(["COMMIT"])
        if _now is not None:
            _now.committing.add(threading.get_ident())


def _committed(_session: Any) -> None:
    """In the same greenlet's thread, right after the commit that wrote something."""
    if _now is not None and threading.get_ident() in _now.committing:
        _now.committing.discard(threading.get_ident())
        if _now.code is None:
            _now.step("committed")


def _of_database(words: list[str]) -> None:
    if _now is None:
        return
    what = " ".join(words)
    try:
        _now.step(what)
    except OSError as error:
        said = sqlite3.OperationalError(_WORDS[error.errno or errno.EIO])
        raise OperationalError(what, None, said) from None
