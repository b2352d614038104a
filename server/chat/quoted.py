"""Where an answer repeats a passage word for word, so that a reader sees what it is based on."""

from itertools import pairwise

# Characters that have to be the same in a row: of Chinese, and of other scripts, whose words are longer.
_CJK, _OTHER = 8, 24
# Of an answer and a passage, so much is compared.
_MAX = 50_000
_BORDER = "|"
_SIGNS = frozenset(" \t\r\n\u3000\xa0|-:")


def quoted_ranges(text: str, answer: str) -> list[tuple[int, int]]:
    """[start, end) of the parts of `text` that `answer` repeats, in code points. Takes time with their length only."""
    text, answer = text[:_MAX], answer[:_MAX]
    known = {answer[start : start + _CJK] for start in range(len(answer) - _CJK + 1)}
    ranges: list[tuple[int, int]] = []
    for start in range(len(text) - _CJK + 1):
        end = start + _CJK
        if text[start:end] not in known:
            continue
        if ranges and start < ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return [part for found in ranges for part in _parts(text, *found)]


def _parts(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A range without the signs of tables: cell by cell, when there is enough in all of them together."""
    if _weight(text[start:end]) < 1:
        return []
    borders = [start - 1, *(at for at in range(start, end) if text[at] == _BORDER), end]
    cells = [_trim(text, before + 1, after) for before, after in pairwise(borders)]
    cells = [(first, last) for first, last in cells if first < last]
    # A few characters of a cell that goes on otherwise are chance, however much stands in the others.
    if len(cells) > 1 and _goes_on(text, end) and _weight(text[slice(*cells[-1])]) < 1:
        cells.pop()
    if len(cells) > 1 and _goes_on(text, start - 1, -1) and _weight(text[slice(*cells[0])]) < 1:
        del cells[0]
    return cells


def _goes_on(text: str, at: int, step: int = 1) -> bool:
    """Is what stands here more of the same cell?"""
    while 0 <= at < len(text) and text[at] in " \t":
        at += step
    return 0 <= at < len(text) and text[at] not in "|\r\n"


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _SIGNS:
        start += 1
    while start < end and text[end - 1] in _SIGNS:
        end -= 1
    return start, end


def _weight(part: str) -> float:
    """1 from where it can hardly be chance. What tables are drawn with does not count."""
    said = [char for char in part if char not in _SIGNS]
    wide = sum(char > "\u2e7f" for char in said)
    return wide / _CJK + (len(said) - wide) / _OTHER
