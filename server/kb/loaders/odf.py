"""OpenDocument: what texts, sheets and presentations have in common: styles, paragraphs, lists, tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

from lxml import etree

from server.kb.loaders.archive import check_ooxml
from server.kb.loaders.base import LoadLimits, Watch
from server.kb.loaders.errors import encrypted, parse_error, too_long
from server.kb.loaders.hiding import count_shown
from server.kb.loaders.odf_styles import Styles, odf
from server.kb.loaders.tables import Row, table_lines

Element = Any  # an lxml element: lxml says no more

_P, _H, _TABLE, _ROW = odf("text:p"), odf("text:h"), odf("table:table"), odf("table:table-row")
_CELL, _COVERED = odf("table:table-cell"), odf("table:covered-table-cell")
# What stands around blocks without being one. Shapes hold text like boxes do.
_CONTAINERS = frozenset(
    map(
        odf,
        [
            "text:list",
            "text:list-item",
            "text:list-header",
            "text:numbered-paragraph",
            "text:section",
            "draw:frame",
            "draw:text-box",
            "draw:g",
            "draw:custom-shape",
            "draw:rect",
            "draw:ellipse",
            "draw:circle",
            "draw:line",
            "draw:polygon",
            "draw:path",
            "draw:connector",
            "draw:a",
        ],
    )
)
# What stands inside a paragraph and is no part of its line.
_UNSEEN = frozenset(
    map(
        odf,
        [
            "office:annotation",
            "office:annotation-end",
            "text:tracked-changes",
            "text:note-citation",
            "text:ruby-text",
        ],
    )
)
_HIDDEN_FIELDS = frozenset(map(odf, ("text:hidden-text", "text:hidden-paragraph")))
_BREAKS = {odf("text:tab"): "\t", odf("text:line-break"): "\n"}
_MAX_REPEAT = 1000  # of a cell that holds something: nobody fills a thousand columns with the same
_MAX_SPACES = 200
_MAX_COLUMNS = 16_384


class Block(NamedTuple):
    """A line; or a heading, which has a level."""

    text: str
    level: int | None = None


class OpenDocument:
    """The checked content of a file. Raises LoadError. Text that its reader does not see is counted and left out."""

    def __init__(self, path: Path, suffix: str, limits: LoadLimits, watch: Watch) -> None:
        check_ooxml(path, suffix, limits)
        self._limits, self._watch = limits, watch
        with ZipFile(path) as archive:
            if b"encryption-data" in _part(archive, "META-INF/manifest.xml"):
                raise encrypted()
            content = _part(archive, "content.xml")
            styles = _part(archive, "styles.xml")
        if not content:
            raise parse_error(suffix.removeprefix(".").upper())
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True
        )
        root = etree.fromstring(content, parser)
        self.body: Element = next(iter(root.find(odf("office:body"))))
        self.styles = Styles(root, etree.fromstring(styles, parser) if styles else None)
        self._notes: list[Element] = []

    def blocks(self, parent: Element) -> Iterator[Block]:
        """The lines and headings under an element, in order; a table's rows are lines."""
        for element in parent:
            if element.tag in (_P, _H):
                yield from self._paragraph(element)
            elif element.tag == _TABLE:
                for line in table_lines(self.rows(element)):
                    yield Block(line)
            elif element.tag in _CONTAINERS:
                if element.get(odf("text:display")) == "none":
                    self.count_hidden(element)
                else:
                    yield from self.blocks(element)

    def notes(self) -> Iterator[Block]:
        """Footnotes and endnotes of what was read since the last call."""
        notes, self._notes = self._notes, []
        for note in notes:
            for body in note.iter(odf("text:note-body")):
                yield from self.blocks(body)

    def rows(self, table: Element) -> Iterator[Row]:
        """A table's rows that are seen; a cell merged downwards stands in each of its rows."""
        hidden_columns = _hidden_columns(table)
        above: dict[int, tuple[int, str]] = {}  # column → rows still covered, text
        number, cells_left = 1, self._limits.max_chars
        for row in table.iter(_ROW):
            if _table_of(row) is not table:
                continue
            cells, merged = self._cells(row, above)
            repeat = _count(row, "table:number-rows-repeated", self._limits.max_chars)
            is_empty = not any(cells)
            if odf_is_hidden(row):
                self._watch.findings.hidden_chars += sum(map(count_shown, cells))
                cells, is_empty = [], True
            for column in hidden_columns & set(range(len(cells))):
                self._watch.findings.hidden_chars += count_shown(cells[column])
                cells[column] = ""
            is_header = row.getparent().tag == odf("table:table-header-rows")
            for index in range(1 if is_empty else repeat):
                cells_left -= len(cells) + 1
                if cells_left < 0:
                    raise too_long(self._limits)
                yield Row(number + index, cells, frozenset(merged), is_header)
            number += repeat

    def _cells(self, row: Element, above: dict[int, tuple[int, str]]) -> tuple[list[str], set[int]]:
        cells: list[str] = []
        merged: set[int] = set()
        for cell in row:
            if cell.tag not in (_CELL, _COVERED) or len(cells) >= _MAX_COLUMNS:
                continue
            column = len(cells)
            text = self._cell_text(cell)
            if cell.tag == _COVERED and column in above:
                text = text or above[column][1]
            repeat = _count(cell, "table:number-columns-repeated", _MAX_COLUMNS)
            cells.extend([text] * min(repeat, _MAX_REPEAT if text else _MAX_COLUMNS - column))
            _cover(above, column)
            if (rows := _count(cell, "table:number-rows-spanned", 10**6)) > 1:
                above[column] = (rows - 1, text)
            merged.update(
                range(column + 1, column + _count(cell, "table:number-columns-spanned", _MAX_REPEAT))
            )
        while cells and not cells[-1]:
            cells.pop()
        return cells, merged

    def _cell_text(self, cell: Element) -> str:
        if date := cell.get(odf("office:date-value")):
            return str(date).replace("T00:00:00", "").replace("T", " ")
        text = "\n".join(block.text for block in self.blocks(cell))
        return text or str(cell.get(odf("office:value"), ""))

    def _paragraph(self, paragraph: Element) -> Iterator[Block]:
        boxes: list[Element] = []
        is_hidden = self.styles.hides(paragraph, odf("text:style-name"))
        text = "".join(self._inline(paragraph, boxes))
        if is_hidden:
            self._watch.findings.hidden_chars += count_shown(text)
        elif text.strip():
            level = paragraph.get(odf("text:outline-level"), "1") if paragraph.tag == _H else None
            yield Block(text, int(level) if level and level.isdecimal() else None)
        for box in boxes:
            yield from self.blocks(box)

    def _inline(self, element: Element, boxes: list[Element]) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            yield from self._inside(child, boxes)
            yield child.tail or ""

    def _inside(self, child: Element, boxes: list[Element]) -> Iterator[str]:
        tag = child.tag
        if tag in _BREAKS:
            yield _BREAKS[tag]
        elif tag == odf("text:s"):
            yield " " * _count(child, "text:c", _MAX_SPACES)
        elif tag == odf("text:note"):
            self._notes.append(child)
        elif tag in _HIDDEN_FIELDS or (
            tag == odf("text:span") and self.styles.hides(child, odf("text:style-name"))
        ):
            self.count_hidden(child)
        elif tag in _CONTAINERS or tag == _TABLE:
            boxes.append(child if tag in _CONTAINERS else child.getparent())
        elif isinstance(tag, str) and tag not in _UNSEEN:
            yield from self._inline(child, boxes)

    def count_hidden(self, element: Element) -> None:
        self._watch.findings.hidden_chars += count_shown("".join(element.itertext()))


def odf_is_hidden(element: Element) -> bool:
    return element.get(odf("table:visibility")) in ("collapse", "filter")


def _part(archive: ZipFile, name: str) -> bytes:
    return archive.read(name) if name in archive.namelist() else b""


def _count(element: Element, name: str, most: int) -> int:
    value = element.get(odf(name), "1")
    return min(max(int(value), 1), most) if value.isdecimal() and len(value) < 10 else 1


def _cover(above: dict[int, tuple[int, str]], column: int) -> None:
    if column in above:
        rows, text = above.pop(column)
        if rows > 1:
            above[column] = (rows - 1, text)


def _table_of(row: Element) -> Element:
    return next(parent for parent in row.iterancestors() if parent.tag == _TABLE)


def _hidden_columns(table: Element) -> set[int]:
    hidden: set[int] = set()
    first = 0
    for column in table.iter(odf("table:table-column")):
        repeat = _count(column, "table:number-columns-repeated", _MAX_COLUMNS)
        if odf_is_hidden(column):
            hidden.update(range(first, min(first + repeat, _MAX_COLUMNS)))
        first += repeat
    return hidden
