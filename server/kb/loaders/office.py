"""Word and PowerPoint files of old (97–2003): LibreOffice makes new ones of them, which are read instead.

It runs as a child of this process: under its limits, without a network, in its folder, with a profile of its own that
forbids macros and links.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

from langchain_core.documents import Document
from xlrd.compdoc import CompDoc

from server.kb.loaders.base import FileLoader, LoadError
from server.kb.loaders.errors import encrypted, library, needs_libreoffice, not_converted, parse_error

_OLE, _RTF = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"{\\rtf"
# Suffix → what LibreOffice reads it as, whatever else it might be, and what it writes.
_FILTERS = {
    ".doc": ("MS Word 97", "docx:MS Word 2007 XML"),
    ".ppt": ("MS PowerPoint 97", "pptx:Impress MS PowerPoint 2007 XML"),
}
# Suffix → the stream that says whether there is a password, where in it, and as what.
_MARKS = {".doc": ("WordDocument", 10, "<H"), ".ppt": ("Current User", 12, "<I")}
_LOCKED_DOC, _LOCKED_PPT = 0x0100, 0xF3D1C4DF
_PROFILE = Path("libreoffice")
_FORBIDDEN = (
    ("org.openoffice.Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("org.openoffice.Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    ("org.openoffice.Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("org.openoffice.Office.Common/Security/Scripting", "DisableActiveContent", "true"),
    ("org.openoffice.Office.Writer/Content/Update", "Link", "0"),
    ("org.openoffice.Office.Writer/Content/Update", "Field", "false"),
)


class OfficeLoader(FileLoader):
    """What is protected by a password says so, and is not given to LibreOffice, which would wait for it."""

    def lazy_load(self) -> Iterator[Document]:
        with self.path.open("rb") as file:
            head = file.read(len(_OLE))
        is_rtf = self.suffix == ".doc" and head.startswith(_RTF)  # a habit of many programs
        if not is_rtf and head != _OLE:
            raise parse_error(self.suffix.removeprefix(".").upper())
        if not is_rtf and _is_encrypted(self.path, self.suffix):
            raise encrypted()
        converted = _convert(self.path, self.suffix, is_rtf=is_rtf)
        try:
            if self.suffix == ".doc":
                from server.kb.loaders.docx import DocxLoader

                yield from DocxLoader(converted, ".docx", self.limits, self.watch).lazy_load()
            else:
                from server.kb.loaders.pptx import PptxLoader

                yield from PptxLoader(converted, ".pptx", self.limits, self.watch).lazy_load()
        finally:
            converted.unlink()


def _is_encrypted(path: Path, suffix: str) -> bool:
    """By the flags in the header of a Word document, or by the mark in the stream that PowerPoint reads first."""
    with suppress(LoadError), library(suffix):  # damaged: LibreOffice may know better
        streams = CompDoc(path.read_bytes(), logfile=StringIO())
        name, place, form = _MARKS[suffix]
        header = streams.get_named_stream(name) or b""
        (mark,) = struct.unpack_from(form, header, place)
        return bool(mark & _LOCKED_DOC) if suffix == ".doc" else mark == _LOCKED_PPT
    return False


def _convert(path: Path, suffix: str, *, is_rtf: bool) -> Path:
    program = shutil.which("soffice", path=os.defpath)
    if program is None:
        raise needs_libreoffice(suffix)
    reader, writer = _FILTERS[suffix]
    _make_profile()
    copy, converted = Path(f"document{suffix}"), Path(f"document{suffix}x")
    shutil.copyfile(path, copy)
    command = [
        program,
        f"-env:UserInstallation={_PROFILE.absolute().as_uri()}",
        *("--headless", "--norestore", "--nolockcheck", "--nodefault", "--nologo"),
        f"--infilter={'Rich Text Format' if is_rtf else reader}",
        *("--convert-to", writer, str(copy)),
    ]
    try:
        # What it prints may quote the file. Time is limited by who waits for us, and by the limits that it inherits.
        subprocess.run(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    finally:
        copy.unlink()
    if not converted.is_file():
        raise not_converted(suffix)
    return converted


def _make_profile() -> None:
    file = _PROFILE / "user" / "registrymodifications.xcu"
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    items = "".join(
        f'<item oor:path="/{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
        for path, name, value in _FORBIDDEN
    )
    file.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<oor:items xmlns:oor="http://openoffice.org/2001/registry">'
        f"{items}</oor:items>",
        encoding="utf-8",
    )
