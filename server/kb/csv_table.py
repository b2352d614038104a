"""Spreadsheets that people send: CSV in UTF-8 or GBK, with a line of column names. Who reads one says which columns it knows."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO

from server.core.errors import AppError, Invalid
from server.core.i18n import Text
from server.kb.loaders.base import LoadError
from server.kb.loaders.encoding import decode

MAX_BYTES, MAX_ROWS = 4 * 1024**2, 10_000
# Excel and its kin take what begins so for a formula, and would run it for whoever opens the file.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_GUARD = "'"


@dataclass(frozen=True, slots=True)
class CSVRow:
    """One record. `number` counts as spreadsheets do, the header included; a column that the file lacks is not in `cells`."""

    number: int
    cells: Mapping[str, str]


@dataclass(slots=True)
class Imported:
    """What became of the rows of an import; `failed` by row number."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: dict[int, AppError] = field(default_factory=dict)


def read_table(data: bytes, columns: Mapping[str, str], required: str, advice: Text) -> list[CSVRow]:
    """The records without blank ones, their cells without blanks around. May take a moment for megabytes.

    `columns`: what may stand in the header, in lower case → what it means; others are passed over. Raises Invalid, with
    `advice` when the header is not as it should be.
    """
    # Strict: a quote that nobody closes would swallow the rest of the file.
    reader = csv.reader(StringIO(_decode(data), newline=""), strict=True)
    try:
        header = [columns.get(cell.strip().lower(), "") for cell in next(reader, [])]
        known = [column for column in header if column]
        if required not in known or len(set(known)) < len(known):
            raise Invalid(advice)
        rows = [
            CSVRow(number, _cells(known, dict(zip(header, cells, strict=False))))
            for number, cells in enumerate(reader, start=2)
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise Invalid(Text(f"CSV 格式有误：{error}", f"the CSV cannot be read: {error}")) from None
    if len(rows) > MAX_ROWS:
        raise Invalid(Text(f"一次最多导入 {MAX_ROWS} 行", f"at most {MAX_ROWS} rows at once"))
    return rows


def _cells(known: list[str], cells: Mapping[str, str]) -> dict[str, str]:
    return {column: cells.get(column, "").strip() for column in known}


def _decode(data: bytes) -> str:
    try:
        return decode(data)
    except LoadError as error:
        raise Invalid(Text(error.zh, error.en), code="bad_encoding") from error


def guarded(cell: str) -> str:
    """As it may be written into a file that Excel opens: nothing in it is a formula."""
    return f"{_GUARD}{cell}" if cell.lstrip(f" {_GUARD}").startswith(_FORMULA) else cell


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    bare = cell.removeprefix(_GUARD)
    return bare if guarded(bare) != bare else cell
