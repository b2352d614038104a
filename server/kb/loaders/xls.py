"""Workbooks of old Excel (97–2003): each row of a visible sheet one record, with the names of its columns."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any, Literal

import xlrd
from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import encrypted, library, too_long, too_many_pages
from server.kb.loaders.hiding import count_shown
from server.kb.loaders.tables import Row, sheet_records
from server.kb.loaders.values import render

_ERROR = "#ERR"


class XlsLoader(FileLoader):
    """Values as they were last calculated; macros are not looked at. Hidden sheets, rows and columns are left out."""

    def lazy_load(self) -> Iterator[Document]:
        with library("XLS"):
            book = self._open()
            if book.nsheets > self.limits.max_pages:
                raise too_many_pages(self.limits)
            cells_left = self.limits.max_chars
            for index in range(book.nsheets):
                sheet = book.sheet_by_index(index)
                cells_left -= sheet.nrows * max(sheet.ncols, 1)
                if cells_left < 0:
                    raise too_long(self.limits)
                if sheet.visibility:
                    self.watch.findings.hidden_parts += 1
                    rows = (row.cells for row in _rows(book, sheet))
                    self._count_hidden(rows)
                    continue
                for text, metadata in sheet_records(sheet.name, self._seen(sheet, _rows(book, sheet))):
                    yield Document(page_content=text, metadata=metadata)
                book.unload_sheet(index)

    def _open(self) -> Any:
        try:
            return xlrd.open_workbook(
                str(self.path), logfile=StringIO(), formatting_info=True, on_demand=True, ragged_rows=False
            )
        except xlrd.biffh.XLRDError as error:
            if "encrypt" in str(error).lower() or "password" in str(error).lower():
                raise encrypted() from error
            raise

    def _seen(self, sheet: Any, rows: Iterator[Row]) -> Iterator[Row]:
        hidden_columns = {number for number, column in sheet.colinfo_map.items() if column.hidden}
        for row in rows:
            info = sheet.rowinfo_map.get(row.number - 1)
            if info is not None and info.hidden:
                self._count_hidden([row.cells])
                continue
            cells = list(row.cells)
            for column in hidden_columns & set(range(len(cells))):
                self._count_hidden([[cells[column]]])
                cells[column] = ""
            yield Row(row.number, cells, row.merged)

    def _count_hidden(self, rows: Any) -> None:
        self.watch.findings.hidden_chars += sum(count_shown(cell) for row in rows for cell in row)


def _rows(book: Any, sheet: Any) -> Iterator[Row]:
    """A cell merged downwards stands in each of its rows."""
    above: dict[int, dict[int, str]] = {}  # row → column → text
    starts = {(top, left): (bottom, right) for top, bottom, left, right in sheet.merged_cells}
    sideways: dict[int, set[int]] = {}
    for (top, left), (bottom, right) in starts.items():
        for number in range(top, min(bottom, sheet.nrows)):
            sideways.setdefault(number, set()).update(range(left + 1, right))
    for number in range(sheet.nrows):
        cells = [_text(book, sheet.cell(number, column)) for column in range(sheet.ncols)]
        for column, text in above.pop(number, {}).items():
            if column < len(cells):
                cells[column] = cells[column] or text
        for column, text in enumerate(cells):
            bottom, _ = starts.get((number, column), (0, 0))
            for below in range(number + 1, min(bottom, sheet.nrows)):
                above.setdefault(below, {})[column] = text
        yield Row(number + 1, cells, frozenset(sideways.get(number, ())))


def _text(book: Any, cell: Any) -> str:
    kind, value = cell.ctype, cell.value
    if kind in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK):
        return ""
    if kind == xlrd.XL_CELL_BOOLEAN:
        return render(bool(value), "")
    if kind == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(value, _ERROR))
    if kind == xlrd.XL_CELL_DATE:
        return _date(value, book.datemode)
    return render(value, _number_format(book, cell))


def _date(value: float, mode: Literal[0, 1]) -> str:
    """Days since the beginning of 1900 or 1904; less than one is a time of day."""
    if not math.isfinite(value) or value < 0 or value > 2_958_466:  # the year 9999
        return str(value)
    if value < 1:
        return render((datetime(1900, 1, 1) + timedelta(seconds=round(value * 86_400))).time(), "")  # noqa: DTZ001
    return render(xlrd.xldate.xldate_as_datetime(value, mode), "")


def _number_format(book: Any, cell: Any) -> str:
    form = book.format_map.get(book.xf_list[cell.xf_index].format_key) if cell.xf_index is not None else None
    return form.format_str if form is not None else ""
