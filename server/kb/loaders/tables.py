"""Table rows as text that carries its own header, so that no row is ever read without it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

# A table's title may stand in rows of one cell above its header; further down, one cell is a column.
_MAX_TITLE_ROWS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table and its number in the file, from 1."""

    number: int
    cells: Sequence[str]

    @property
    def filled(self) -> int:
        return sum(bool(cell.strip()) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Record:
    """A row with the names of its columns written in, and the title that stood above the table."""

    row: Row
    text: str
    title: str


def records(rows: Iterable[Row]) -> Iterator[Record]:
    """Read a sheet: titles, a header, then one record per row that is not empty."""
    filled = (row for row in rows if row.filled)
    head = list(islice(filled, _MAX_TITLE_ROWS + 1))
    if not head:
        return
    start = next((index for index, row in enumerate(head) if row.filled > 1), 0)
    title = " ".join(cell.strip() for row in head[:start] for cell in row.cells if cell.strip())
    header = head[start]
    body = chain(head[start + 1 :], filled)
    first = next(body, None)
    if first is None:
        yield Record(header, "\n".join(cell for cell in header.cells if cell.strip()), title)
        return
    for row in chain([first], body):
        yield Record(row, "\n".join(_pairs(header.cells, row.cells)), title)


def table_lines(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table inside a text: one line per row, "name: value; name: value"."""
    filled = (row for row in rows if any(cell.strip() for cell in row))
    header = next(filled, None)
    if header is None:
        return
    first = next(filled, None)
    if first is None:
        yield " | ".join(_flat(header))
        return
    names = [" ".join(cell.split()) for cell in header]
    for row in chain([first], filled):
        yield "; ".join(_pairs(names, [" ".join(cell.split()) for cell in row]))


def column_name(index: int) -> str:
    """Spreadsheet letters of a column counted from 0: A … Z, AA …"""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def _pairs(header: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    for index, cell in enumerate(cells):
        if cell.strip():
            name = header[index].strip() if index < len(header) else ""
            yield f"{name or column_name(index)}: {cell.strip()}"


def _flat(cells: Sequence[str]) -> Iterator[str]:
    return (" ".join(cell.split()) for cell in cells if cell.strip())
