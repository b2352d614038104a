"""JSON and JSON lines: one record per item, its values on lines that each carry their whole path."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader, LoadLimits
from server.kb.loaders.encoding import read_text
from server.kb.loaders.errors import bad_line, parse_error, too_deep, too_long
from server.kb.loaders.questions import pair_of

_MAX_DEPTH = 100


class JSONLoader(FileLoader):
    """A list gives one record per item. An object gives one per member, and one for all its plain values together."""

    def lazy_load(self) -> Iterator[Document]:
        try:
            value = _loads(read_text(self.path, self.limits))
        except ValueError as error:
            raise parse_error("JSON") from error
        yield from value_records(value, self.limits)


def value_records(value: Any, limits: LoadLimits) -> Iterator[Document]:
    """The records of a value: see JSONLoader."""
    if isinstance(value, Members):
        yield from _members(value, limits)
    else:
        yield from _items(value if isinstance(value, list) else [value], limits)


def _members(value: "Members", limits: LoadLimits) -> Iterator[Document]:
    plain = Members((key, member) for key, member in value if not isinstance(member, list))
    if plain:
        yield Document(page_content=render(plain, limits), metadata={"atomic": True})
    for key, member in value:
        if isinstance(member, Members):
            text = render(Members([(key, member)]), limits)
            yield Document(page_content=text, metadata={"heading": key, "atomic": True})
        elif isinstance(member, list):
            yield from _items(member, limits, key)


def _items(items: list[Any], limits: LoadLimits, heading: str = "") -> Iterator[Document]:
    for row, item in enumerate(items, 1):
        metadata = {"row": row, "heading": heading, "atomic": True, **_pair(item)}
        yield Document(page_content=render(item, limits), metadata=metadata)


class JSONLinesLoader(FileLoader):
    """One record per line; `row` is the number of the line."""

    def lazy_load(self) -> Iterator[Document]:
        # Not splitlines(): other line separators may stand inside a JSON string.
        for row, line in enumerate(read_text(self.path, self.limits).split("\n"), 1):
            if line.strip():
                try:
                    value = _loads(line)
                except ValueError as error:
                    raise bad_line("JSON", row) from error
                metadata = {"row": row, "atomic": True, **_pair(value)}
                yield Document(page_content=render(value, self.limits), metadata=metadata)


class Members(list[tuple[str, Any]]):
    """A JSON object as the list of its members: a key that stands twice loses nothing."""


def _pair(item: Any) -> dict[str, Any]:
    """The question and the answer that a record has."""
    if not isinstance(item, Members):
        return {}
    return pair_of({key: _plain(value) for key, value in item if not isinstance(value, list)})


def _loads(text: str) -> Any:
    try:
        # Control characters in strings are common in exports, and stripped later.
        return json.loads(
            text.strip("\x00\ufeff"), object_pairs_hook=Members, strict=False, parse_int=str, parse_float=str
        )
    except RecursionError as error:
        raise too_deep() from error


def render(value: Any, limits: LoadLimits) -> str:
    """Write a value as lines "author.name: 张三". Raises LoadError on more text or depth than allowed."""
    lines: list[str] = []
    length = 0
    for line in _lines(value, "", 0):
        length += len(line)
        if length > limits.max_chars:
            raise too_long(limits)
        lines.append(line)
    return "\n".join(lines)


def _lines(value: Any, path: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise too_deep()
    if isinstance(value, Members):
        for key, member in value:
            yield from _lines(member, f"{path}.{key}" if path and key else path or key, depth + 1)
    elif isinstance(value, list) and any(isinstance(item, list) for item in value):
        for index, item in enumerate(value, 1):
            yield from _lines(item, f"{path}[{index}]", depth + 1)
    else:
        text = "、".join(map(_plain, value)) if isinstance(value, list) else _plain(value)
        if text:
            yield f"{path}: {text}" if path else text


def _plain(value: Any) -> str:
    """Numbers stay as they are written, NaN included; null is nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
