"""What a loader is: a file in, LangChain documents out, each with its place in the file.

A document's `metadata` says where its text stands, for citations and for the splitter:

    page     int   page of a PDF, from 1                    slide   int   slide of a presentation, from 1
    sheet    str   sheet of a workbook                      range   str   cells, say "A2:D2"
    row      int   row or record of a table, from 1         heading str   heading path, "第二章 假期 > 年假"
    time     str   span of a recording, "00:01:05–00:01:30"
    atomic   bool  true: one record, never split and never joined with its neighbours (a table row, a JSON line)
    qa       list  its question and its answer, of a record of a table or list that has such columns (questions.py)

Only keys that apply are present. Text is what a reader would read, in reading order.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document


class LoadError(Exception):
    """A file cannot be read, and trying again would not help. `code` is for programs, `zh` and `en` for people.

    `findings`: what was found until then, where that is known.
    """

    def __init__(self, code: str, zh: str, en: str, findings: "Findings | None" = None) -> None:
        super().__init__(en)
        self.code, self.zh, self.en, self.findings = code, zh, en, findings


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What one file may cost: pages (slides, sheets), characters of text, bytes of an unpacked archive.

    Of pages whose text must be recognised there are fewer, as each takes seconds; pictures have so many pixels at most.
    """

    max_pages: int = 5000
    max_chars: int = 20_000_000
    max_unpacked_size: int = 512 * 1024**2
    max_ocr_pages: int = 300
    max_pixels: int = 100_000_000


@dataclass(slots=True)
class Findings:
    """What there was in a file beside the text that is read of it: counts, and pages by their numbers, from 1."""

    pages: int = 0  # of a PDF, a presentation, a scan
    ocr_pages: list[int] = field(default_factory=list)  # their text was recognised from their picture
    unread_pages: list[int] = field(default_factory=list)  # they are pictures, and no OCR is installed
    blank_pages: list[int] = field(default_factory=list)  # they are pictures in which no text was recognised
    damaged_pages: list[int] = field(default_factory=list)  # they could not be opened
    hidden_chars: int = (
        0  # characters that the file hides (white, tiny, `display: none`, hidden rows): left out
    )
    hidden_parts: int = 0  # sheets and slides that it hides: left out
    invisible_chars: int = 0  # characters without a shape (zero-width, bidirectional, tags): left out
    replaced_chars: int = 0  # characters that no encoding explains: U+FFFD in the text
    formulas: int = 0  # whose results are not stored, so that there is nothing to read
    pictures: int = 0  # large pictures in a text or on a slide, whose text is not read
    attachments: int = 0  # files that hang on a mail: not read

    def to_json(self) -> dict[str, int | list[int]]:
        """What was found, and nothing of what was not."""
        return {name: value for name, value in asdict(self).items() if value}


def _tell_nobody(_: int, __: int, ___: bool) -> None:  # noqa: FBT001
    return None


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks on while a file is read: what is found, and how far it is.

    `tell(at, of, slow)` is called per page; `slow` before a page that takes seconds.
    """

    findings: Findings = field(default_factory=Findings)
    tell: Callable[[int, int, bool], None] = _tell_nobody


class FileLoader(BaseLoader):
    """Parent of the loaders: LangChain's interface over one file, of the kind that `suffix` says."""

    def __init__(self, path: Path, suffix: str, limits: LoadLimits, watch: Watch | None = None) -> None:
        self.path, self.suffix, self.limits = path, suffix, limits
        self.watch = watch or Watch()

    @abstractmethod
    def lazy_load(self) -> Iterator[Document]:
        """Yield documents in reading order. Raises LoadError."""
