"""Lines as a page shows them → lines as they were written: what a page's margin broke is put together again."""

import re
import unicodedata
from collections.abc import Iterable

# A line this full was broken by the margin, not by its writer; the rest of its paragraph is below.
_FULL = 0.85
# No text is set in columns narrower than this (20 Chinese characters); such lines were short when they were written.
_NARROWEST = 40
_ENDS = re.compile(r"[。！？!?：:；;…」』”]\s*$|[.!?]\s*$")
# What begins a paragraph of its own: bullets, numbers, chapters.
_BEGINS = re.compile(
    r"\s*(?:[•·●○■◆▪►*–—-]|[(（]?(?:\d{1,3}|[一二三四五六七八九十]{1,3}|[a-zA-Z])[.、)）．]|第.{1,6}[章节条款篇])"
)
_CHINESE_MARK = re.compile(r"[，。；、]")
_HAN = re.compile(r"[\u3400-\u9fff]")
# Fewer fields than this side by side are no table.
_FIELDS = 3


def join_wrapped(text: str) -> str:
    """Join the lines of one page that belong to one paragraph: Chinese without a space, English with one."""
    lines = text.split("\n")
    margin = max(_NARROWEST, *map(_width, lines)) * _FULL
    joined: list[str] = []
    last = ""
    for line in lines:
        if joined and _goes_on(last, line, margin):
            joined[-1] = joined[-1].rstrip() + _seam(last, line) + line.lstrip()
        else:
            joined.append(line)
        last = line
    return "\n".join(joined)


def _goes_on(line: str, following: str, margin: float) -> bool:
    if not line.strip() or not following.strip() or _width(line) < margin:
        return False
    return not (_ENDS.search(line) or _BEGINS.match(following) or _is_row(line) or _is_row(following))


def _seam(line: str, following: str) -> str:
    before, after = line.rstrip()[-1], following.lstrip()[0]
    return " " if before.isascii() and after.isascii() and before != "-" else ""


def _is_row(line: str) -> bool:
    """A row of a Chinese table: fields side by side, and none of the marks of prose."""
    return bool(_HAN.search(line)) and len(line.split()) >= _FIELDS and not _CHINESE_MARK.search(line)


def _width(line: Iterable[str]) -> int:
    """Columns a line takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)
