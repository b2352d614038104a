"""What a zip-based file must be before a parser opens it: small when unpacked, plainly built, XML without a DTD."""

import stat
import zlib
from pathlib import Path, PurePosixPath
from typing import IO
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo, is_zipfile

from server.kb.loaders.base import LoadLimits
from server.kb.loaders.errors import (
    archive_limit,
    bad_archive,
    encrypted,
    old_office,
    parse_error,
    xml_forbidden,
)

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
# The name of the stream in which Office puts an encrypted document, as a directory of an OLE file spells it.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_MAX_ENTRIES = 2000
_ENCRYPTED_ENTRY = 0x1
_BLOCK = 64 * 1024


def check_ooxml(path: Path, suffix: str, limits: LoadLimits) -> None:
    """Check a docx, xlsx or pptx. Raises LoadError."""
    check_zip(path, suffix, limits)
    try:
        with ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as part:
                    _check_xml(part, entry.filename, suffix)
    except (BadZipFile, EOFError, zlib.error) as error:
        raise bad_archive() from error


def check_zip(path: Path, suffix: str, limits: LoadLimits) -> None:
    """Judge an archive by its directory alone: nothing is unpacked. Raises LoadError.

    Sizes that the directory understates do no harm: zipfile stops reading an entry at its declared size.
    """
    with path.open("rb") as file:
        if file.read(len(_OLE)) == _OLE:
            raise encrypted() if _ENCRYPTED_PACKAGE in file.read() else old_office(suffix)
    if not is_zipfile(path):
        raise parse_error(suffix)
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
    except BadZipFile as error:
        raise bad_archive() from error
    if len(entries) > _MAX_ENTRIES or sum(entry.file_size for entry in entries) > limits.max_unpacked_size:
        raise archive_limit()
    names = {entry.filename for entry in entries}
    if len(names) != len(entries) or not all(map(_is_plain, entries)):
        raise bad_archive()


def _is_plain(entry: ZipInfo) -> bool:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    return bool(path.parts) and not (
        entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED)
        or entry.flag_bits & _ENCRYPTED_ENTRY
        or stat.S_ISLNK(entry.external_attr >> 16)
        or path.is_absolute()
        or ".." in path.parts
        or ":" in path.parts[0]
    )


class _RootReachedError(Exception):
    """The prolog is over: a DTD can no longer come."""


def _check_xml(part: IO[bytes], name: str, suffix: str) -> None:
    """Read an XML part up to its root element; expat, as the parsers after it, finds the encoding by itself."""
    block = part.read(_BLOCK)
    is_xml = name.lower().endswith((".xml", ".rels", ".vml"))
    if not is_xml and not block.lstrip(b"\xef\xbb\xbf\xfe\xff\0 \t\r\n").startswith(b"<"):
        return
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = _end_of_prolog
    try:
        while block:
            parser.Parse(block)
            block = part.read(_BLOCK)
        parser.Parse(b"", True)
    except _RootReachedError:
        return
    except expat.ExpatError as error:
        if is_xml:
            raise parse_error(suffix) from error


def _refuse_doctype(*_: object) -> None:
    raise xml_forbidden()


def _end_of_prolog(*_: object) -> None:
    raise _RootReachedError
