"""Office files that are not what they say: judged before a parser opens them."""

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import docx
import openpyxl
import pptx
import pytest

from server.kb.loaders.base import LoadLimits
from tests.kb.loaders.reading import LIMITS, read, refused, write

SUFFIXES = [".docx", ".xlsx", ".pptx"]


def _valid(path: Path) -> Path:
    if path.suffix == ".docx":
        document = docx.Document()
        document.add_paragraph("正文")
        document.save(str(path))
    elif path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        sheet: Any = book.active
        sheet.append(["正文"])
        book.save(path)
    else:
        show = pptx.Presentation()
        show.slides.add_slide(show.slide_layouts[5]).shapes.title.text = "正文"
        show.save(str(path))
    return path


def _main_part(suffix: str) -> str:
    return {
        ".docx": "word/document.xml",
        ".xlsx": "xl/worksheets/sheet1.xml",
        ".pptx": "ppt/slides/slide1.xml",
    }[suffix]


def _rebuild(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def _declare(path: Path, name: str, size: int) -> None:
    """Overwrite the size that the directory declares for an entry."""
    data = bytearray(path.read_bytes())
    position = data.index(b"PK\1\2")
    while data[position + 46 : position + 46 + len(name)] != name.encode():
        position = data.index(b"PK\1\2", position + 4)
    struct.pack_into("<I", data, position + 24, size)
    path.write_bytes(data)


@pytest.fixture(params=SUFFIXES)
def valid(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = _valid(tmp_path / f"a{request.param}")
    assert read(path)[0].page_content == "正文"
    return path


def test_declared_sizes_decide(valid: Path) -> None:
    with ZipFile(valid) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    assert read(valid, LoadLimits(max_unpacked_size=size))
    assert refused(valid, LoadLimits(max_unpacked_size=size - 1)) == "archive_limit"


def test_bomb_is_refused_without_unpacking(valid: Path) -> None:
    _declare(valid, _main_part(valid.suffix), 0xFFFF_FFF0)
    assert refused(valid) == "archive_limit"


def test_understated_size_stops_the_reading(valid: Path) -> None:
    """A part of 200 MB that declares 1,000 bytes: no more than those are unpacked, then it is refused."""

    def grow(parts: dict[str, bytes]) -> None:
        parts[_main_part(valid.suffix)] += b" " * 200_000_000

    _declare(_rebuild(valid, grow), _main_part(valid.suffix), 1000)
    assert refused(valid, LoadLimits(max_unpacked_size=10_000_000)) in ("bad_archive", "parse_error")


@pytest.mark.parametrize(("count", "is_read"), [(2000, True), (2001, False), (70_000, False)])
def test_too_many_entries(tmp_path: Path, count: int, is_read: bool) -> None:
    def crowd(parts: dict[str, bytes]) -> None:
        parts.update({f"junk/{number}": b"" for number in range(count - len(parts))})

    path = _rebuild(_valid(tmp_path / "a.docx"), crowd)
    if is_read:
        assert read(path)
    else:
        assert refused(path) == "archive_limit"


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!-- first --> <!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        "<!--" + "x" * 200_000 + '--><!DOCTYPE a [<!ENTITY b "c">]>',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_dtd_is_forbidden(valid: Path, doctype: str, encoding: str) -> None:
    def add(parts: dict[str, bytes]) -> None:
        text = parts[_main_part(valid.suffix)].decode().split("?>", 1)[-1].strip()
        parts[_main_part(valid.suffix)] = (
            f'<?xml version="1.0" encoding="{encoding}"?>{doctype}{text}'.encode(encoding)
        )

    assert refused(_rebuild(valid, add)) == "xml_forbidden"


def test_dtd_is_forbidden_in_parts_of_any_name(valid: Path) -> None:
    def add(parts: dict[str, bytes]) -> None:
        parts["custom/data.bin"] = b'\n<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'

    assert refused(_rebuild(valid, add)) == "xml_forbidden"


@pytest.mark.parametrize(
    "name", ["../evil.xml", "a/../../evil.xml", "/etc/evil.xml", "..\\evil.xml", "C:\\evil.xml"]
)
def test_paths_that_leave_the_archive(valid: Path, name: str) -> None:
    assert refused(_rebuild(valid, lambda parts: parts.update({name: b"x"}))) == "bad_archive"


def test_duplicate_entries(valid: Path) -> None:
    with ZipFile(valid, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(_main_part(valid.suffix), b"<a/>")
    assert refused(valid) == "bad_archive"


def test_symbolic_links(valid: Path) -> None:
    entry = ZipInfo("link.xml")
    entry.create_system = 3
    entry.external_attr = 0o120777 << 16
    with ZipFile(valid, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert refused(valid) == "bad_archive"


def test_encrypted_entries(valid: Path) -> None:
    data = bytearray(valid.read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    assert refused(write(valid, bytes(data))) == "bad_archive"


def test_unusual_compression(valid: Path) -> None:
    with ZipFile(valid, "a") as archive:
        archive.writestr("x.bin", b"x", ZIP_BZIP2)
    assert refused(valid) == "bad_archive"


def test_damaged_entries(valid: Path) -> None:
    data = bytearray(valid.read_bytes())
    start = data.index(_main_part(valid.suffix).encode()) + 40
    data[start : start + 60] = b"\xff" * 60
    assert refused(write(valid, bytes(data))) in ("bad_archive", "parse_error")


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_truncated(valid: Path, keep: float) -> None:
    data = valid.read_bytes()
    assert refused(write(valid, data[: int(len(data) * keep)])) in ("bad_archive", "parse_error")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_content(tmp_path: Path, suffix: str) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1000
    assert (
        refused(write(tmp_path / f"a{suffix}", ole + "EncryptedPackage".encode("utf-16-le"))) == "encrypted"
    )
    assert refused(write(tmp_path / f"b{suffix}", ole + "WordDocument".encode("utf-16-le"))) == "parse_error"
    assert refused(write(tmp_path / f"c{suffix}", b"")) == "parse_error"
    assert refused(write(tmp_path / f"d{suffix}", b"<html></html>")) == "parse_error"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_archive_of_something_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refused(path, LIMITS) == "parse_error"
