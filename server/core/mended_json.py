"""Values of JSON that others parsed or stored without care, as every database and browser can work with them."""

import math
from typing import Any

# MariaDB's JSON ends at 32.
_LEVELS = 30


def mend(value: Any, levels: int = _LEVELS) -> Any:
    """The value without NULs, with U+FFFD for halves of surrogate pairs, and None for NaN, Infinity and what is nested too deeply."""
    if isinstance(value, str):
        return mend_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, list | dict):
        return value
    if levels == 0:
        return None
    if isinstance(value, list):
        return [mend(item, levels - 1) for item in value]
    return {mend_text(str(key)): mend(item, levels - 1) for key, item in value.items()}


def mend_text(text: str) -> str:
    """The same for text."""
    return text.replace("\0", "").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
