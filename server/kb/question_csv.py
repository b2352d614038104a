"""Recommended questions from a spreadsheet: CSV with the columns query, kb_name and answer, in UTF-8 or GBK."""

from dataclasses import dataclass

from server.core.i18n import Text
from server.kb.csv_table import MAX_BYTES, CSVRow, read_table

__all__ = ["MAX_BYTES", "QuestionRow", "read_rows"]

_COLUMNS = {"query": "query", "问题": "query", "kb_name": "kb_name", "知识库": "kb_name", "answer": "answer", "答案": "answer"}  # fmt: skip
_ADVICE = Text(
    "CSV 的第一行应是列名 query,kb_name,answer（后两列可以没有）",
    "the first line of the CSV should be the columns query,kb_name,answer (the last two are optional)",
)


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One record. `number` counts as spreadsheets do, the header included; `kb_name` and `answer` None: no such column."""

    number: int
    query: str
    kb_name: str | None
    answer: str | None


def read_rows(data: bytes) -> list[QuestionRow]:
    """The records of a file, without blank ones. May take a moment for megabytes. Raises Invalid."""
    return [_row(row) for row in read_table(data, _COLUMNS, "query", _ADVICE)]


def _row(row: CSVRow) -> QuestionRow:
    cells = row.cells
    return QuestionRow(row.number, cells["query"], cells.get("kb_name"), cells.get("answer"))
