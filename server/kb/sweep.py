"""What crashes and races leave behind, taken away when a worker starts. None of it is visible to anybody.

What can be made again is deleted: temporary files, segments, folders of dead parsers. Uploaded content is set aside in
`<data_dir>/orphans` and deleted a week later, because a wrong database URL or an old backup looks just the same.
"""

import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from server.core.threads import Lanes
from server.db.session import Database
from server.kb import repository
from server.kb.files import FileStore
from server.kb.parsing import FOLDER_PREFIX

log = logging.getLogger(__name__)

# A file is written before its row: younger ones may be on their way.
_GRACE = timedelta(hours=1)
_KEEP = timedelta(days=7)
_STORED = ("content/*", "vector_store/*/*")
_PARSER_FOLDER = re.compile(rf"{FOLDER_PREFIX}(\d+)-\w+")


async def sweep(database: Database, files: FileStore, lanes: Lanes) -> int:
    """Remove what no row knows, and say in the log what that was. Returns how many things were set aside."""
    # The disk before the rows: what is stored in between is known, not found.
    found = await lanes.run("io", _list_old, files.data_dir)
    async with database.read() as session:
        known = await repository.list_stored_names(session)
    aside = await lanes.run("io", _remove_unknown, files.data_dir, found, known)
    await lanes.run("io", _remove_expired, files.data_dir / "orphans")
    await lanes.run("io", _remove_parser_folders, Path(tempfile.gettempdir()))
    return aside


def _list_old(data_dir: Path) -> list[Path]:
    """Folders of knowledge bases and the files in them, untouched for an hour; folders first."""
    folders = [folder for folder in data_dir.glob("kb_*") if folder.is_dir()]
    files = [path for folder in folders for kind in _STORED for path in folder.glob(kind)]
    return [path for path in (*folders, *files) if _is_older(path, _GRACE)]


def _remove_unknown(data_dir: Path, found: list[Path], known: set[str]) -> int:
    aside = 0
    for path in found:
        kb_id = path.relative_to(data_dir).parts[0]
        # Content is named after its document, whatever its suffix; of a segment the whole name counts.
        name = path.name.partition(".")[0] if path.parent.name == "content" else path.name
        if not path.exists() or (name in known and kb_id in known):
            continue  # the first: it went with its folder
        with _told("left over", path):
            if path.is_dir() or (path.parent.name == "content" and path.suffix != ".tmp"):
                set_aside(path, data_dir / "orphans", kb_id)
                aside += 1
            else:
                path.unlink(missing_ok=True)
    return aside


def set_aside(path: Path, orphans: Path, kb_id: str) -> None:
    """Move a file or a folder to where it is kept for a week."""
    orphans.mkdir(exist_ok=True)
    target = orphans / f"{kb_id}.{secrets.token_hex(4)}.{path.name}"
    shutil.move(path, target)
    os.utime(target)  # its week begins


def _remove_expired(orphans: Path) -> None:
    for path in orphans.glob("kb_*"):
        if _is_older(path, _KEEP):
            with _told("set aside a week ago", path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _remove_parser_folders(folder: Path) -> None:
    """Folders of parsers whose worker was killed; their children ended with it."""
    for path in folder.glob(f"{FOLDER_PREFIX}*"):
        match = _PARSER_FOLDER.fullmatch(path.name)
        if match and path.lstat().st_uid == os.getuid() and not _is_alive(int(match[1])):
            with _told("of a dead parser", path):
                shutil.rmtree(path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _is_older(path: Path, age: timedelta) -> bool:
    try:
        return time.time() - path.stat().st_mtime > age.total_seconds()
    except FileNotFoundError:  # removed while we looked
        return False


@contextmanager
def _told(why: str, path: Path) -> Iterator[None]:
    """One line in the log for each thing that goes, and for each that would not."""
    try:
        yield
    except OSError as error:
        log.warning("not swept", extra={"path": str(path), "why": why, "reason": error.strerror})
    else:
        log.info("swept", extra={"path": str(path), "why": why})
