"""Names that people give, and the files behind them. Nothing here trusts a name: on disk a document lies under its id.

<data_dir>/<kb id>/content/<document id><suffix>             the bytes as they came
<data_dir>/<kb id>/vector_store/<model>/<document id>.<random>.npy    its vectors, see segments.py
"""

import glob
import hashlib
import logging
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from server.core.durable import storing, sync_folder
from server.core.errors import BadKBName, BadRequest, StorageFull, TooLarge
from server.core.i18n import Text
from server.kb.models import Document
from server.kb.segments import SegmentError, read_segment

log = logging.getLogger(__name__)

# Of each part of a document's name, as file systems limit it, and of the whole, as the table does.
MAX_FILE_NAME_BYTES, MAX_FILE_NAME = 200, 255
MAX_KB_NAME = 64
# In place of a model's name: whatever model.
ANY_MODEL = "*"
# Unless the settings say otherwise: below this the disk counts as full.
MIN_FREE = 512 * 1024**2
# Tries to remove a folder that others may still be writing to.
_REMOVALS = 5

_KB_NAME = re.compile(r"[\w\- ]+")
_SEPARATORS = re.compile(r'[\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def check_kb_name(name: str) -> str:
    """Letters, digits, `_`, `-` and inner spaces, 1 to 64 characters. Raises BadKBName."""
    if (
        not 1 <= len(name) <= MAX_KB_NAME
        or not _KB_NAME.fullmatch(name)
        or name != name.strip()
        or "\n" in name
        or _RESERVED.fullmatch(name)
    ):
        raise BadKBName(name)
    return name


def check_file_name(name: str) -> str:
    """Return the name in NFC, or raise BadRequest.

    It may stand in folders, `2024/年假.txt`; no part of it is empty or of dots only, invisible, or reserved by a system.
    """
    name = unicodedata.normalize("NFC", name)
    for part in name.split("/"):
        _check_part(part)
    if max(len(name), len(name_key(name))) > MAX_FILE_NAME:
        raise BadRequest(
            Text(
                f"文件名连同文件夹过长：最多 {MAX_FILE_NAME} 个字符",
                f"file name too long with its folders: at most {MAX_FILE_NAME} characters",
            ),
            code="name_too_long",
        )
    return name


def _check_part(name: str) -> None:
    edges = not name.strip(" .") or name != name.strip(" ") or name.endswith(".")
    invisible = any(unicodedata.category(character) in _INVISIBLE for character in name)
    if _RESERVED.fullmatch(name):
        raise BadRequest(
            Text(
                f"文件名 {name} 是系统保留名，请改名后再上传",
                f"{name} is a name that systems reserve; rename the file and upload it again",
            ),
            code="bad_filename",
        )
    if edges or invisible or _SEPARATORS.search(name):
        raise BadRequest(
            Text(
                '文件名不合法：不能含有控制字符或 \\ : * ? " < > |，不能以 / 开头，各级名称不能为空、不能只有点，也不能以点或空格结尾',
                'bad file name: no control characters, none of \\ : * ? " < > |, no / at its start, no part that is empty, of dots '
                "only, or with a dot or a space at its end",
            ),
            code="bad_filename",
        )
    if len(name.encode()) > MAX_FILE_NAME_BYTES:
        raise BadRequest(
            Text(
                f"文件名过长：最多 {MAX_FILE_NAME_BYTES} 字节",
                f"file name too long: at most {MAX_FILE_NAME_BYTES} bytes",
            ),
            code="name_too_long",
        )


def name_key(name: str) -> str:
    """The name as file systems that ignore case would compare it."""
    return unicodedata.normalize("NFC", name.casefold())


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is safe on disk."""

    path: Path
    size: int
    sha256: str


class FileStore:
    """The folder of all knowledge bases. Every method blocks; call it from the `io` lane."""

    def __init__(self, data_dir: Path, min_free: int = MIN_FREE) -> None:
        """`min_free`: bytes of disk below which no upload is taken; the rest goes on."""
        self.data_dir, self._min_free = data_dir, min_free

    def check_room(self, size: int = 0) -> None:
        """Raises StorageFull when so many bytes are to be refused before anything is written."""
        if self.free() < size + self._min_free:
            raise StorageFull(_nearly_full(self._min_free))

    def free(self) -> int:
        """Bytes that may be written."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.data_dir).free

    def content_path(self, kb_id: str, document_id: str, suffix: str) -> Path:
        return self.data_dir / kb_id / "content" / f"{document_id}{suffix}"

    def segment_path(self, kb_id: str, model: str, segment: str) -> Path:
        return self.data_dir / kb_id / "vector_store" / model / segment

    def save(self, source: BinaryIO, target: Path, limit: int | None = None) -> StoredFile:
        """Copy an upload to `target` durably. Raises StorageFull before or while the disk fills up, TooLarge past `limit` bytes."""
        self.check_room()
        with storing():
            sha256, size = write_file(target, source, limit)
        return StoredFile(target, size, sha256)

    def copy_content(self, kb_id: str, document_id: str, suffix: str, copy_id: str) -> None:
        """Give a document's bytes to its next version too; both names stand for one file. Raises FileNotFoundError."""
        source = self.content_path(kb_id, document_id, suffix)
        target = self.content_path(kb_id, copy_id, suffix)
        try:
            target.hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            with source.open("rb") as file:
                write_file(target, file)
        os.utime(target)  # young, as the sweep takes what has no row yet
        sync_folder(target.parent)

    def hash_file(self, path: Path) -> str:
        """SHA-256 of what is in it."""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def is_intact(self, content: Path, sha256: str, segment: Path, segment_sha256: str) -> bool:
        """Are a document's bytes and its vectors those that were written?"""
        try:
            same = self.hash_file(content) == sha256
            read_segment(segment, segment_sha256)
        except (OSError, SegmentError):
            return False
        return same

    def remove_documents(self, documents: Iterable[Document]) -> None:
        """Remove their files, whatever models their vectors are of. They are invisible already: what cannot be removed is left to
        the sweep."""
        for row in documents:
            remove_file(self.content_path(row.kb_id, row.id, row.suffix))
            self.remove_segments(row.kb_id, ANY_MODEL, row.id)

    def remove_segments(self, kb_id: str, model: str, document_id: str, keep: str | None = None) -> None:
        """Remove a document's vectors, of every attempt but the one whose segment is `keep`; beside that, another process may be
        writing one."""
        folder = ANY_MODEL if model == ANY_MODEL else glob.escape(model)
        for path in (self.data_dir / kb_id / "vector_store").glob(f"{folder}/{document_id}.*"):
            if path.name != keep and (keep is None or path.suffix != ".tmp"):
                remove_file(path)

    def remove_kb(self, kb_id: str) -> None:
        """Remove a deleted knowledge base's folder. It is invisible already: what cannot be removed is left to the sweep."""
        folder = self.data_dir / kb_id
        for _ in range(_REMOVALS):
            if not folder.exists():
                return
            # An upload or the worker, which do not know yet, may be writing there.
            shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            log.warning("folder not removed", extra={"folder": kb_id})


def remove_file(path: Path) -> None:
    """Remove what no row knows; what cannot be removed now is left to the sweep."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("file not removed", extra={"file": path.name, "reason": error.strerror})


def write_file(target: Path, source: BinaryIO, limit: int | None = None) -> tuple[str, int]:
    """Copy to `target` durably: after a crash there is the whole file or none. Returns what it hashes to, and its size.

    Raises TooLarge past `limit` bytes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            sha256, size = _copy(source, file, limit)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    except BaseException:
        remove_file(temporary)
        raise
    return sha256, size


def _copy(source: BinaryIO, target: BinaryIO, limit: int | None) -> tuple[str, int]:
    """Returns what it hashes to, and its size, which may be another than it was said to have. Raises TooLarge."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(1024 * 1024):
        digest.update(block)
        size += len(block)
        if limit is not None and size > limit:
            megabytes = limit // 1024**2
            raise TooLarge(Text(f"文件超过 {megabytes} MB", f"the file is larger than {megabytes} MB"))
        target.write(block)
    return digest.hexdigest(), size


def _nearly_full(least: int) -> Text:
    megabytes = least // 1024**2
    return Text(
        f"磁盘剩余空间不足 {megabytes} MB，暂不接收文件；检索、问答和删除照常。请管理员腾出空间",
        f"less than {megabytes} MB of disk are left: no files are taken until your operator makes room; searching, asking and "
        "deleting go on",
    )
