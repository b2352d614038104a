"""Word documents: one document per section, tables in place, then text boxes, footnotes and endnotes."""

import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import qn
from langchain_core.documents import Document

from server.kb.loaders.archive import check_ooxml
from server.kb.loaders.base import FileLoader
from server.kb.loaders.docx_hiding import Hiding
from server.kb.loaders.errors import library
from server.kb.loaders.hiding import count_shown, is_large
from server.kb.loaders.sections import Sections
from server.kb.loaders.tables import Row, table_lines

_P, _TBL, _T, _R, _TEXT_BOX = qn("w:p"), qn("w:tbl"), qn("w:t"), qn("w:r"), qn("w:txbxContent")
_EXTENT, _BLIP = qn("wp:extent"), qn("a:blip")
_BREAKS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
# Wrappers that a reader does not notice: content controls, tracked insertions and moves, custom XML.
_WRAPPERS = frozenset(map(qn, ("w:sdt", "w:sdtContent", "w:ins", "w:moveTo", "w:customXml", "w:smartTag")))
# What a reader does not see: tracked deletions, and the old drawing that stands in for a new one.
_UNSEEN = frozenset(
    (qn("w:del"), qn("w:moveFrom"), "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback")
)
_HEADING_STYLE = re.compile(r"(?:heading|标题) ?([1-9])$", re.I)
_MAX_BASE_STYLES = 20
_MAX_SPAN = 100

Element = Any  # an lxml element: neither lxml nor python-docx says more


class DocxLoader(FileLoader):
    """Headings are paragraphs with an outline level, their own or their style's."""

    def lazy_load(self) -> Iterator[Document]:
        check_ooxml(self.path, ".docx", self.limits)
        with library("DOCX"):
            document = docx.Document(str(self.path))
            levels = _style_levels(document)
            hiding = Hiding(document)
            self.watch.findings.hidden_chars += _drop_hidden(document.element.body, hiding)
            self.watch.findings.pictures = sum(map(_is_large, document.element.body.iter(_EXTENT)))
            sections = Sections()
            for block in _blocks(document.element.body):
                if block.tag == _TBL:
                    sections.add_all(table_lines(_rows(block)))
                    continue
                text = _text(block)
                level = _level(block, levels)
                if level is not None and text.strip():
                    yield from sections.enter(level, text)
                elif text.strip():
                    sections.add(text)
                for box in _boxes(block):
                    sections.add_all(_lines(box))
            for note in _notes(document):
                self.watch.findings.hidden_chars += _drop_hidden(note, hiding)
                sections.add_all(_lines(note))
            yield from sections.finish()


def _drop_hidden(root: Element, hiding: Hiding) -> int:
    """Empty the runs that a reader does not see; how many characters they held."""
    count = 0
    for run in root.iter(_R):
        texts = [text for text in run.iter(_T) if text.text]
        if texts and hiding.hides(run):
            for text in texts:
                count += count_shown(text.text)
                text.text = ""
    return count


def _is_large(extent: Element) -> bool:
    """Is it the size of a large picture?"""
    width, height = extent.get("cx", ""), extent.get("cy", "")
    is_number = width.isdecimal() and height.isdecimal() and max(len(width), len(height)) < 12
    return (
        is_number and is_large(int(width), int(height)) and any(True for _ in extent.getparent().iter(_BLIP))
    )


def _boxes(paragraph: Element) -> Iterator[Element]:
    """The text boxes that hang on a paragraph."""
    for box in paragraph.iter(_TEXT_BOX):
        if not any(parent.tag in _UNSEEN for parent in box.iterancestors()):
            yield box


def _blocks(parent: Element) -> Iterator[Element]:
    """The paragraphs and tables of a body, a cell or a text box, in order."""
    stack = list(reversed(parent))
    while stack:
        element = stack.pop()
        if element.tag in (_P, _TBL):
            yield element
        elif element.tag in _WRAPPERS:
            stack.extend(reversed(element))


def _lines(parent: Element) -> Iterator[str]:
    for block in _blocks(parent):
        if block.tag == _TBL:
            yield from table_lines(_rows(block))
        elif text := _text(block):
            yield text


def _text(paragraph: Element) -> str:
    """A paragraph's text: python-docx's own leaves out insertions, content controls and simple fields."""
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag == _T:
            parts.append(element.text or "")
        elif element.tag in _BREAKS:
            parts.append(_BREAKS[element.tag])
        elif element.tag not in _UNSEEN and element.tag != _TEXT_BOX:
            stack.extend(reversed(element))
    return "".join(parts)


def _rows(table: Element) -> Iterator[Row]:
    """A table's rows; a cell merged downwards stands in each of its rows, so that none lacks it."""
    above: list[str] = []
    own = (row for row in table.iter(qn("w:tr")) if row.getparent() is table)
    for number, row in enumerate(own, 1):
        cells: list[str] = []
        merged: set[int] = set()
        for cell in row.tc_lst:
            text = "\n".join(_lines(cell))
            if cell.vMerge == "continue" and len(cells) < len(above):
                text = above[len(cells)]
            span = min(cell.grid_span, _MAX_SPAN)
            merged.update(range(len(cells) + 1, len(cells) + span))
            cells.extend([text] + [""] * (span - 1))
        above = cells
        yield Row(number, cells, frozenset(merged), is_header=_repeats(row))


def _repeats(row: Element) -> bool:
    """Is it a header, shown again on each page?"""
    mark = row.find(f"{qn('w:trPr')}/{qn('w:tblHeader')}")
    return mark is not None and mark.get(qn("w:val"), "1") not in ("0", "false", "off")


def _style_levels(document: Any) -> dict[str, int]:
    """Style id → outline level, for the styles that make headings."""
    levels = {}
    for style in document.styles:
        base, level = style, None
        for _ in range(_MAX_BASE_STYLES):
            level = _outline_level(base.element)
            if level is None and (match := _HEADING_STYLE.match(base.name or "")):
                level = int(match[1])
            base = getattr(base, "base_style", None)
            if level is not None or base is None:
                break
        if style.name == "Title":
            level = 0
        if level is not None:
            levels[style.style_id] = level
    return levels


def _level(paragraph: Element, levels: dict[str, int]) -> int | None:
    level = _outline_level(paragraph)
    return levels.get(paragraph.style or "") if level is None else level


def _outline_level(element: Element) -> int | None:
    """Word counts outline levels from 0, and 9 means body text."""
    found = element.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    value = found.get(qn("w:val"), "9") if found is not None else "9"
    return int(value) + 1 if value.isdecimal() and int(value) < 9 else None


def _notes(document: Any) -> Iterator[Element]:
    for kind in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
        for relation in document.part.rels.values():
            if relation.reltype == kind and not relation.is_external:
                yield from parse_xml(relation.target_part.blob)
