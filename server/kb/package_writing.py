"""Writing a package: what it will have is put down in a folder first, documents and vectors as links, and then streamed as a zip.

So nobody's slow line holds a session of the database, and what is replaced or deleted meanwhile is still there.
"""

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from server.kb.package_format import Part, to_line

log = logging.getLogger(__name__)

_BLOCK = 1024 * 1024


class PackageDamagedError(Exception):
    """A file is not what its row says: the stream ends here, and no zip comes of it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the package and where it is until then."""

    name: str
    path: Path
    part: Part


@dataclass(slots=True)
class Snapshot:
    """Everything that goes into a package."""

    kb_name: str
    folder: Path
    created_at: datetime
    entries: list[Entry] = field(default_factory=list)

    def write(self, name: str, data: bytes) -> Part:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self._add(name, path, Part(size=len(data), sha256=hashlib.sha256(data).hexdigest()))

    def link(self, name: str, source: Path, sha256: str) -> Part:
        """Raises FileNotFoundError when it is gone."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.hardlink_to(source)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:  # a file system without links
            shutil.copyfile(source, path)
        return self._add(name, path, Part(size=path.stat().st_size, sha256=sha256))

    def begin(self, name: str) -> "Growing":
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return Growing(self, name, path)

    def drop(self, number: str) -> None:
        """Take out what was put down of a document that has changed meanwhile."""
        for entry in [entry for entry in self.entries if Path(entry.name).stem == number]:
            entry.path.unlink(missing_ok=True)
            self.entries.remove(entry)

    def _add(self, name: str, path: Path, part: Part) -> Part:
        self.entries.append(Entry(name, path, part))
        return part


class Growing:
    """A file of lines that is being written."""

    def __init__(self, snapshot: Snapshot, name: str, path: Path) -> None:
        self._snapshot, self._name, self._path = snapshot, name, path
        self._digest, self._size = hashlib.sha256(), 0
        path.unlink(missing_ok=True)
        path.touch()

    def write(self, lines: list[dict[str, Any]]) -> None:
        data = b"".join(map(to_line, lines))
        with self._path.open("ab") as file:
            file.write(data)
        self._digest.update(data)
        self._size += len(data)

    def end(self) -> Part:
        part = Part(size=self._size, sha256=self._digest.hexdigest())
        return self._snapshot._add(self._name, self._path, part)


class _Pipe:
    """What zipfile writes to, and what is taken from it."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._blocks.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to close."""

    def take(self) -> bytes:
        data = b"".join(self._blocks)
        self._blocks, self.size = [], 0
        return data


def stream(snapshot: Snapshot) -> Iterator[bytes]:
    """The zip, about a megabyte at a time. Blocks. Raises PackageDamagedError."""
    pipe = _Pipe()
    when = snapshot.created_at.timetuple()[:6]
    # The manifest first, for whoever looks before all is there.
    first = sorted(snapshot.entries, key=lambda entry: ("/" in entry.name, entry.name != "manifest.json"))
    with zipfile.ZipFile(pipe, "w", allowZip64=True) as archive:
        for entry in first:
            info = zipfile.ZipInfo(entry.name, when)
            is_text = entry.name.endswith((".json", ".jsonl")) and not entry.name.startswith("originals/")
            info.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
            info.file_size = entry.part.size
            info.external_attr = 0o600 << 16
            digest = hashlib.sha256()
            with entry.path.open("rb") as source, archive.open(info, "w") as target:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    target.write(block)
                    if pipe.size >= _BLOCK:
                        yield pipe.take()
            if digest.hexdigest() != entry.part.sha256:
                log.error("package broken off", extra={"kb": snapshot.kb_name, "damaged": entry.name})
                raise PackageDamagedError(entry.name)
            if pipe.size >= _BLOCK:
                yield pipe.take()
    yield pipe.take()
