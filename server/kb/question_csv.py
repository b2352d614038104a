"""Recommended questions from a spreadsheet: CSV with the columns query, kb_name and answer, in UTF-8 or GBK."""

import csv
from dataclasses import dataclass
from io import StringIO

from server.core.errors import Invalid
from server.core.i18n import Text
from server.kb.loaders.base import LoadError
from server.kb.loaders.encoding import decode

MAX_BYTES, MAX_ROWS = 4 * 1024**2, 10_000
_COLUMNS = {"query": "query", "问题": "query", "kb_name": "kb_name", "知识库": "kb_name", "answer": "answer", "答案": "answer"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One record. `number` counts as spreadsheets do, the header included; `kb_name` and `answer` None: no such column."""

    number: int
    query: str
    kb_name: str | None
    answer: str | None


def read_rows(data: bytes) -> list[QuestionRow]:
    """The records of a file, without blank ones. May take a moment for megabytes. Raises Invalid."""
    # Strict: a quote that nobody closes would swallow the rest of the file.
    reader = csv.reader(StringIO(_decode(data), newline=""), strict=True)
    try:
        header = [_COLUMNS.get(cell.strip().lower(), "") for cell in next(reader, [])]
        if header.count("query") != 1 or header.count("kb_name") > 1 or header.count("answer") > 1:
            raise Invalid(
                Text(
                    "CSV 的第一行应是列名 query,kb_name,answer（后两列可以没有）",
                    "the first line of the CSV should be the columns query,kb_name,answer (the last two are optional)",
                )
            )
        rows = [
            _row(number, dict(zip(header, cells, strict=False)), header)
            for number, cells in enumerate(reader, start=2)
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise Invalid(Text(f"CSV 格式有误：{error}", f"the CSV cannot be read: {error}")) from None
    if len(rows) > MAX_ROWS:
        raise Invalid(Text(f"一次最多导入 {MAX_ROWS} 行", f"at most {MAX_ROWS} rows at once"))
    return rows


def _row(number: int, cells: dict[str, str], header: list[str]) -> QuestionRow:
    def cell(column: str) -> str | None:
        return cells.get(column, "").strip() if column in header else None

    return QuestionRow(number, cell("query") or "", cell("kb_name"), cell("answer"))


def _decode(data: bytes) -> str:
    try:
        return decode(data)
    except LoadError as error:
        raise Invalid(Text(error.zh, error.en), code="bad_encoding") from error
