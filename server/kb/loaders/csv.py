"""Comma and tab separated values: each row one record, with the names of its columns."""

import csv
import re
from collections.abc import Iterator
from io import StringIO

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import read_text
from server.kb.loaders.errors import cell_too_long, too_long
from server.kb.loaders.questions import pair
from server.kb.loaders.tables import Row, records

_DELIMITERS = ",\t;|"
_QUOTED = re.compile('"[^"]*"')
_SAMPLE_LINES = 20
# Far beyond any cell a spreadsheet holds (32,767): what is longer is a quote that was never closed.
_MAX_CELL = 1_000_000


class CSVLoader(FileLoader):
    """`row` counts records from 1, the header included, as spreadsheets do."""

    def lazy_load(self) -> Iterator[Document]:
        text = read_text(self.path, self.limits)
        for record in records(self._rows(text)):
            metadata = {"row": record.row.number, "heading": record.title, "atomic": True}
            metadata |= pair(record.row.cells, record.pair)
            yield Document(page_content=record.text, metadata=metadata)

    def _rows(self, text: str) -> Iterator[Row]:
        csv.field_size_limit(_MAX_CELL)
        delimiter = "\t" if self.suffix == ".tsv" else _find_delimiter(text)
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
        number, cells_left = 0, self.limits.max_chars
        try:
            for number, cells in enumerate(reader, 1):
                cells_left -= len(cells)
                if cells_left < 0:
                    raise too_long(self.limits)
                yield Row(number, cells)
        except csv.Error as error:
            raise cell_too_long(number) from error


def _find_delimiter(text: str) -> str:
    """The character that divides most of the first lines into as many cells as the first; a comma in doubt.

    csv.Sniffer would do, but its expressions take quadratic time on hostile text.
    """
    sample = _QUOTED.sub("", text[: 64 * 1024]).splitlines()
    lines = [line for line in sample if line.strip()][:_SAMPLE_LINES]
    if not lines:
        return ","

    def consistency(delimiter: str) -> tuple[int, int]:
        count = lines[0].count(delimiter)
        return sum(line.count(delimiter) == count for line in lines) if count else 0, count

    return max(_DELIMITERS, key=consistency)
