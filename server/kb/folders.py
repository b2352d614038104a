"""Folders that an operator fills by hand, and chat2llm's own of old: FOLDER/<knowledge base>/…, or …/content/… in it.

Files in them are copied, never moved or changed. Sub-folders are walked; a document's name is its path with `_` between.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
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


def list_kb_folders(root: Path) -> list[str]:
    """Names of the knowledge bases that have a folder below `root`."""
    if not root.is_dir():
        return []
    return sorted(path.name for path in root.iterdir() if path.is_dir() and _is_wanted(path.name))


def scan_kb_folder(root: Path, kb_name: str) -> Iterator[FoundFile]:
    """The files of a knowledge base, in the order of their names."""
    folder = root / kb_name
    if (folder / "content").is_dir():
        folder /= "content"
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_wanted(name))
        for name in sorted(files):
            if not name.startswith(_SKIPPED_FILES):
                path = Path(parent, name)
                yield FoundFile(path, document_name(path.relative_to(folder).as_posix()))


def find_file(root: Path, kb_name: str, relative: str) -> Path | None:
    """A file that an old database names, wherever it lies; None when it is not there, or not below its folder."""
    for folder in (root / kb_name / "content", root / kb_name):
        with suppress(OSError):  # a name that no file system takes
            path = (folder / relative).resolve()
            if path.is_relative_to(folder.resolve()) and path.is_file():
                return path
    return None


def document_name(relative: str) -> str:
    return relative.replace("/", "_")


def _is_wanted(folder: str) -> bool:
    return not folder.startswith(_SKIPPED_FOLDERS)
