"""Reading a package that somebody sent: its directory is judged before anything is unpacked, and what is read of it is of the size
and the checksum that it says, or refused. Everything blocks; every method raises Invalid (`bad_package`) or TooLarge.
"""

import hashlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Any, BinaryIO, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from server.core import strict_json
from server.core.durable import storing, sync_folder
from server.core.errors import AppError, TooLarge
from server.core.i18n import Text
from server.kb.files import check_file_name, name_key
from server.kb.loaders import SUFFIXES
from server.kb.package_format import (
    DOCUMENTS,
    MANIFEST,
    QUESTIONS,
    VERSION,
    Manifest,
    PackedDocument,
    PackedQuestion,
    Part,
    bad_package,
    more_name,
)
from server.kb.segments import Vectors

M = TypeVar("M", bound=BaseModel)

_BLOCK = 1024 * 1024
_MAX_ENTRIES, _MAX_DIRECTORY = 400_000, 64 * 1024**2
_MAX_MANIFEST, _MAX_LINES, _MAX_LINE = 8 * 1024**2, 256 * 1024**2, 64 * 1024**2
# Of one document: its passages, and how many they may be.
_MAX_CHUNKS_SIZE, _MAX_CHUNKS = 256 * 1024**2, 500_000
_MAX_QUESTIONS, _MAX_MORE = 10_000, 100_000
# Unpacked, in terms of the package's own limit.
_UNPACKED = 4
_ENCRYPTED = 0x1
# Bytes of the zip64 records at the end.
_LOCATOR, _LARGE_END = 20, 56
# A vector's length may differ from 1 by this.
_TOLERANCE = 1e-2
_HEADER = 4096


class Package:
    """An open package whose directory, manifest and lines are as they should be."""

    def __init__(self, file: BinaryIO, limit: int, max_file_size: int) -> None:
        """`limit`: bytes of the package."""
        self._max_file_size = max_file_size
        with _honest():
            _check_end(file, limit)
            self._archive = zipfile.ZipFile(file)
        self._entries = self._check_directory(limit)
        self.manifest = self._read_manifest()
        self.documents = self._read_documents()
        self.questions = list(self._lines(QUESTIONS, self.manifest.questions, PackedQuestion, _MAX_QUESTIONS))
        self._check_names()

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return sum(entry.file_size for entry in self._entries.values())

    # ── what it is ────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_directory(self, limit: int) -> dict[str, zipfile.ZipInfo]:
        entries = self._archive.infolist()
        by_name = {entry.filename: entry for entry in entries}
        if len(by_name) != len(entries):
            raise bad_package("有重名的条目", "a name stands twice in it")
        if not all(_is_plain(entry) and 0 <= entry.header_offset < limit for entry in entries):
            raise bad_package(
                "含有加密、链接或压缩方式不支持的条目",
                "it has encrypted entries, links, or a strange compression",
            )
        if sum(entry.file_size for entry in entries) > limit * _UNPACKED:
            raise _too_large(limit * _UNPACKED)
        return by_name

    def _read_manifest(self) -> Manifest:
        entry = self._entries.get(MANIFEST)
        if entry is None:
            raise bad_package(
                "缺少 manifest.json，不是本系统导出的知识库包",
                "there is no manifest.json; this is no knowledge base of ours",
            )
        if entry.file_size > _MAX_MANIFEST:
            raise bad_package("manifest.json 过大", "manifest.json is too large")
        with _honest(), self._archive.open(entry) as file:
            data = file.read(_MAX_MANIFEST + 1)
        given = _json(data, MANIFEST)
        version = given.get("version") if isinstance(given, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise bad_package(
                f"格式版本 {version} 比本服务器支持的 {VERSION} 新，请升级服务器",
                f"its format {version} is newer than {VERSION}, which this server reads: update the server",
            )
        return _model(Manifest, given, MANIFEST)

    def _read_documents(self) -> list[PackedDocument]:
        documents = list(self._lines(DOCUMENTS, self.manifest.documents, PackedDocument, _MAX_ENTRIES))
        seen: set[object] = set()
        for document in documents:
            key = (name_key(document.file_name), document.slot)
            if key in seen or document.number in seen:
                raise bad_package(
                    f"文件 {document.file_name} 重复", f"{document.file_name} stands twice in it"
                )
            seen |= {key, document.number}
            self._check_document(document)
        return documents

    def _check_document(self, document: PackedDocument) -> None:
        name = document.file_name
        try:
            is_spelled = check_file_name(name) == name
        except AppError as error:
            raise bad_package(f"{name}：{error.text.zh}", f"{name}: {error.text.en}") from error
        if not is_spelled or suffix_of(name) not in SUFFIXES:
            raise bad_package(f"不支持的文件 {name}", f"{name} is of no kind that is read")
        if document.content.size > self._max_file_size:
            raise _too_large(self._max_file_size)
        if (document.chunks is None) != (document.state != "ready"):
            raise bad_package(
                f"{name} 的段落与状态不符",
                f"{name} has passages and no state for them, or the other way round",
            )
        if document.vectors is not None and document.chunks is None:
            raise bad_package(f"{name} 只有向量没有段落", f"{name} has vectors and no passages")
        if document.chunks is not None and document.chunks.size > _MAX_CHUNKS_SIZE:
            raise _too_large(_MAX_CHUNKS_SIZE)
        if document.custom is not None and document.custom.size > _MAX_LINE:
            raise _too_large(_MAX_LINE)

    def _check_names(self) -> None:
        """What is said to be there is there, of the size that is said, and nothing else is."""
        wanted = {DOCUMENTS: self.manifest.documents, QUESTIONS: self.manifest.questions}
        wanted |= {more_name(name): part for name, part in self.manifest.more.items()}
        for document in self.documents:
            wanted |= document.names(suffix_of(document.file_name))
        if odd := sorted(wanted.keys() ^ (self._entries.keys() - {MANIFEST})):
            shown = ascii(odd[0][:100])
            raise bad_package(f"条目 {shown} 多余或缺失", f"{shown} is missing, or nothing knows it")
        for name, part in wanted.items():
            if self._entries[name].file_size != part.size:
                raise bad_package(f"{name} 大小不符", f"{name} is not of the size that was said")

    # ── what is in it ─────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, name: str, part: Part) -> bytes:
        """A file of it whole; its size was looked at."""
        target = io.BytesIO()
        self._copy(name, part, target)
        return target.getvalue()

    def extract(self, name: str, part: Part, target: Path) -> None:
        """Put a file of it somewhere, durably. Raises StorageFull."""
        with storing():
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                self._copy(name, part, file)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(target.parent)

    def rows(self, name: str, part: Part) -> list[dict[str, Any]]:
        """The lines of a document's passages."""
        found: list[dict[str, Any]] = []
        for line in self.read(name, part).splitlines():
            row = _json(line, name)
            if not isinstance(row, dict) or len(found) >= _MAX_CHUNKS:
                raise bad_package(f"{name} 有误", f"{name} cannot be read")
            found.append(row)
        return found

    def more(self, name: str) -> list[Any]:
        """The lines that another part of the server keeps; none when the package has nothing of it."""
        part = self.manifest.more.get(name)
        if part is None:
            return []
        if part.size > _MAX_LINES:
            raise _too_large(_MAX_LINES)
        lines = self.read(more_name(name), part).splitlines()
        if len(lines) > _MAX_MORE:
            raise bad_package(f"{more_name(name)} 行数过多", f"{more_name(name)} has too many lines")
        return [_json(line, more_name(name)) for line in lines]

    def json(self, name: str, part: Part) -> Any:
        return _json(self.read(name, part), name)

    def vectors(self, name: str, part: Part, rows: int, dimension: int) -> Vectors:
        """Unit vectors, as many as there are passages."""
        bad = bad_package(f"{name} 的向量有误", f"the vectors of {name} are not what they should be")
        if not 0 <= part.size - rows * dimension * 4 <= _HEADER:
            raise bad
        data = io.BytesIO(self.read(name, part))
        try:
            if np.lib.format.read_magic(data) != (1, 0):
                raise bad
            shape, fortran, kind = np.lib.format.read_array_header_1_0(data)
            if (shape, fortran, kind) != ((rows, dimension), False, np.dtype("<f4")):
                raise bad
            if part.size - data.tell() != rows * dimension * 4:
                raise bad
            matrix: Vectors = np.frombuffer(data.getbuffer()[data.tell() :], dtype="<f4").reshape(shape)
        except ValueError:
            raise bad from None
        lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
        # Not so of NaN either.
        if not (np.abs(lengths - 1) <= _TOLERANCE).all():
            raise bad
        return matrix

    def close(self) -> None:
        self._archive.close()

    def _lines(self, name: str, part: Part, kind: type[M], most: int) -> Iterator[M]:
        entry = self._entries.get(name)
        if entry is None or entry.file_size != part.size:
            raise bad_package(f"{name} 缺失或大小不符", f"{name} is missing or not of the size that was said")
        if part.size > _MAX_LINES:
            raise _too_large(_MAX_LINES)
        for number, line in enumerate(self.read(name, part).splitlines(), 1):
            if number > most:
                raise bad_package(f"{name} 行数过多", f"{name} has too many lines")
            yield _model(kind, _json(line, name), f"{name}:{number}")

    def _copy(self, name: str, part: Part, target: IO[bytes]) -> None:
        digest, size = hashlib.sha256(), 0
        with _honest():
            source = self._archive.open(self._entries[name])
        with source:
            while block := _read_block(source):
                digest.update(block)
                size += len(block)
                if size > part.size:
                    break
                target.write(block)
        if size != part.size or digest.hexdigest() != part.sha256:
            raise bad_package(f"{name} 与校验和不符", f"{name} is not what its checksum says")


def _read_block(source: IO[bytes]) -> bytes:
    with _honest():
        return source.read(_BLOCK)


def suffix_of(file_name: str) -> str:
    return PurePath(file_name).suffix.lower()


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    return (
        entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        and not entry.flag_bits & _ENCRYPTED
        and not stat.S_ISLNK(entry.external_attr >> 16)
        and not entry.is_dir()
    )


_DAMAGED = (
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
)


@contextmanager
def _honest() -> Iterator[None]:
    """Whatever zipfile finds wrong while it reads."""
    try:
        yield
    except _DAMAGED as error:
        raise bad_package("压缩包已损坏", "the zip is damaged") from error


def _check_end(file: BinaryIO, limit: int) -> None:
    """How large the directory is, before it is read into memory."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    if size > limit:
        raise _too_large(limit)
    start = max(0, size - 65_557)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < 22:
        raise bad_package("不是 zip 文件", "this is no zip")
    entries, directory = struct.unpack_from("<HI", tail, place + 10)
    large = _large_end(file, start + place)
    entries, directory = large or (entries, directory)
    if entries > _MAX_ENTRIES or directory > _MAX_DIRECTORY:
        raise _too_large(_MAX_DIRECTORY)
    file.seek(0)


def _large_end(file: BinaryIO, end: int) -> tuple[int, int] | None:
    """What the zip64 record says, if there is one. zipfile takes the one right before its locator, which must point to it."""
    if end < _LOCATOR:
        return None
    file.seek(end - _LOCATOR)
    locator = file.read(_LOCATOR)
    if not locator.startswith(b"PK\x06\x07"):
        return None
    place = end - _LOCATOR - _LARGE_END
    (offset,) = struct.unpack_from("<Q", locator, 8)
    if place < 0 or offset != place:
        raise bad_package("压缩包已损坏", "the zip is damaged")
    file.seek(place)
    record = file.read(_LARGE_END)
    if not record.startswith(b"PK\x06\x06"):
        raise bad_package("压缩包已损坏", "the zip is damaged")
    entries, directory = struct.unpack_from("<QQ", record, 32)
    return entries, directory


def _json(data: bytes, name: str) -> Any:
    if len(data) > _MAX_LINE:
        raise _too_large(_MAX_LINE)
    try:
        return strict_json.loads(data)
    except strict_json.StrictJSONError as error:
        raise bad_package(f"{name} 不是合法的 JSON：{error}", f"{name} is not valid JSON: {error}") from None


def _model(kind: type[M], given: Any, name: str) -> M:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise bad_package(f"{name} 的 {where}：{first['msg']}", f"{name}, {where}: {first['msg']}") from None


def _too_large(limit: int) -> TooLarge:
    megabytes = limit // 1024**2
    return TooLarge(
        Text(f"知识库包超出限制：{megabytes} MB", f"the package is beyond a limit of {megabytes} MB")
    )
