"""Values of cells as a reader sees them."""

from datetime import date, datetime, time
from typing import Any


def render(value: Any, number_format: str) -> str:
    """A value as a reader sees it: dates as ISO, whole numbers without ".0", percentages with their sign."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, time):
        return value.isoformat("seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float):
        is_percent = "%" in number_format and '"' not in number_format
        return f"{value * 100:.12g}%" if is_percent else _number(value)
    return str(value)


def _number(value: float) -> str:
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.15g}"
