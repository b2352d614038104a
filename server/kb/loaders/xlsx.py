"""Workbooks: each row of a visible sheet one record, with the names of its columns."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.documents import Document
from openpyxl import load_workbook
from openpyxl.utils.cell import column_index_from_string

from server.kb.loaders.archive import check_ooxml
from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library, too_long, too_many_pages
from server.kb.loaders.hiding import count_shown
from server.kb.loaders.tables import Row, sheet_records
from server.kb.loaders.values import render

# What openpyxl does not tell when it streams: merged cells, hidden columns and rows.
_MARKS = re.compile(
    rb"<(?:\w{1,20}:)?(?:mergeCell\s[^>]{0,200}?ref=\"([A-Z]{1,3})(\d{1,7}):([A-Z]{1,3})(\d{1,7})\""
    rb"|(col|row)\s([^>]{0,400}?\bhidden=\"(?:1|true)\"[^>]{0,400}))"
)
# A formula whose result nobody has stored: programs write it so, and leave the reckoning to Excel.
_UNRECKONED = re.compile(
    rb"</(?:\w{1,20}:)?f>\s{0,9}(?:<(?:\w{1,20}:)?v\s?/>|<(?:\w{1,20}:)?v></|</(?:\w{1,20}:)?c>)"
)
_NUMBER = re.compile(rb"\b(r|min|max)=\"(\d{1,7})\"")
_BLOCK = 1024 * 1024
_OVERLAP = 1000  # longer than any match
_MAX_MERGED = 100_000
_MAX_COLUMNS = 16_384
# Merged cells matter in headers, which are neither very wide nor high.
_MAX_MERGED_COLUMNS, _MAX_HEADER_HEIGHT = 100, 10


class XlsxLoader(FileLoader):
    """Values as they were last calculated, formulas not. Hidden sheets, rows and columns are left out."""

    def lazy_load(self) -> Iterator[Document]:
        check_ooxml(self.path, ".xlsx", self.limits)
        self._cells_left = self.limits.max_chars
        with library("XLSX"):
            book = load_workbook(self.path, read_only=True, data_only=True, keep_links=False)
            if len(book.worksheets) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            for sheet in book.worksheets:
                if sheet.sheet_state == "visible":
                    for text, metadata in sheet_records(sheet.title, self._rows(sheet)):
                        yield Document(page_content=text, metadata=metadata)
                else:
                    self.watch.findings.hidden_parts += 1
                    self._count_hidden(cell for row in self._rows(sheet) for cell in row.cells)
            book.close()

    def _count_hidden(self, cells: Iterable[str]) -> None:
        self.watch.findings.hidden_chars += sum(map(count_shown, cells))

    def _rows(self, sheet: Any) -> Iterator[Row]:
        marks = _Marks(sheet)
        self.watch.findings.formulas += marks.unreckoned
        above: dict[int, tuple[int, str]] = {}  # column → last row of the merged cell, its text
        sheet.reset_dimensions()  # the file may declare any size: count what is there
        for number, row in enumerate(sheet.iter_rows(), 1):
            self._cells_left -= len(row) + 1
            if self._cells_left < 0:
                raise too_long(self.limits)
            cells = [render(cell.value, cell.number_format) if cell.value is not None else "" for cell in row]
            above = {column: (last, text) for column, (last, text) in above.items() if number <= last}
            for column, (_, text) in above.items():
                cells.extend([""] * (column + 1 - len(cells)))
                cells[column] = cells[column] or text
            for column, last in marks.downwards.get(number, ()):
                if column < len(cells):
                    above[column] = (last, cells[column])
            if number in marks.hidden_rows:
                self._count_hidden(cells)
                continue
            for column in marks.hidden_columns:
                if column < len(cells) and cells[column]:
                    self._count_hidden([cells[column]])
                    cells[column] = ""
            yield Row(number, cells, frozenset(marks.sideways.get(number, ())))


class _Marks:
    """A sheet's merged cells and its hidden rows and columns, found in its source."""

    def __init__(self, sheet: Any) -> None:
        self.downwards: dict[int, list[tuple[int, int]]] = {}  # first row → (column, last row)
        self.sideways: dict[int, list[int]] = {}  # row → columns that belong to the cell on their left
        self.hidden_rows: set[int] = set()
        self.hidden_columns: set[int] = set()
        self.unreckoned = 0
        self._merged = 0
        tail = b""
        with sheet._get_source() as source:
            while block := source.read(_BLOCK):
                data, known = tail + block, len(tail)
                tail = data[-_OVERLAP:]
                self.unreckoned += sum(match.end() > known for match in _UNRECKONED.finditer(data))
                for match in _MARKS.finditer(data):
                    self._take(match)

    def _take(self, match: re.Match[bytes]) -> None:
        if match[5]:
            numbers = {name: int(number) for name, number in _NUMBER.findall(match[6])}
            if match[5] == b"row":
                self.hidden_rows.add(numbers.get(b"r", 0))
            else:
                last = min(numbers.get(b"max", 0), _MAX_COLUMNS)
                self.hidden_columns.update(range(numbers.get(b"min", 1) - 1, last))
            return
        left, right = column_index_from_string(match[1].decode()), column_index_from_string(match[3].decode())
        first, last = int(match[2]), int(match[4])
        self._merged += 1
        if self._merged > _MAX_MERGED:
            return
        if last > first:
            self.downwards.setdefault(first, []).append((left - 1, last))
        if left < right < left + _MAX_MERGED_COLUMNS and last - first < _MAX_HEADER_HEIGHT:
            for row in range(first, last + 1):
                self.sideways.setdefault(row, []).extend(range(left, right))
