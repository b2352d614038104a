"""Table rows as text that carries its own header, so that no row is ever read without it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from server.kb.loaders.questions import find_columns, pair

# A table's title may stand in rows of one cell above its header; further down, one cell is a column.
_MAX_TITLE_ROWS = 5
_MAX_HEADER_ROWS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table and its number in the file, from 1.

    A cell merged over columns has its text in the first of them; `merged` names the others. A cell merged over rows has its
    text in each. `is_header` when the file says so.
    """

    number: int
    cells: Sequence[str]
    merged: frozenset[int] = frozenset()
    is_header: bool = False

    @property
    def filled(self) -> int:
        return sum(bool(cell.strip()) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Record:
    """A row with the names of its columns written in, and the title that stood above the table."""

    row: Row
    text: str
    title: str
    # Which columns hold questions and answers.
    pair: tuple[int, int] | None = None


def records(rows: Iterable[Row]) -> Iterator[Record]:
    """Read a sheet: titles, a header of one or more rows, then one record per row that is not empty."""
    filled = (row for row in rows if row.filled)
    head = list(islice(filled, _MAX_TITLE_ROWS + 1))
    if not head:
        return
    start = next((index for index, row in enumerate(head) if row.filled > 1), 0)
    title = " ".join(cell.strip() for row in head[:start] for cell in row.cells if cell.strip())
    header, body = _cut_header(chain(head[start:], filled))
    first = next(body, None)
    if first is None:
        for row in header:
            yield Record(row, "\n".join(cell.strip() for cell in row.cells if cell.strip()), title)
        return
    names = _names(header)
    columns = find_columns(names)
    for row in chain([first], body):
        yield Record(row, "\n".join(_pairs(names, row.cells)), title, columns)


def table_lines(rows: Iterable[Row]) -> Iterator[str]:
    """A table inside a text: one line per row, "name: value; name: value"."""
    header, body = _cut_header(row for row in rows if row.filled)
    first = next(body, None)
    if first is None:
        for row in header:
            yield " | ".join(_flat(row.cells))
        return
    names = _names(header)
    for row in chain([first], body):
        yield "; ".join(_pairs(names, [" ".join(cell.split()) for cell in row.cells]))


def _cut_header(rows: Iterator[Row]) -> tuple[list[Row], Iterator[Row]]:
    """The rows that name the columns: those that the file marks, or one, and below cells merged over columns one more."""
    header: list[Row] = []
    for row in rows:
        if header and not _goes_on(header, row):
            return header, chain([row], rows)
        header.append(row)
    return header, iter(())


def _goes_on(header: list[Row], row: Row) -> bool:
    if len(header) >= _MAX_HEADER_ROWS:
        return False
    if header[-1].is_header:
        return row.is_header
    # Below "price" over two columns stand "net" and "gross". A number there is data already.
    below = [row.cells[column].strip() for column in header[-1].merged if column < len(row.cells)]
    return any(below) and not any(map(_is_number, row.cells))


def _is_number(cell: str) -> bool:
    return cell.strip().rstrip("%").replace(",", "").replace(".", "", 1).lstrip("-+").isdecimal()


def _names(header: Sequence[Row]) -> list[str]:
    """The name of each column: what stands over it, from top to bottom, once."""
    width = max(len(row.cells) for row in header)
    names: list[list[str]] = [[] for _ in range(width)]
    for row in header:
        above = ""
        for column in range(width):
            cell = row.cells[column] if column < len(row.cells) else ""
            above = " ".join(cell.split()) or (above if column in row.merged else "")
            if above and above not in names[column]:
                names[column].append(above)
    return [" / ".join(parts) for parts in names]


def column_name(index: int) -> str:
    """Spreadsheet letters of a column counted from 0: A … Z, AA …"""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def sheet_records(title: str, rows: Iterable[Row]) -> Iterator[tuple[str, dict[str, object]]]:
    """The records of a sheet, each with its place."""
    for record in records(rows):
        filled = [index for index, cell in enumerate(record.row.cells) if cell.strip()]
        number = record.row.number
        yield (
            record.text,
            {
                "sheet": title,
                "range": f"{column_name(filled[0])}{number}:{column_name(filled[-1])}{number}",
                "row": number,
                "heading": record.title,
                "atomic": True,
                **pair(record.row.cells, record.pair),
            },
        )


def _pairs(header: Sequence[str], cells: Sequence[str]) -> Iterator[str]:
    for index, cell in enumerate(cells):
        if cell.strip():
            name = header[index].strip() if index < len(header) else ""
            yield f"{name or column_name(index)}: {cell.strip()}"


def _flat(cells: Sequence[str]) -> Iterator[str]:
    return (" ".join(cell.split()) for cell in cells if cell.strip())
