"""What the rows of a package may say. Whoever made it may have made it by hand: every function refuses what nobody could have written
here, with a ValueError for a row and with `bad_package` for a part."""

from dataclasses import fields
from typing import Any

from pydantic import ValidationError

from server.kb.chunk_methods.whole import MAX_WHOLE
from server.kb.chunking import ChunkingWish
from server.kb.custom import MAX_CHARS
from server.kb.models import Origin
from server.kb.package_format import CHUNK_COLUMNS, bad_package, unpack_columns
from server.kb.schemas import ChunkingFields
from server.kb.tuning_schemas import CalibrationOut, UpdateRetrieval

_MAX_ANCHOR_KEYS, _MAX_ANCHOR = 64, 20_000
# Characters of a passage: as many as people may write, or a file that is kept whole has, and the title that it is told to be under.
_MAX_TEXT = max(MAX_CHARS, MAX_WHOLE) + 1000


def check_chunk(given: dict[str, Any], position: int) -> dict[str, Any]:
    if given.get("position") != position:
        raise ValueError("it is not in order")
    row = {"position": position, "text": check_text(given), "anchor": check_anchor(given)}
    row |= unpack_columns(given, CHUNK_COLUMNS)
    if row.get("origin", Origin.FILE) not in list(Origin):
        raise ValueError("nobody knows its origin")
    # With a question before it.
    if len(str(row["original"] or "")) > _MAX_TEXT + _MAX_ANCHOR:
        raise ValueError("what the file said there is too long")
    return row


def check_text(given: Any) -> str:
    text = given.get("text") if isinstance(given, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError("there is no text")
    if len(text) > _MAX_TEXT:
        raise ValueError("it is too long")
    return text


def check_anchor(given: dict[str, Any]) -> dict[str, Any]:
    anchor = given.get("anchor")
    if not isinstance(anchor, dict) or len(anchor) > _MAX_ANCHOR_KEYS:
        raise ValueError("it does not say where it stands")
    if not all(isinstance(value, str | int | float) for value in anchor.values()):
        raise ValueError("its place is strange")
    if sum(len(str(key)) + len(str(value)) for key, value in anchor.items()) > _MAX_ANCHOR:
        raise ValueError("its place is too long")
    return anchor


def check_wish(given: dict[str, Any], name: str) -> ChunkingWish:
    try:
        checked = ChunkingFields.model_validate(given)
    except ValidationError as error:
        raise bad_package(
            f"{name} 的分块方式有误", f"{name} cannot be cut so: {first_fault(error)}"
        ) from None
    return ChunkingWish(**{one.name: getattr(checked, one.name) for one in fields(ChunkingWish)})


def check_retrieval(given: dict[str, Any] | None, *, fits: bool) -> dict[str, Any] | None:
    """How it is searched. What was measured holds for the same model only."""
    if not given:
        return None
    measured = given.get("calibration")
    try:
        said = {key: value for key, value in given.items() if key != "calibration"}
        checked = UpdateRetrieval.model_validate(said | {"knowledge_base_name": "x"})
        kept = checked.model_dump(exclude_none=True, exclude={"knowledge_base_name"})
        if measured is not None and fits:
            kept["calibration"] = CalibrationOut.model_validate(measured).model_dump()
    except ValidationError as error:
        raise bad_package("检索设置有误", f"it cannot be searched so: {first_fault(error)}") from None
    return kept or None


def first_fault(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg']}"
    return str(error)
