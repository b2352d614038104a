"""A page of a PDF before its text is taken: what of it nobody sees, and whether it is a picture in truth."""

import ctypes
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from server.kb.loaders.hiding import SMALLEST_FONT

_MAX_OBJECTS, _MAX_DEPTH = 50_000, 15
_INVISIBLE, _WHITE = 3, 250
# A page of which pictures are the most, or the only thing beside a line: it has at most so many letters, and they cover so much of it.
# A page of nothing but curves is text that was made into shapes.
_LINE, _SCAN, _PICTURE, _CURVES = 30, 0.5, 0.04, 200
# In points, a picture that may say something: 6 × 3 cm.
_LARGE = (170, 85)
_MAX_GARBAGE = 0.3
_GARBAGE = re.compile(r"\(cid:\d{1,5}\)|[\ue000-\uf8ff\ufffd\x00-\x08\x0e-\x1f]")

Matrix = tuple[float, float, float, float, float, float]


class Area(NamedTuple):
    """A rectangle; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def covers(self, other: "Area") -> bool:
        """Is the middle of the other one in it?"""
        x, y = (other.left + other.right) / 2, (other.bottom + other.top) / 2
        return self.left <= x <= self.right and self.bottom <= y <= self.top


class _Object(NamedTuple):
    handle: Any
    kind: int
    parent: Any  # the form it is in
    matrix: Matrix  # of that form


class Page:
    """What stands on a page, read once."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page
        self._objects = list(_objects(page))
        self._pictures = [_area(one) for one in self._objects if one.kind == pdfium_c.FPDF_PAGEOBJ_IMAGE]

    def take_hidden(self) -> int:
        """Take the text out that its reader does not see; how many pieces of text that were."""
        texts = [one for one in self._objects if one.kind == pdfium_c.FPDF_PAGEOBJ_TEXT]
        hidden = [one for one in texts if self._is_hidden(one)]
        return self._remove(hidden)

    def take_text(self) -> None:
        """Leave the pictures alone."""
        self._remove([one for one in self._objects if one.kind == pdfium_c.FPDF_PAGEOBJ_TEXT])

    def is_scan(self, text: str) -> bool:
        """Is the page, of which this is the text, a picture of text, or its text no text?"""
        if is_garbage(text):
            return True
        length = len("".join(text.split()))
        if length >= _LINE:
            return False
        curves = 0 if length else sum(one.kind == pdfium_c.FPDF_PAGEOBJ_PATH for one in self._objects)
        return self._covered() >= _PICTURE or curves >= _CURVES

    def is_covered(self) -> bool:
        """Is most of it picture? What is written on that is a stamp then, and no title."""
        return self._covered() >= _SCAN

    def count_silent_pictures(self) -> int:
        """Large pictures without any text on them: what they say is not read. (The text of a scan lies on its picture.)"""
        large = [
            one
            for one in self._pictures
            if one.right - one.left >= _LARGE[0] and one.top - one.bottom >= _LARGE[1]
        ]
        texts = [_area(one) for one in self._objects if large and one.kind == pdfium_c.FPDF_PAGEOBJ_TEXT]
        return sum(not any(picture.covers(text) for text in texts) for picture in large)

    def _covered(self) -> float:
        """The share of the page that pictures cover; strips of a scan lie side by side."""
        page = Area(*self._page.get_bbox())
        whole = (page.right - page.left) * (page.top - page.bottom)
        covered = 0.0
        for picture in self._pictures:
            width = min(picture.right, page.right) - max(picture.left, page.left)
            height = min(picture.top, page.top) - max(picture.bottom, page.bottom)
            covered += max(width, 0) * max(height, 0)
        return covered / whole if whole > 0 else 0.0

    def _is_hidden(self, one: _Object) -> bool:
        mode = pdfium_c.FPDFTextObj_GetTextRenderMode(one.handle)
        if mode == _INVISIBLE:  # the text of a scan lies unseen on its picture
            return not any(picture.covers(_area(one)) for picture in self._pictures)
        if _size(one) < SMALLEST_FONT:
            return True
        return _is_white(one.handle) and not any(ground.covers(_area(one)) for ground in self._grounds())

    def _grounds(self) -> Iterator[Area]:
        """What white letters can be read on."""
        yield from self._pictures
        for one in self._objects:
            is_shading = one.kind == pdfium_c.FPDF_PAGEOBJ_SHADING
            if is_shading or (one.kind == pdfium_c.FPDF_PAGEOBJ_PATH and not _is_white(one.handle)):
                yield _area(one)

    def _remove(self, objects: list[_Object]) -> int:
        for one in objects:
            if one.parent is None:
                removed = pdfium_c.FPDFPage_RemoveObject(self._page, one.handle)
            else:
                removed = pdfium_c.FPDFFormObj_RemoveObject(one.parent, one.handle)
            if removed:
                pdfium_c.FPDFPageObj_Destroy(one.handle)
        gone = {id(one) for one in objects}
        self._objects = [one for one in self._objects if id(one) not in gone]
        return len(objects)


def is_garbage(text: str) -> bool:
    """Glyphs that the font does not translate: `(cid:12)`, private characters, controls."""
    shown = "".join(text.split())
    return bool(shown) and sum(map(len, _GARBAGE.findall(shown))) >= _MAX_GARBAGE * len(shown)


def _objects(page: pdfium.PdfPage) -> Iterator[_Object]:
    stack: list[tuple[Any, Matrix, int]] = [(None, (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), 0)]
    count = 0
    while stack:
        form, matrix, depth = stack.pop()
        if form is None:
            length, get, parent = pdfium_c.FPDFPage_CountObjects(page), pdfium_c.FPDFPage_GetObject, page
        else:
            length, get, parent = (
                pdfium_c.FPDFFormObj_CountObjects(form),
                pdfium_c.FPDFFormObj_GetObject,
                form,
            )
        for index in range(length):
            count += 1
            if count > _MAX_OBJECTS:
                return
            handle = get(parent, index)
            kind = pdfium_c.FPDFPageObj_GetType(handle)
            if kind == pdfium_c.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
                stack.append((handle, _times(_matrix(handle), matrix), depth + 1))
            else:
                yield _Object(handle, kind, form, matrix)


def _matrix(handle: Any) -> Matrix:
    matrix = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFPageObj_GetMatrix(handle, ctypes.byref(matrix))
    return (matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f)


def _times(inner: Matrix, outer: Matrix) -> Matrix:
    a, b, c, d, e, f = inner
    p, q, r, s, t, u = outer
    return (a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u)


def _area(one: _Object) -> Area:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium_c.FPDFPageObj_GetBounds(one.handle, left, bottom, right, top)
    a, b, c, d, e, f = one.matrix
    corners = [
        (a * x + c * y + e, b * x + d * y + f)
        for x in (left.value, right.value)
        for y in (bottom.value, top.value)
    ]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return Area(min(xs), min(ys), max(xs), max(ys))


def _size(one: _Object) -> float:
    """How high letters are, in points."""
    size = ctypes.c_float()
    if not pdfium_c.FPDFTextObj_GetFontSize(one.handle, size):
        return SMALLEST_FONT
    a, b, c, d, *_ = _times(_matrix(one.handle), one.matrix)
    return float(abs(size.value) * abs(a * d - b * c) ** 0.5)


def _is_white(handle: Any) -> bool:
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetFillColor(handle, red, green, blue, alpha):
        return False
    return alpha.value == 0 or min(red.value, green.value, blue.value) >= _WHITE
