"""Who works with the master key: any number of processes, or one that changes it. The kernel lets go when they die."""

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from server.core.errors import Conflict
from server.core.i18n import Text

log = logging.getLogger(__name__)

# Seconds that others wait for a rekey to end.
_PATIENCE, _PERIOD = 30.0, 0.1


@asynccontextmanager
async def working_with_key(data_dir: Path, patience: float = _PATIENCE) -> AsyncIterator[None]:
    """While anything works with the master key, or with what it sealed. Raises Conflict when a rekey does not end within
    `patience` seconds."""
    descriptor = _open_shared(data_dir)
    if descriptor is None:
        yield
        return
    try:
        deadline = time.monotonic() + patience
        while not _try_shared(descriptor):
            if time.monotonic() > deadline:
                raise Conflict(
                    Text(
                        "主密钥正在更换，请稍后再试", "the master key is being changed; try again in a moment"
                    )
                )
            await asyncio.sleep(_PERIOD)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone_with_key(data_dir: Path) -> Iterator[None]:
    """While the master key is changed. Raises Conflict while anybody else works with it, OSError."""
    descriptor = _open_lock_file(data_dir)
    try:
        _lock_alone(descriptor)
        yield
    finally:
        os.close(descriptor)


def _open_shared(data_dir: Path) -> int | None:
    """None where there is no lock file and none can be made."""
    try:
        return _open_lock_file(data_dir)
    except OSError as error:
        log.warning(
            "cannot lock the master key: let no `rekey` run beside this process",
            extra={"file": error.filename, "reason": error.strerror},
        )
        return None


def _open_lock_file(data_dir: Path) -> int:
    path = data_dir / "secrets" / "master.lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # what another user made can be locked all the same
        return os.open(path, os.O_RDONLY)


def _try_shared(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
