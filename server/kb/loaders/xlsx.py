"""Workbooks: each row of a visible sheet one record, with the names of its columns."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

from langchain_core.documents import Document
from openpyxl import load_workbook
from openpyxl.utils.cell import column_index_from_string

from server.kb.loaders.archive import check_ooxml
from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library, too_long, too_many_pages
from server.kb.loaders.tables import Row, column_name, records

_MERGED = re.compile(
    rb"<(?:\w{1,20}:)?mergeCell\s[^>]{0,200}?ref=\"([A-Z]{1,3})(\d{1,7}):[A-Z]{1,3}(\d{1,7})\""
)
_BLOCK = 1024 * 1024
_OVERLAP = 300  # longer than any match
_MAX_MERGED = 100_000


class XlsxLoader(FileLoader):
    """Values as they were last calculated, formulas not. Hidden sheets are left out."""

    def lazy_load(self) -> Iterator[Document]:
        check_ooxml(self.path, ".xlsx", self.limits)
        self._cells_left = self.limits.max_chars
        with library("XLSX"):
            book = load_workbook(self.path, read_only=True, data_only=True, keep_links=False)
            if len(book.worksheets) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            for sheet in book.worksheets:
                if sheet.sheet_state == "visible":
                    yield from self._records(sheet)
            book.close()

    def _records(self, sheet: Any) -> Iterator[Document]:
        for record in records(self._rows(sheet)):
            filled = [index for index, cell in enumerate(record.row.cells) if cell.strip()]
            number = record.row.number
            metadata = {
                "sheet": sheet.title,
                "range": f"{column_name(filled[0])}{number}:{column_name(filled[-1])}{number}",
                "row": number,
                "heading": record.title,
                "atomic": True,
            }
            yield Document(page_content=record.text, metadata=metadata)

    def _rows(self, sheet: Any) -> Iterator[Row]:
        merged = _merged_downwards(sheet)
        above: dict[int, tuple[int, str]] = {}  # column → last row of the merged cell, its text
        sheet.reset_dimensions()  # the file may declare any size: count what is there
        for number, row in enumerate(sheet.iter_rows(), 1):
            self._cells_left -= len(row) + 1
            if self._cells_left < 0:
                raise too_long(self.limits)
            cells = [
                _render(cell.value, cell.number_format) if cell.value is not None else "" for cell in row
            ]
            above = {column: (last, text) for column, (last, text) in above.items() if number <= last}
            for column, (_, text) in above.items():
                cells.extend([""] * (column + 1 - len(cells)))
                cells[column] = cells[column] or text
            for column, last in merged.get(number, ()):
                if column < len(cells):
                    above[column] = (last, cells[column])
            yield Row(number, cells)


def _merged_downwards(sheet: Any) -> dict[int, list[tuple[int, int]]]:
    """First row → (column, last row) of the cells merged over rows: openpyxl does not tell when it streams."""
    merged: dict[int, list[tuple[int, int]]] = {}
    count, tail = 0, b""
    with sheet._get_source() as source:
        while block := source.read(_BLOCK):
            data = tail + block
            tail = data[-_OVERLAP:]
            for match in _MERGED.finditer(data):
                column, first, last = (
                    column_index_from_string(match[1].decode()),
                    int(match[2]),
                    int(match[3]),
                )
                count += 1
                if last > first and count <= _MAX_MERGED:
                    merged.setdefault(first, []).append((column - 1, last))
    return merged


def _render(value: Any, number_format: str) -> str:
    """A value as a reader sees it: dates as ISO, whole numbers without ".0", percentages with their sign."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, time):
        return value.isoformat("seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float):
        is_percent = "%" in number_format and '"' not in number_format
        return f"{value * 100:.12g}%" if is_percent else _number(value)
    return str(value)


def _number(value: float) -> str:
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.15g}"
