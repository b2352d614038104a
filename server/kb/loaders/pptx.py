"""Presentations: one document per visible slide, with its tables and the speaker's notes."""

from collections.abc import Iterator
from typing import Any

import pptx
from langchain_core.documents import Document

from server.kb.loaders.archive import check_ooxml
from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library, too_many_pages
from server.kb.loaders.tables import table_lines


class PptxLoader(FileLoader):
    """Title first, then the shapes in their order, then the notes. Hidden slides are left out."""

    def lazy_load(self) -> Iterator[Document]:
        check_ooxml(self.path, ".pptx", self.limits)
        with library("PPTX"):
            slides = pptx.Presentation(str(self.path)).slides
            if len(slides) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            for number, slide in enumerate(slides, 1):
                if slide.element.get("show") not in ("0", "false"):
                    yield _document(number, slide)


def _document(number: int, slide: Any) -> Document:
    title = slide.shapes.title
    heading = title.text_frame.text if title is not None else ""
    lines = [heading]
    for shape in _shapes(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            lines.extend(_lines(shape))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        lines.append(slide.notes_slide.notes_text_frame.text)
    text = "\n".join(line for line in lines if line.strip())
    return Document(page_content=text, metadata={"slide": number, "heading": heading})


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
        yield from table_lines([cell.text for cell in row.cells] for row in shape.table.rows)
