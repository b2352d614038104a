"""Snapshots of large FAISS indexes, so that a start need not train and fill them again.

<data_dir>/<kb id>/index/<model and binding>.json      which files, their checksums, what is in them
<data_dir>/<kb id>/index/<model and binding>.<random>.faiss  .npz     the index; the segments and chunk ids in it

A snapshot is a cache: it may be old, as what changed since is brought up to date, and it may be deleted at any time. training.py
writes them, every process reads them.
"""

import hashlib
import json
import logging
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from server.core.durable import sync_folder
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase
from server.kb.vectorstores.base import Ids

log = logging.getLogger(__name__)
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot says of itself. `recall` is what it found of the ten closest, looking at `probes` of its `lists`."""

    index: str
    index_sha256: str
    segments: str
    segments_sha256: str
    dimension: int
    vectors: int
    lists: int
    probes: int
    recall: float
    seconds: float
    format: int = _FORMAT


def snapshot_path(files: FileStore, kb: KnowledgeBase) -> Path:
    """Of its manifest. Another model's has another name."""
    binding = hashlib.sha256(json.dumps(kb.binding, sort_keys=True).encode()).hexdigest()[:12]
    return files.data_dir / kb.id / "index" / f"{binding}.json"


def read_manifest(path: Path) -> Manifest | None:
    """None when there is none, or none that we understand. Blocks."""
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning("snapshot unusable", extra={"path": str(path), "reason": str(error)})
        return None
    return manifest if manifest.format == _FORMAT else None


def read_segments(path: Path, manifest: Manifest) -> dict[str, Ids]:
    """The segments of a snapshot and the ids of their chunks, in order. Raises ValueError, OSError."""
    file = path.parent / manifest.segments
    check_file(file, manifest.segments_sha256)
    with np.load(file, allow_pickle=False) as arrays:
        names, counts, ids = arrays["names"].tolist(), arrays["counts"], arrays["ids"]
    parts = np.split(ids.astype(np.int64), np.cumsum(counts)[:-1]) if len(names) else []
    return dict(zip(names, parts, strict=True))


def check_file(path: Path, sha256: str) -> None:
    """Raises ValueError when it is not the file that was written, OSError."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ValueError(f"{path.name}: the file is not the one that was written")


class SnapshotWriter:
    """Files of a new snapshot, which becomes the one that is read by `commit`."""

    def __init__(self, path: Path) -> None:
        """`path` as `snapshot_path` gives it."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        stem = f"{path.stem}.{secrets.token_hex(4)}"
        self.index, self.segments = path.with_name(f"{stem}.faiss"), path.with_name(f"{stem}.npz")

    def commit(self, segments: dict[str, Ids], **facts: Any) -> Manifest:
        """After the index is written to `self.index`. The files of the one before go."""
        with self.segments.open("wb") as file:
            np.savez(
                file,
                names=np.array(list(segments), dtype=np.str_),
                counts=np.array([len(ids) for ids in segments.values()], dtype=np.int64),
                ids=np.concatenate([*segments.values(), np.empty(0, np.int64)]),
            )
        manifest = Manifest(
            self.index.name, _sealed(self.index), self.segments.name, _sealed(self.segments), **facts
        )
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(manifest)), encoding="utf-8")
        _sealed(temporary)
        temporary.replace(self._path)
        sync_folder(self._path.parent)
        keep = {self.index.name, self.segments.name}
        for old in self._path.parent.glob(f"{self._path.stem}.*.*"):
            if old.name not in keep:
                old.unlink(missing_ok=True)
        return manifest

    def abandon(self) -> None:
        self.index.unlink(missing_ok=True)
        self.segments.unlink(missing_ok=True)


def _sealed(path: Path) -> str:
    """What it hashes to, once it is safe on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def discard(path: Path, manifest: Manifest) -> None:
    """Have one that cannot be used made again, unless somebody has just done so."""
    if read_manifest(path) == manifest:
        path.unlink(missing_ok=True)


def remove_snapshots(folder: Path, keep: Path | None = None) -> None:
    """All of a knowledge base, or all but one."""
    for path in folder.glob("*"):
        if path.name != ".lock" and (keep is None or not path.name.startswith(f"{keep.stem}.")):
            path.unlink(missing_ok=True)
