"""What a loader is: a file in, LangChain documents out, each with its place in the file.

A document's `metadata` says where its text stands, for citations and for the splitter:

    page     int   page of a PDF, from 1                    slide   int   slide of a presentation, from 1
    sheet    str   sheet of a workbook                      range   str   cells, say "A2:D2"
    row      int   row or record of a table, from 1         heading str   heading path, "第二章 假期 > 年假"
    atomic   bool  true: one record, never split and never joined with its neighbours (a table row, a JSON line)

Only keys that apply are present. Text is what a reader would read, in reading order.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document


class LoadError(Exception):
    """A file cannot be read, and trying again would not help. `code` is for programs, `zh` and `en` for people."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code, self.zh, self.en = code, zh, en


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What one file may cost: pages (slides, sheets), characters of text, bytes of an unpacked archive."""

    max_pages: int = 5000
    max_chars: int = 20_000_000
    max_unpacked_size: int = 512 * 1024**2


class FileLoader(BaseLoader):
    """Parent of the loaders: LangChain's interface over one file, of the kind that `suffix` says."""

    def __init__(self, path: Path, suffix: str, limits: LoadLimits) -> None:
        self.path, self.suffix, self.limits = path, suffix, limits

    @abstractmethod
    def lazy_load(self) -> Iterator[Document]:
        """Yield documents in reading order. Raises LoadError."""
