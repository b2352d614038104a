"""JSON as it is meant: no NaN or Infinity, also not by a number that is too large, no key twice, no half of a surrogate pair, no NUL."""

import json
import math
from typing import Any, NoReturn


class StrictJSONError(ValueError):
    """The text is not JSON; the message says why."""


def loads(body: bytes) -> Any:
    """Parse UTF-8 JSON, which some systems begin with a byte-order mark. Raises StrictJSONError."""
    try:
        value = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        # A lone surrogate parses, and so does a NUL; both break whatever stores them later.
        text = json.dumps(value, ensure_ascii=False)
        text.encode("utf-8")
    except RecursionError:
        raise StrictJSONError("nested too deeply") from None
    except UnicodeDecodeError:
        raise StrictJSONError("not UTF-8") from None
    except UnicodeEncodeError:
        raise StrictJSONError("contains a lone surrogate") from None
    except StrictJSONError:
        raise
    except ValueError as error:
        raise StrictJSONError(str(error)) from None
    if "\\u0000" in text and "\0" in text.replace("\\\\", "").replace("\\u0000", "\0"):
        raise StrictJSONError("contains a NUL character")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise StrictJSONError("the same key stands twice in an object")
    return result


def _no_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"{name} is not a number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJSONError(f"{digits[:20]} is too large a number")
    return number
