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
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from server.core.threads import Lanes
from server.db.session import Database
from server.kb import document_repository
from server.kb.files import FileStore
from server.kb.parsing import FOLDER_PREFIX

log = logging.getLogger(__name__)

# A file is written before its row: younger ones may be on their way.
GRACE = timedelta(hours=1)
_KEEP = timedelta(days=7)
_EXPORT = timedelta(days=1)
_STORED = ("content/*", "vector_store/*/*")
_PARSER_FOLDER = re.compile(rf"{FOLDER_PREFIX}(\d+)-\w+")


async def find_left_over(
    database: Database, files: FileStore, lanes: Lanes, grace: timedelta = GRACE
) -> list[Path]:
    """Folders and files of knowledge bases that no row knows, and that nobody has touched for `grace`; folders first."""
    # The disk before the rows: what is stored in between is known, not found.
    found = await lanes.run("io", _list_old, files.data_dir, grace)
    async with database.read() as session:
        known = await document_repository.list_stored_names(session)
    return await lanes.run("io", _unknown, files.data_dir, found, known)


async def sweep(database: Database, files: FileStore, lanes: Lanes, grace: timedelta = GRACE) -> int:
    """Remove what no row knows, and say in the log what that was. Returns how many things were set aside."""
    found = await find_left_over(database, files, lanes, grace)
    aside = await lanes.run("io", _remove, files.data_dir, found)
    await lanes.run("io", _remove_expired, files.data_dir / "orphans")
    await lanes.run("io", _remove_exports, files.data_dir / "packages")
    await lanes.run("io", _remove_parser_folders, Path(tempfile.gettempdir()))
    return aside


def _list_old(data_dir: Path, grace: timedelta) -> list[Path]:
    """Folders of knowledge bases and the files in them, untouched for a while; folders first."""
    folders = [folder for folder in data_dir.glob("kb_*") if folder.is_dir()]
    files = [path for folder in folders for kind in _STORED for path in folder.glob(kind)]
    return [path for path in (*folders, *files) if _is_older(path, grace)]


def _unknown(data_dir: Path, found: list[Path], known: set[str]) -> list[Path]:
    unknown: list[Path] = []
    folders: set[str] = set()
    for path in found:
        kb_id = path.relative_to(data_dir).parts[0]
        # Content is named after its document, whatever its suffix; of a segment the whole name counts.
        is_content = path.parent.name == "content"
        name = path.name.partition(".")[0] if is_content else path.name
        if kb_id in known and name in known and not (is_content and path.suffix == ".tmp"):
            continue
        if path.parent == data_dir:
            folders.add(kb_id)
        elif kb_id in folders:  # it goes with its folder
            continue
        unknown.append(path)
    return unknown


def _remove(data_dir: Path, found: list[Path]) -> int:
    aside = 0
    for path in found:
        if not path.exists():
            continue
        with _told("left over", path):
            if path.is_dir() or (path.parent.name == "content" and path.suffix != ".tmp"):
                set_aside(path, data_dir / "orphans", path.relative_to(data_dir).parts[0])
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


def _remove_exports(folder: Path) -> None:
    """Of exports whose process was killed; somebody may take hours to fetch one."""
    for path in folder.glob("*"):
        if _is_older(path, _EXPORT):
            with _told("of an export", path):
                shutil.rmtree(path)


def _remove_parser_folders(folder: Path) -> None:
    """Folders of parsers whose worker was killed; their children ended with it."""
    for path in folder.glob(f"{FOLDER_PREFIX}*"):
        match = _PARSER_FOLDER.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            # Its owner or another sweep may take it away meanwhile.
            with suppress(FileNotFoundError):
                if path.lstat().st_uid == os.getuid():
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
