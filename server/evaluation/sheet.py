"""Question sets as spreadsheets: CSV that Excel opens, and that comes back as it went."""

import csv
import re
from collections.abc import Iterable
from io import StringIO

from server.core.errors import AppError, Invalid
from server.core.i18n import Text
from server.evaluation.models import GoldQuestion
from server.evaluation.question import NewQuestion
from server.kb.csv_table import CSVRow, guarded, read_table, unguarded

COLUMNS = ("question", "gold_answer", "gold_files", "gold_passage", "answerable", "tags")
_CHINESE = ("问题", "标准答案", "出处文件", "出处原文", "可回答", "标签")
_NAMES = {name: name for name in COLUMNS} | dict(zip(_CHINESE, COLUMNS, strict=True))
_ADVICE = Text(
    f"CSV 的第一行应是列名 {','.join(COLUMNS)}（或 {','.join(_CHINESE)}；除第一列外都可以没有）",
    f"the first line of the CSV should be the columns {','.join(COLUMNS)} (all but the first are optional)",
)
_YES, _NO = (
    {"true", "yes", "y", "1", "是", "能", "可", "可以"},
    {"false", "no", "n", "0", "否", "不能", "不可", "不可以"},
)
_FILES, _TAGS = re.compile(r"[|｜\n]"), re.compile(r"[|｜,，;；\n]")


def read(data: bytes) -> tuple[list[tuple[int, NewQuestion]], dict[int, AppError]]:
    """The questions with their rows, and why the other rows cannot be taken. May take a moment for megabytes. Raises Invalid."""
    good: list[tuple[int, NewQuestion]] = []
    failed: dict[int, AppError] = {}
    for row in read_table(data, _NAMES, "question", _ADVICE):
        try:
            good.append((row.number, _question(row)))
        except Invalid as error:
            failed[row.number] = error
    return good, failed


def _question(row: CSVRow) -> NewQuestion:
    cells = {name: unguarded(cell) for name, cell in row.cells.items()}
    return NewQuestion(
        question=cells["question"],
        gold_answer=cells.get("gold_answer") or None,
        gold_files=_listed(_FILES, cells.get("gold_files", "")),
        gold_passage=cells.get("gold_passage") or None,
        answerable=_truth(cells.get("answerable", "")),
        tags=_listed(_TAGS, cells.get("tags", "")),
    ).checked()


def _listed(separator: re.Pattern[str], cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in separator.split(cell) if part.strip())


def _truth(cell: str) -> bool | None:
    folded = cell.strip().lower()
    if folded in _YES:
        return True
    if folded in _NO:
        return False
    if not folded:
        return None
    raise Invalid(
        Text(
            f"“可回答”一列只能是 是、否 或空，不能是 {cell[:20]}",
            f"answerable is true, false or empty, not {cell[:20]}",
        )
    )


def write(questions: Iterable[GoldQuestion]) -> bytes:
    """With a byte-order mark, without which Excel takes it for the system's own encoding."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in questions:
        answerable = "" if row.answerable is None else str(row.answerable).lower()
        cells = (
            row.question,
            row.gold_answer or "",
            "|".join(row.gold_files),
            row.gold_passage or "",
            answerable,
            "|".join(row.tags),
        )
        writer.writerow([guarded(cell) for cell in cells])
    return text.getvalue().encode("utf-8-sig")
