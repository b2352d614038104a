"""Who works with the master key: any number of processes, or one that changes it. The kernel lets go when they die."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.core.errors import Conflict
from server.core.i18n import Text


@contextmanager
def alone_with_key(data_dir: Path) -> Iterator[None]:
    """While the master key is changed. Raises Conflict while anybody else works with it, OSError."""
    path = _lock_file(data_dir)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock_alone(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock_alone(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(
            Text(
                "服务或另一个命令正在使用这个数据目录：先停止服务，再运行 rekey",
                "the server or another command uses this data folder: stop the server, then run rekey",
            )
        ) from None


def _lock_file(data_dir: Path) -> Path:
    return data_dir / "secrets" / "master.lock"
