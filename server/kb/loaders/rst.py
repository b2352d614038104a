"""reStructuredText: one document per section. Nothing is included, run or fetched."""

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.core import publish_doctree
from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import read_text
from server.kb.loaders.errors import library
from server.kb.loaders.sections import Sections
from server.kb.loaders.tables import Row, table_lines

_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 5,
    "traceback": False,
    "input_encoding": "unicode",
    "doctitle_xform": False,
    "sectsubtitle_xform": False,
    "docinfo_xform": False,
    "smart_quotes": False,
    "embed_stylesheet": False,
}
_UNSEEN = (
    nodes.comment,
    nodes.system_message,
    nodes.substitution_definition,
    nodes.target,
    nodes.raw,
    nodes.problematic,
)
_LINES = (
    nodes.paragraph,
    nodes.term,
    nodes.rubric,
    nodes.line,
    nodes.caption,
    nodes.title,
    nodes.field_name,
    nodes.attribution,
)


class RstLoader(FileLoader):
    """Markup, directives and roles are gone; code stands as it is written."""

    def lazy_load(self) -> Iterator[Document]:
        text = read_text(self.path, self.limits)
        with library("RST"):
            tree = publish_doctree(text, settings_overrides=_SETTINGS)
            sections = Sections()
            yield from _walk(tree, sections)
            yield from sections.finish()


def _walk(tree: Any, sections: Sections) -> Iterator[Document]:
    stack: list[tuple[Any, int]] = [(tree, 0)]  # with the depth of its section
    while stack:
        node, depth = stack.pop()
        if isinstance(node, _UNSEEN):
            continue
        if isinstance(node, nodes.title) and isinstance(node.parent, nodes.section):
            yield from sections.enter(depth, node.astext())
        elif isinstance(node, _LINES):
            sections.add(" ".join(node.astext().split()))
        elif isinstance(node, nodes.FixedTextElement):
            sections.add(node.astext())
        elif isinstance(node, nodes.table):
            for line in table_lines(_rows(node)):
                sections.add(line)
        else:
            deeper = depth + isinstance(node, nodes.section)
            stack.extend((child, deeper) for child in reversed(node.children))


def _rows(table: Any) -> Iterator[Row]:
    for number, row in enumerate(table.findall(nodes.row), 1):
        cells: list[str] = []
        merged: set[int] = set()
        for entry in row.findall(nodes.entry):
            span = min(int(entry.get("morecols", 0)), 100)
            merged.update(range(len(cells) + 1, len(cells) + 1 + span))
            cells.extend([" ".join(entry.astext().split()), *([""] * span)])
        yield Row(number, cells, frozenset(merged), isinstance(row.parent, nodes.thead))
