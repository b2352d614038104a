"""A row of a table each, with the names of its columns: spreadsheets, and tables inside texts. What stands around tables is cut
by size."""

import re
from collections.abc import Iterable, Iterator

from langchain_core.documents import Document

from server.kb.loaders.tables import Row, records
from server.kb.splitters import Chunking, Passage, anchor_of, flows, split

# A row that is longer is cut, as no model reads it to its end.
_MAX_ROW = 8000
# As loaders write the rows of tables in Word files and web pages: `name: value; name: value`.
_CELL = re.compile(r"[^:;]{1,100}: [^;]*")
# And as Markdown has them.
_PIPES = re.compile(r"\s*\|.*\|\s*$")
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_PIPE = re.compile(r"(?<!\\)\|")


def cut_rows(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    parts = (part for document in documents for part in _parts(document))
    for flow in flows(parts):
        text = flow[0].page_content.strip()
        if flow[0].metadata.get("atomic") and len(text) <= max(_MAX_ROW, chunking.chunk_size):
            yield Passage(text, anchor_of(flow[0], flow[0]))
        else:
            yield from split(flow, chunking)


def _parts(document: Document) -> Iterator[Document]:
    """A document as it is, or else the rows of its tables and the text between them."""
    if document.metadata.get("atomic"):
        yield document
        return
    prose: list[str] = []
    lines = document.page_content.split("\n")
    at = 0
    while at < len(lines):
        end, rows = _table(lines, at)
        if rows:
            yield from _text(document, prose)
            prose = []
            for row in rows:
                yield Document(page_content=row, metadata=document.metadata | {"atomic": True})
        else:
            prose += lines[at:end]
        at = end
    yield from _text(document, prose)


def _text(document: Document, lines: list[str]) -> Iterator[Document]:
    if any(line.strip() for line in lines):
        yield Document(page_content="\n".join(lines), metadata=document.metadata)


def _table(lines: list[str], at: int) -> tuple[int, list[str]]:
    """The rows of the table that begins at a line, and the line after it; no rows when none begins there."""
    if (
        at + 1 < len(lines)
        and _PIPES.match(lines[at])
        and "|" in lines[at + 1]
        and _RULE.match(lines[at + 1])
    ):
        end = at + 2
        while end < len(lines) and _PIPES.match(lines[end]):
            end += 1
        cells = [_cells(lines[number]) for number in (at, *range(at + 2, end))]
        rows = (Row(number, row, is_header=number == 1) for number, row in enumerate(cells, 1))
        return end, [record.text for record in records(rows)]
    names: set[str] = set()
    end = at
    while end < len(lines) and (found := _names(lines[end])) and (len(found) > 1 or found & names):
        names |= found
        end += 1
    return max(end, at + 1), [line.strip() for line in lines[at:end]]


def _cells(line: str) -> list[str]:
    return [cell.replace("\\|", "|").strip() for cell in _PIPE.split(line.strip().strip("|"))]


def _names(line: str) -> set[str]:
    """The columns that a line has values of; none when it is no row."""
    cells = line.strip().split("; ")
    if not all(_CELL.fullmatch(cell) for cell in cells):
        return set()
    return {cell.partition(": ")[0] for cell in cells}
