"""Names that people give, and the files behind them. Nothing here trusts a name: on disk a document lies under its id.

<data_dir>/<kb id>/content/<document id><suffix>             the bytes as they came
<data_dir>/<kb id>/vector_store/<model>/<document id>.<random>.npy    its vectors, see segments.py
"""

import errno
import glob
import hashlib
import logging
import os
import re
import shutil
import unicodedata
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from server.core.durable import sync_folder
from server.core.errors import BadKBName, BadRequest, Invalid, StorageFull, TooLarge, UnsupportedFile
from server.core.i18n import Text
from server.kb.segments import SegmentError, read_segment

log = logging.getLogger(__name__)

# Of each part of a document's name, as file systems limit it, and of the whole, as the table does.
MAX_FILE_NAME_BYTES, MAX_FILE_NAME = 200, 255
MAX_KB_NAME = 64
# In place of a model's name: whatever model.
ANY_MODEL = "*"
# Below this the disk counts as full: uploads are refused before anything is written.
MIN_FREE_BYTES = 512 * 1024**2
# Tries to remove a folder that others may still be writing to.
_REMOVALS = 5

_KB_NAME = re.compile(r"[\w\- ]+")
_SEPARATORS = re.compile(r'[\\:*?"<>|]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# The part that makes a zip a document of Office.
_OFFICE_PARTS = {".docx": "word/document.xml", ".xlsx": "xl/workbook.xml", ".pptx": "ppt/presentation.xml"}
_OTHER_ZIPS = {".epub", ".odt"}
_OLE_SUFFIXES = {".msg"}


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


def check_type(path: Path, suffix: str, size: int) -> None:
    """Does the content look like its suffix says? Raises Invalid (empty) or UnsupportedFile (another type)."""
    if size == 0:
        raise Invalid(Text("文件是空的（0 字节）", "the file is empty (0 bytes)"), code="empty_file")
    with path.open("rb") as file:
        head = file.read(4096)
    if not _looks_like(head, path, suffix):
        raise UnsupportedFile(
            Text(
                f"文件内容不是 {suffix} 格式，请检查扩展名",
                f"the content is not {suffix}; check the file's extension",
            ),
            code="type_mismatch",
        )


def _looks_like(head: bytes, path: Path, suffix: str) -> bool:
    is_zip, is_ole = head.startswith(b"PK\x03\x04"), head.startswith(_OLE)
    if suffix == ".pdf":
        return b"%PDF-" in head[:1024]
    if suffix in _OFFICE_PARTS:
        # An encrypted Office file is an OLE container; the loader says so.
        return is_ole or (is_zip and _has_part(path, _OFFICE_PARTS[suffix]))
    if suffix in _OTHER_ZIPS:
        return is_zip
    if suffix in _OLE_SUFFIXES:
        return is_ole
    return not (
        is_zip or is_ole or head.startswith((b"%PDF-", b"\x7fELF", b"MZ\x90", b"\x89PNG", b"\xff\xd8\xff"))
    ) and (head.startswith((b"\xff\xfe", b"\xfe\xff")) or head.count(0) * 100 <= len(head))


def _has_part(path: Path, part: str) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return part in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        # Damaged rather than mistyped: the loader finds out and says so.
        return True


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is safe on disk."""

    path: Path
    size: int
    sha256: str


class FileStore:
    """The folder of all knowledge bases. Every method blocks; call it from the `io` lane."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def content_path(self, kb_id: str, document_id: str, suffix: str) -> Path:
        return self.data_dir / kb_id / "content" / f"{document_id}{suffix}"

    def segment_path(self, kb_id: str, model: str, segment: str) -> Path:
        return self.data_dir / kb_id / "vector_store" / model / segment

    def save(self, source: BinaryIO, target: Path, limit: int | None = None) -> StoredFile:
        """Copy an upload to `target` durably. Raises StorageFull before or while the disk fills up, TooLarge past `limit` bytes."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < MIN_FREE_BYTES:
            raise StorageFull(_DISK_FULL)
        temporary = target.with_name(target.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                sha256, size = _copy(source, file, limit)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno not in _NO_SPACE:
                raise
            raise StorageFull(_DISK_FULL) from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
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
            shutil.copyfile(source, target)
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

    def remove_document(self, kb_id: str, model: str, document_id: str, suffix: str) -> None:
        """Remove a document's files; those that are gone already are no fault."""
        self.content_path(kb_id, document_id, suffix).unlink(missing_ok=True)
        self.remove_segments(kb_id, model, document_id)

    def remove_everywhere(self, kb_id: str, document_id: str, suffix: str) -> None:
        """The same, whatever models its vectors are of."""
        self.remove_document(kb_id, ANY_MODEL, document_id, suffix)

    def remove_segments(self, kb_id: str, model: str, document_id: str, keep: str | None = None) -> None:
        """Remove a document's vectors, of every attempt but the one whose segment is `keep`."""
        folder = ANY_MODEL if model == ANY_MODEL else glob.escape(model)
        for path in (self.data_dir / kb_id / "vector_store").glob(f"{folder}/{document_id}.*"):
            if path.name != keep:
                path.unlink(missing_ok=True)

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


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DISK_FULL = Text("磁盘空间不足，文件没有保存", "the disk is full; the file was not stored")
