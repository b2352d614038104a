"""One font of boxes in place of all fonts of the system, for PDFs that do not embed theirs.

Text needs no shapes, but pdfium needs boxes: where a system has no CJK font it takes lines and cells that repeat
("是 是 是") for one and the same, and where it has one it loads it again for every page, ten times slower. With this font
the text is the same everywhere.
"""

import ctypes
import struct
from typing import Any

import pypdfium2 as pdfium

_HANDLE = 1
_CJK_CHARSETS = frozenset({128, 129, 134, 136})  # for others pdfium has fonts within itself
_EM, _ASCENT, _DESCENT = 1000, 880, -120


def box_font() -> bytes:
    """A TrueType font in which every character is a box as large as the line."""
    box = struct.pack(">5h", 1, 0, _DESCENT, _EM, _ASCENT)  # one contour, within these bounds
    box += struct.pack(">HH4B", 3, 0, 1, 1, 1, 1)  # four points, no instructions, all on the curve
    box += struct.pack(">4h", 0, 0, _EM, 0) + struct.pack(
        ">4h", _DESCENT, _EM, 0, -_EM
    )  # their steps in x and y
    box += bytes(-len(box) % 4)
    everything = struct.pack(">HHIIIIII", 13, 0, 28, 0, 1, 0x20, 0x10FFFF, 1)  # all characters → glyph 1
    bounds = (0, _DESCENT, _EM, _ASCENT)
    tables = {
        b"cmap": struct.pack(">HHHHI", 0, 1, 3, 10, 12) + everything,
        b"glyf": box * 2,
        b"head": struct.pack(
            ">IIIIHHQQ4h3H2h", 1 << 16, 1 << 16, 0, 0x5F0F3CF5, 0, _EM, 0, 0, *bounds, 0, 8, 2, 1, 0
        ),
        b"hhea": struct.pack(">I3hH6h8xhH", 1 << 16, _ASCENT, _DESCENT, 0, _EM, 0, 0, _EM, 1, 0, 0, 0, 1),
        b"hmtx": struct.pack(">Hhh", _EM, 0, 0),
        b"loca": struct.pack(">3I", 0, len(box), 2 * len(box)),
        b"maxp": struct.pack(">IH26x", 1 << 16, 2),
    }
    font = struct.pack(">IHHHH", 1 << 16, len(tables), 64, 2, 48)
    offset = len(font) + 16 * len(tables)
    for tag, table in tables.items():
        font += tag + struct.pack(">III", 0, offset, len(table))
        offset += len(table) + -len(table) % 4
    return font + b"".join(table + bytes(-len(table) % 4) for table in tables.values())


class _BoxFont(pdfium.PdfSysfontBase):  # type: ignore[misc]  # untyped
    """pdfium's door to the fonts of the system; the methods have its names."""

    def __init__(self) -> None:
        super().__init__()
        self._font = box_font()

    def EnumFonts(self, *_: Any) -> None:  # noqa: N802
        return None

    def MapFont(self, _: Any, __: int, ___: int, charset: int, *____: Any) -> int | None:  # noqa: N802
        return _HANDLE if charset in _CJK_CHARSETS else None

    def GetFont(self, *_: Any) -> None:  # noqa: N802
        return None

    def GetFontData(self, _: Any, __: Any, table: int, buffer: Any, size: int) -> int:  # noqa: N802
        if table:  # asked whether it is a collection of fonts
            return 0
        if size >= len(self._font):
            ctypes.memmove(buffer, self._font, len(self._font))
        return len(self._font)

    def GetFaceName(self, *_: Any) -> int:  # noqa: N802
        return 0

    def GetFontCharset(self, *_: Any) -> int:  # noqa: N802
        return 1

    def DeleteFont(self, *_: Any) -> None:  # noqa: N802
        return None


def use_box_font() -> None:
    """Once per process, before a document is opened. pypdfium2 keeps it, and closes it at the end."""
    if pdfium.PdfSysfontBase.SINGLETON is None:
        _BoxFont().setup()
