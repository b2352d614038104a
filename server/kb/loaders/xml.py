"""XML: data as records with paths, documents as text. Nothing outside the file is ever looked at."""

import re
from collections.abc import Iterator
from typing import Any

from defusedxml import DefusedXmlException, ElementTree
from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import DECLARED, read_text
from server.kb.loaders.errors import library, too_deep, xml_forbidden
from server.kb.loaders.json import Members, value_records
from server.kb.loaders.sections import Sections

_MAX_DEPTH = 100
_DECLARATION = re.compile(r"\A\s*<\?xml\b[^>]{0,500}\?>")
_ENCODING = re.compile(rb"^\s*<\?xml\b[^>]{0,400}?encoding\s*=\s*[\"']([\w.-]{1,40})", re.I)
_HEADINGS = frozenset(["title", "head", "heading", "h1", "h2", "h3", "h4", "h5", "h6"])

Element = Any  # of xml.etree, which defusedxml does not type


class XMLLoader(FileLoader):
    """Where text and elements stand side by side it is a document, whose titles are headings; else it is data."""

    def lazy_load(self) -> Iterator[Document]:
        with self.path.open("rb") as file:
            declared = declared_in_xml(file.read(1024))
        text = _DECLARATION.sub("", read_text(self.path, self.limits, declared), count=1)
        with library("XML"):
            try:
                root = ElementTree.fromstring(text, forbid_entities=True, forbid_external=True)
            except DefusedXmlException as error:
                raise xml_forbidden() from error
            if any(_is_mixed(element) for element in root.iter()):
                yield from _sections(root)
            else:
                yield from value_records(_value(root, 0), self.limits)


def declared_in_xml(data: bytes) -> str | None:
    """The encoding that an XML declaration names."""
    match = _ENCODING.match(data.removeprefix(b"\xef\xbb\xbf"))
    return DECLARED.get(match[1].decode("ascii").lower()) if match else None


def _is_mixed(element: Element) -> bool:
    has_text = bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)
    return has_text and len(element) > 0


def _value(element: Element, depth: int) -> Any:
    """An element as JSON would have it: attributes and children by name, those of one name as a list."""
    if depth > _MAX_DEPTH:
        raise too_deep()
    if not element.attrib and not len(element):
        return (element.text or "").strip()
    members = Members((_name(key), value) for key, value in element.attrib.items())
    if text := (element.text or "").strip():
        members.append(("", text))
    by_name: dict[str, list[Any]] = {}
    for child in element:
        by_name.setdefault(_name(child.tag), []).append(_value(child, depth + 1))
    members.extend((name, values if len(values) > 1 else values[0]) for name, values in by_name.items())
    # A root that only holds one list is nothing to tell of.
    return members[0][1] if depth == 0 and len(members) == 1 and isinstance(members[0][1], list) else members


def _sections(root: Element) -> Iterator[Document]:
    sections = Sections()
    stack = [(root, 1)]
    while stack:
        element, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise too_deep()
        if len(element) and not _is_mixed(element):
            stack.extend((child, depth + 1) for child in reversed(element))
            continue
        text = " ".join("".join(element.itertext()).split())
        if text and _name(element.tag).lower() in _HEADINGS:
            yield from sections.enter(depth, text)
        elif text:
            sections.add(text)
    yield from sections.finish()


def _name(tag: Any) -> str:
    return str(tag).rpartition("}")[2]
