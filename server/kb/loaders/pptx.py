"""Presentations: one document per visible slide, with its tables and the speaker's notes."""

from collections.abc import Iterator
from typing import Any

import pptx
from langchain_core.documents import Document
from pptx.oxml.ns import qn

from server.kb.loaders.archive import check_ooxml
from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library, too_many_pages
from server.kb.loaders.hiding import SMALLEST_FONT, count_shown, is_large
from server.kb.loaders.tables import Row, table_lines

_PROPERTIES, _RUN, _RUN_PROPERTIES, _TEXT = qn("p:cNvPr"), qn("a:r"), qn("a:rPr"), qn("a:t")
_PICTURE = qn("p:pic")


class PptxLoader(FileLoader):
    """Title first, then the shapes in their order, then the notes. Hidden slides and shapes are left out."""

    def lazy_load(self) -> Iterator[Document]:
        check_ooxml(self.path, ".pptx", self.limits)
        with library("PPTX"):
            slides = pptx.Presentation(str(self.path)).slides
            if len(slides) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            self.watch.findings.pages = len(slides)
            for number, slide in enumerate(slides, 1):
                document = self._document(number, slide)
                if slide.element.get("show") in ("0", "false"):
                    self.watch.findings.hidden_parts += 1
                    self.watch.findings.hidden_chars += count_shown(document.page_content)
                else:
                    yield document

    def _document(self, number: int, slide: Any) -> Document:
        title = slide.shapes.title
        heading = title.text_frame.text if title is not None else ""
        lines = [heading]
        for shape in _shapes(slide.shapes):
            if title is not None and shape.shape_id == title.shape_id:
                continue
            hidden = _take_tiny(shape)
            if _is_hidden(shape):
                hidden += sum(map(count_shown, _lines(shape)))
            else:
                lines.extend(_lines(shape))
                self.watch.findings.pictures += _is_large_picture(shape)
            self.watch.findings.hidden_chars += hidden
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            lines.append(slide.notes_slide.notes_text_frame.text)
        text = "\n".join(line for line in lines if line.strip())
        return Document(page_content=text, metadata={"slide": number, "heading": heading})


def _is_hidden(shape: Any) -> bool:
    return any(mark.get("hidden") in ("1", "true") for mark in shape._element.iter(_PROPERTIES))


def _is_large_picture(shape: Any) -> bool:
    return shape._element.tag == _PICTURE and is_large(shape.width or 0, shape.height or 0)


def _take_tiny(shape: Any) -> int:
    """Take text that nobody can read out of a shape; how many characters. (White ones may stand on a dark picture.)"""
    count = 0
    for run in shape._element.iter(_RUN):
        properties = run.find(_RUN_PROPERTIES)
        size = properties.get("sz", "") if properties is not None else ""
        if size.isdecimal() and int(size) <= SMALLEST_FONT * 100:
            for text in run.iter(_TEXT):
                count += count_shown(text.text or "")
                text.text = ""
    return count


def _shapes(shapes: Any) -> Iterator[Any]:
    """Shapes in drawing order, those in groups included; no recursion, as groups nest at the file's will."""
    stack = list(reversed(list(shapes)))
    while stack:
        shape = stack.pop()
        if hasattr(shape, "shapes"):
            stack.extend(reversed(list(shape.shapes)))
        else:
            yield shape


def _lines(shape: Any) -> Iterator[str]:
    if shape.has_text_frame:
        yield shape.text_frame.text
    if getattr(shape, "has_table", False):
        yield from table_lines(_rows(shape.table))


def _rows(table: Any) -> Iterator[Row]:
    """A cell merged downwards stands in each of its rows."""
    above: list[str] = []
    for number, row in enumerate(table.rows, 1):
        cells, merged = [], set()
        for column, cell in enumerate(row.cells):
            element = cell._tc
            text = "" if element.hMerge else cell.text
            if element.vMerge and column < len(above):
                text = above[column]
            if element.hMerge:
                merged.add(column)
            cells.append(text)
        above = cells
        yield Row(
            number, cells, frozenset(merged), is_header=number == 1 and bool(table.first_row) and not merged
        )
