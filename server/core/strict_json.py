"""JSON as it is meant: no NaN or Infinity, no key twice, no half of a surrogate pair."""

import json
from typing import Any, NoReturn


class StrictJSONError(ValueError):
    """The text is not strict JSON; the message says why."""


def loads(body: bytes) -> Any:
    """Parse UTF-8 JSON. Raises StrictJSONError."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        # A lone surrogate parses, and breaks whatever stores it later.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise StrictJSONError("nested too deeply") from None
    except UnicodeDecodeError:
        raise StrictJSONError("not UTF-8") from None
    except UnicodeEncodeError:
        raise StrictJSONError("contains a lone surrogate") from None
    except ValueError as error:
        raise StrictJSONError(str(error)) from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise StrictJSONError("the same key stands twice in an object")
    return result


def _no_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"{name} is not JSON")
