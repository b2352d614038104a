"""Plots as SVG text: no library, no script, nothing fetched. What they say stands in the tables beside them too."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

_WIDTH, _LABELS, _ROW, _TOP = 640, 215, 30, 26


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval, all from 0 to 1; `kind` is `base` or `other`."""

    kind: str
    value: float
    low: float
    high: float


def dots(rows: Sequence[tuple[str, Sequence[Dot]]], title: str) -> Markup:
    """A row per measure with its values and their intervals, on one scale from 0 to 1."""
    height = _TOP + _ROW * len(rows) + 10
    parts = [_open(height, title)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _x(tick)
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP - 6}" x2="{x}" y2="{height - 8}"/>')
        parts.append(f'<text class="tick" x="{x}" y="14" text-anchor="middle">{tick:g}</text>')
    for number, (label, values) in enumerate(rows):
        middle = _TOP + _ROW * number + _ROW / 2
        parts.append(
            f'<text class="label" x="{_LABELS - 12}" y="{middle + 4}" text-anchor="end">{escape(label)}</text>'
        )
        for shift, dot in zip(_shifts(len(values)), values, strict=True):
            y = middle + shift
            parts.append(
                f'<line class="{dot.kind}" x1="{_x(dot.low)}" y1="{y}" x2="{_x(dot.high)}" y2="{y}"/>'
            )
            parts.append(f'<circle class="{dot.kind}" cx="{_x(dot.value)}" cy="{y}" r="4.5"/>')
    return _close(parts)


def bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], title: str) -> Markup:
    """A group of bars per label; each of `series` is a kind and its counts."""
    height, bottom, left = 190, 160, 16
    most = max((count for _, counts in series for count in counts), default=0) or 1
    step = (_WIDTH - 2 * left) / max(1, len(labels))
    width = step * 0.7 / max(1, len(series))
    parts = [
        _open(height, title),
        f'<line class="grid" x1="{left}" y1="{bottom}" x2="{_WIDTH - left}" y2="{bottom}"/>',
    ]
    for place, label in enumerate(labels):
        begin = left + step * place
        parts.append(
            f'<text class="tick" x="{_round(begin + step / 2)}" y="{bottom + 18}" text-anchor="middle">{escape(label)}</text>'
        )
        for number, (kind, counts) in enumerate(series):
            tall = (bottom - 30) * counts[place] / most
            x, y = begin + step * 0.15 + width * number, bottom - tall
            parts.append(
                f'<rect class="{kind}" x="{_round(x)}" y="{_round(y)}" width="{_round(width)}" height="{_round(tall)}"/>'
            )
            if counts[place]:
                parts.append(
                    f'<text class="tick" x="{_round(x + width / 2)}" y="{_round(y - 4)}" text-anchor="middle">{counts[place]}</text>'
                )
    return _close(parts)


def _open(height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title>"
    )


def _close(parts: Sequence[str]) -> Markup:
    # Put together from numbers and escaped words above.
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704


def _x(share: float) -> float:
    return _round(_LABELS + (_WIDTH - _LABELS - 20) * min(1.0, max(0.0, share)))


def _round(value: float) -> float:
    return round(value, 1)


def _shifts(count: int) -> list[float]:
    return [0.0] if count == 1 else [-6.0, 6.0]
