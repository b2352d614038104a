"""Web pages: what a reader sees, one document per section. Nothing is run or fetched."""

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag
from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader, Watch
from server.kb.loaders.encoding import DECLARED, read_text
from server.kb.loaders.errors import library
from server.kb.loaders.hiding import count_shown
from server.kb.loaders.html_hiding import Hiding
from server.kb.loaders.sections import Sections
from server.kb.loaders.tables import Row, table_lines

_UNSEEN_NAMES = (
    "script style nav noscript template iframe object embed svg canvas audio video head select button"
)
_BLOCK_NAMES = (
    "address article aside blockquote body br dd details div dl dt fieldset figcaption figure footer form header hr li "
    "main ol p pre section summary table tbody td tfoot th thead tr ul"
)
_UNSEEN, _BLOCKS = frozenset(_UNSEEN_NAMES.split()), frozenset(_BLOCK_NAMES.split())
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}[\"']?([\w-]{1,40})", re.I)
_XML = re.compile(r"\A\s*<\?xml\b[^>]{0,500}\?>")  # without which XHTML is HTML to its reader
_HEAD = 4096
_MAX_SPAN = 100


class HTMLLoader(FileLoader):
    """Scripts, navigation and hidden elements are dropped, tables read row by row."""

    def lazy_load(self) -> Iterator[Document]:
        with self.path.open("rb") as file:
            declared = declared_encoding(file.read(_HEAD))
        text = read_text(self.path, self.limits, declared)
        with library("HTML"):
            yield from html_sections(text, self.watch)


def declared_encoding(data: bytes) -> str | None:
    """What the first lines of a page say of its encoding."""
    charset = _CHARSET.search(data[:_HEAD])
    return DECLARED.get(charset[1].decode("ascii", "replace").lower()) if charset else None


def html_sections(text: str, watch: Watch, sections: Sections | None = None) -> Iterator[Document]:
    """The sections of a page; its title names them when it has no headings. `sections` when the page is part of a book."""
    soup = BeautifulSoup(_XML.sub("", text, count=1), "lxml")
    book, sections = sections, sections or Sections()
    if book is None and soup.title and not soup.find(list(_HEADINGS)):
        yield from sections.enter(1, soup.title.get_text())
    yield from _Reader(sections, watch, Hiding(soup)).read(soup)
    if book is None:
        yield from sections.finish()


def html_lines(text: str, watch: Watch) -> list[str]:
    """A page as lines, headings among them: for what is read as one."""
    return [line for part in html_sections(text, watch) for line in part.page_content.split("\n")]


def html_table(text: str) -> list[str]:
    """The lines of a table that stands alone."""
    soup = BeautifulSoup(text, "lxml")
    table = soup.find("table")
    reader = _Reader(Sections(), Watch(), Hiding(soup))
    return list(table_lines(reader.rows(table))) if isinstance(table, Tag) else []


class _Reader:
    """Walks the tree with a stack of its own: hostile pages are nested deeper than Python calls may be."""

    def __init__(self, sections: Sections, watch: Watch, hiding: Hiding) -> None:
        self._sections, self._watch, self._hiding = sections, watch, hiding
        self._line: list[str] = []

    def read(self, root: Tag) -> Iterator[Document]:
        stack: list[PageElement | None] = [root]  # None: a block ends here
        while stack:
            node = stack.pop()
            if node is None:
                self._break()
            elif isinstance(node, Tag):
                yield from self._enter(node, stack)
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                self._line.append(str(node))
        self._break()

    def _enter(self, tag: Tag, stack: list[PageElement | None]) -> Iterator[Document]:
        if self._is_unseen(tag):
            return
        if tag.name in _BLOCKS or tag.name in _HEADINGS:
            self._break()
        if level := _HEADINGS.get(tag.name):
            title = " ".join(self._text(tag).split())
            if title:
                yield from self._sections.enter(level, title)
        elif tag.name == "pre":
            self._sections.add(self._text(tag))
        elif tag.name == "table" and not tag.find("table"):
            for line in table_lines(self.rows(tag)):
                self._sections.add(line)
        else:
            if tag.name in _BLOCKS:
                stack.append(None)
            stack.extend(reversed(tag.contents))

    def _break(self) -> None:
        line = " ".join("".join(self._line).split())
        self._line.clear()
        if line:
            self._sections.add(line)

    def _is_unseen(self, tag: Tag) -> bool:
        if tag.name in _UNSEEN or tag.get("aria-hidden") == "true":
            return True
        if not self._hiding.hides(tag):
            return False
        self._watch.findings.hidden_chars += count_shown(tag.get_text())
        return True

    def _text(self, tag: Tag) -> str:
        """The seen text of an element, line breaks kept."""
        parts: list[str] = []
        stack: list[PageElement] = [tag]
        while stack:
            node = stack.pop()
            if isinstance(node, Tag):
                if not self._is_unseen(node):
                    parts.append("\n" if node.name in _BLOCKS else "")
                    stack.extend(reversed(node.contents))
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString):
                parts.append(str(node))
        return "".join(parts).strip("\n")

    def rows(self, table: Tag) -> Iterator[Row]:
        """The rows of a table; a cell that spans several rows stands in each, so that none lacks it."""
        above: dict[int, tuple[int, str]] = {}  # column → rows still covered by a cell above, its text
        for number, row in enumerate(table.find_all("tr"), 1):
            if self._is_unseen(row):
                continue
            cells: list[str] = []
            merged: set[int] = set()
            for cell in row.find_all(["td", "th"]):
                _repeat_above(cells, above)
                text = "" if self._is_unseen(cell) else self._text(cell)
                for column in range(_span(cell, "colspan")):
                    if (rows := _span(cell, "rowspan")) > 1:
                        above[len(cells)] = (rows - 1, text)
                    if column:
                        merged.add(len(cells))
                    cells.append(text)
                    text = ""
            _repeat_above(cells, above)
            is_header = row.parent is not None and row.parent.name == "thead"
            yield Row(number, cells, frozenset(merged), is_header)


def _repeat_above(cells: list[str], above: dict[int, tuple[int, str]]) -> None:
    while (column := len(cells)) in above:
        rows, text = above.pop(column)
        if rows > 1:
            above[column] = (rows - 1, text)
        cells.append(text)


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1"))
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() and len(value) < 6 else 1
