"""What must survive a power cut, and what is told when a disk does not take it."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.core.errors import StorageFull
from server.core.i18n import Text

log = logging.getLogger(__name__)

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK_FULL = Text("磁盘空间不足，文件没有保存", "the disk is full; the file was not stored")
_DISK_BROKEN = Text(
    "磁盘读写出错，文件没有保存，请管理员检查磁盘",
    "the disk fails, and the file was not stored; your operator must look at it",
)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storing() -> Iterator[None]:
    """Around writing what somebody wants kept. Raises StorageFull."""
    try:
        yield
    except OSError as error:
        raise storage_refusal(error) from error


def storage_refusal(error: OSError) -> StorageFull:
    """What to tell whoever wanted a file to be kept; what an operator must know of it goes to the log."""
    if error.errno in NO_SPACE:
        return StorageFull(_DISK_FULL)
    log.warning("a file cannot be stored", exc_info=error)
    return StorageFull(_DISK_BROKEN, code="storage_unavailable")
