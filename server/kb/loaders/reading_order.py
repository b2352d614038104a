"""Boxes of text on a page → lines in the order in which people read them."""

from collections.abc import Sequence
from typing import NamedTuple

# A column is set as lines that fill it; what stands side by side and does not is a table, read by rows.
_MIN_COLUMN_LINES = 4
_FULL_LINE, _MOST = 0.6, 0.6
_MAX_DEPTH = 8
# Boxes of one line lie next to each other by at least this share of the lower one.
_SAME_LINE = 0.5


class Box(NamedTuple):
    """Where a piece of text stands; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float
    text: str


def lines_of(boxes: Sequence[Box], depth: int = 0) -> list[str]:
    """One string per line; columns one after the other, from left to right."""
    if depth < _MAX_DEPTH and (parts := _columns(boxes)):
        return [line for part in parts for line in lines_of(part, depth + 1)]
    lines: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: (box.top + box.bottom) / 2):
        if lines and _is_beside(lines[-1], box):
            lines[-1].append(box)
        else:
            lines.append([box])
    return ["  ".join(box.text for box in sorted(line)) for line in lines]


def _is_beside(line: Sequence[Box], box: Box) -> bool:
    last = line[-1]
    shared = min(last.bottom, box.bottom) - max(last.top, box.top)
    lower = min(last.bottom - last.top, box.bottom - box.top)
    overlaps = any(min(other.right, box.right) - max(other.left, box.left) > lower / 2 for other in line)
    return shared > _SAME_LINE * lower and not overlaps


def _columns(boxes: Sequence[Box]) -> list[list[Box]] | None:
    """Cut what stands above, the columns and what stands below; None when there is one column only."""
    for gap in _gaps(boxes):
        crossing = [box for box in boxes if box.left < gap < box.right]
        top = min((box.top for box in boxes if box not in crossing), default=0.0)
        above = [box for box in crossing if box.bottom <= top + (box.bottom - box.top)]
        bottom = max((box.bottom for box in boxes if box not in crossing), default=0.0)
        below = [box for box in crossing if box.top >= bottom - (box.bottom - box.top)]
        if len(above) + len(below) < len(crossing):
            continue
        left = [box for box in boxes if box.right <= gap]
        right = [box for box in boxes if box.left >= gap]
        if _is_column(left) and _is_column(right):
            return [part for part in (above, left, right, below) if part]
    return None


def _gaps(boxes: Sequence[Box]) -> list[float]:
    """Places at which columns may meet: just left of where boxes begin. Those in the middle first."""
    if len(boxes) < 2 * _MIN_COLUMN_LINES:
        return []
    begin, end = min(box.left for box in boxes), max(box.right for box in boxes)
    middle = (begin + end) / 2
    starts = {round(box.left) - 1.0 for box in boxes if begin + (end - begin) * 0.15 < box.left}
    return sorted(starts, key=lambda x: abs(x - middle))[:50]


def _is_column(boxes: Sequence[Box]) -> bool:
    if len(boxes) < _MIN_COLUMN_LINES:
        return False
    width = max(box.right for box in boxes) - min(box.left for box in boxes)
    full = sum(box.right - box.left >= _FULL_LINE * width for box in boxes)
    # Names in a table are short and of one length: a line of prose is much wider than high.
    wide = sum(box.right - box.left >= 6 * (box.bottom - box.top) for box in boxes)
    return min(full, wide) >= _MOST * len(boxes)
