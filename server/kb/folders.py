"""Folders that an operator fills by hand, and chat2llm's own of old: FOLDER/<knowledge base>/…, or …/content/… in it.

Files in them are copied, never moved or changed. Sub-folders are walked; a document's name is its path below the folder, with `/`.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Of folders that are nobody's documents.
_SKIPPED_FOLDERS = (".", "tmp", "temp")
# Of files: those that Office has open, and hidden ones.
_SKIPPED_FILES = (".", "~$")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file, and what its document is called."""

    path: Path
    name: str
    # Why it is none that could be taken; empty: it is.
    fault: str = ""


def list_kb_folders(root: Path) -> list[str]:
    """Names of the knowledge bases that have a folder below `root`."""
    if not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if path.is_dir() and _is_wanted(path.name))


def scan_kb_folder(root: Path, kb_name: str) -> Iterator[FoundFile]:
    """What lies in the folder of a knowledge base, in the order of names. Links are not followed."""
    folder = root / kb_name
    if (folder / "content").is_dir():
        folder /= "content"
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if _is_wanted(name))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in sorted([*links, *(name for name in files if not name.startswith(_SKIPPED_FILES))]):
            yield _look_at(folder, Path(parent, name).relative_to(folder).as_posix())
    for error in unreadable:
        path = Path(error.filename)
        if path != folder or path.exists():
            yield FoundFile(path, path.relative_to(folder).as_posix(), error.strerror or str(error))


def find_file(root: Path, kb_name: str, relative: str) -> FoundFile:
    """A file that an old database names, wherever it lies."""
    folders = (root / kb_name / "content", root / kb_name)
    found = [_look_at(folder, relative) for folder in folders]
    missing = FoundFile(folders[0], relative, f"there is no such file under {folders[0]}")
    return next((file for file in found if os.path.lexists(file.path)), missing)


def _look_at(folder: Path, relative: str) -> FoundFile:
    path = folder / relative
    return FoundFile(path, relative, _fault(folder, path))


def _fault(folder: Path, path: Path) -> str:
    try:
        mode = path.lstat().st_mode
        is_inside = path.resolve().is_relative_to(folder.resolve())
    except OSError as error:
        return error.strerror or str(error)
    if stat.S_ISLNK(mode):
        return "a link, which is not followed; put the file itself there"
    if not stat.S_ISREG(mode):
        return "this is no file"
    return "" if is_inside else f"it does not lie in {folder}"


def _is_wanted(folder: str) -> bool:
    return not folder.startswith(_SKIPPED_FOLDERS)
