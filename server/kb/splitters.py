"""Documents → passages of at most `chunk_size` characters, cut where Chinese and English sentences end.

Counted in characters, so that no model's tokenizer is needed and a setting means the same with every model.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from langchain_core.documents import Document
from langchain_text_splitters import RecursiveCharacterTextSplitter

# Tried in this order; a piece that is still too long is cut by the next one. The separator stays at the end of its piece.
SEPARATORS = [
    r"\n\n",
    r"\n",
    r"[。！？]+[”’」』）]*",
    r"[.!?]+[\"')\]]*\s",
    r"[；;]",
    r"[，,、]",
    r"\s",
    "",
]
_SENTENCE_END = re.compile(r"[。！？!?；;]+[”’」』）]*|\.\s|\n")
_CLAUSE_END = re.compile(r"[，,、：:\s]")
# Longer runs without any separator are not prose; they are cut before the splitter sees them, character by character.
_MAX_RUN = 20_000
_RUN = re.compile(rf"[^\s。！？；，、,;]{{{_MAX_RUN},}}")

# A record of up to this many characters stays whole: a row, a person, an answer. Longer ones would be one passage that no
# model reads to its end.
_MAX_RECORD = 2000
# The first line of a record names what it is about, say "姓名: 张三"; each of its passages carries it, when it is short.
_MAX_SUBJECT = 100

# A page that ends like this ends inside a sentence.
_MID_SENTENCE = re.compile(r"[\w，,、；;（(“]$")

# A passage that looks like a numbered Chinese title, see `is_title`.
_ENDS_IN_PUNCTUATION = re.compile(r"[^\w\s]\Z")
_MAX_TITLE = 20
# What a loader says of a document beside its place.
_MARKS = ("atomic", "qa")
# What the contract calls a title in its metadata.
TITLE_CATEGORY = "cn_Title"


@dataclass(frozen=True, slots=True)
class Chunking:
    """How a document is cut. `overlap` characters at most are repeated at the start of the next passage.

    `chunk_method`: one of chunk_methods.METHODS; `parent_size`: of the large passages of `parent_child`.
    """

    chunk_size: int
    chunk_overlap: int
    zh_title_enhance: bool = False
    chunk_method: str = "recursive"
    parent_size: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As documents store it: what is as it always was is not said."""
        told: dict[str, Any] = {
            "chunk_size": self.chunk_size,
            "chunk_overlap": self.chunk_overlap,
            "zh_title_enhance": self.zh_title_enhance,
        }
        if self.chunk_method != "recursive":
            told["chunk_method"] = self.chunk_method
        if self.parent_size is not None:
            told["parent_size"] = self.parent_size
        return told


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage and where it stands in the file (the loader's metadata of its first character).

    `parent`: the number of the large passage that it is part of.
    """

    text: str
    anchor: dict[str, Any]
    parent: int | None = None


def cut_text(text: str, chunking: Chunking) -> list[str]:
    """Cut running text that comes from no file."""
    return [passage.text for passage in split([Document(page_content=text)], chunking)]


def split(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    """Cut documents into passages, in reading order.

    Records (`atomic`) stay whole unless they are very long; pages are joined where a sentence crosses from one to the next.
    """
    passages = chain.from_iterable(
        _record(flow[0], chunking) if flow[0].metadata.get("atomic") else running_text(flow, chunking)
        for flow in flows(documents)
    )
    return enhance(passages) if chunking.zh_title_enhance else passages


def enhance(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Tell each passage under a title what it is about; titles are marked in their anchors."""
    title = ""
    for passage in passages:
        if is_title(passage.text):
            title = passage.text
            yield Passage(title, {**passage.anchor, "category": TITLE_CATEGORY})
        elif title:
            yield Passage(f"下文与({title})有关。{passage.text}", passage.anchor)
        else:
            yield passage


def flows(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Neighbours that are cut as one text: pages inside a sentence. Everything else stands alone."""
    flow: list[Document] = []
    for document in documents:
        if not document.page_content.strip():
            continue
        if flow and not _continues(flow[-1], document):
            yield flow
            flow = []
        flow.append(document)
    if flow:
        yield flow


def _continues(before: Document, after: Document) -> bool:
    """Does a sentence cross from one document to the next? Only between pages of the same heading."""
    a, b = before.metadata, after.metadata
    pages = "page" in a and "page" in b and a.get("heading") == b.get("heading")
    return pages and not a.get("atomic") and bool(_MID_SENTENCE.search(before.page_content.rstrip()))


def _record(document: Document, chunking: Chunking) -> Iterator[Passage]:
    text = document.page_content.strip()
    if len(text) <= max(_MAX_RECORD, chunking.chunk_size):
        yield Passage(text, anchor_of(document, document))
        return
    subject = text.partition("\n")[0]
    for passage in running_text([document], chunking):
        is_told = len(subject) > _MAX_SUBJECT or passage.text.startswith(subject)
        yield passage if is_told else Passage(f"{subject}\n{passage.text}", passage.anchor)


def running_text(documents: list[Document], chunking: Chunking) -> Iterator[Passage]:
    """Each passage is what is new, and in front of it the end of what came before, from a boundary on.

    LangChain's own overlap repeats whole pieces only, so that lines longer than the overlap would never overlap.
    """
    text, starts = join(documents, chunking.chunk_size)
    for begin, start, end in spans(text, chunking):
        first, last = (documents[bisect_right(starts, position) - 1] for position in (start, end - 1))
        yield Passage(text[begin:end].strip(), anchor_of(first, last))


def spans(text: str, chunking: Chunking) -> Iterator[tuple[int, int, int]]:
    """Where each passage of a text begins, where it says something new, and where it ends."""
    splitter = RecursiveCharacterTextSplitter(
        SEPARATORS,
        keep_separator="end",
        is_separator_regex=True,
        chunk_size=chunking.chunk_size - chunking.chunk_overlap,
        chunk_overlap=0,
    )
    end = 0
    for piece in splitter.split_text(text):
        start = text.index(piece, end)
        begin = _carry(text, start, chunking.chunk_overlap) if end else start
        end = start + len(piece)
        yield begin, start, end


def _carry(text: str, start: int, overlap: int) -> int:
    """Where the passage that continues at `start` begins: up to `overlap` characters earlier, after a boundary."""
    earliest = max(0, start - overlap)
    for boundary in (_SENTENCE_END, _CLAUSE_END):
        if (match := boundary.search(text, earliest, start)) and match.end() < start:
            return match.end()
    return earliest


def join(documents: list[Document], size: int) -> tuple[str, list[int]]:
    """One text, and the offset at which each document starts in it."""
    text, starts = "", []
    for document in documents:
        body = re.sub(r"\n{3,}", "\n\n", document.page_content.strip())
        body = _RUN.sub(lambda run: "\n".join(_slices(run[0], size)), body)
        if text and text[-1].isascii():
            text += " "  # between English words; Chinese ones stand side by side
        starts.append(len(text))
        text += body
    return text, starts


def _slices(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def anchor_of(first: Document, last: Document) -> dict[str, Any]:
    """Where a passage stands; `page_end` when it goes on to another page."""
    anchor = {key: value for key, value in first.metadata.items() if key not in _MARKS}
    if last.metadata.get("page") != anchor.get("page"):
        anchor["page_end"] = last.metadata["page"]
    return anchor


def is_title(text: str) -> bool:
    """chat2llm's rule, to the letter: at most 20 characters that do not end in punctuation, at least half of them letters,
    and a numeral (`2` or `三`) among the first five: `第三章 假期`, `2.1 报销标准`."""
    shown = [character for character in text if not character.isspace()]
    letters = sum(character.isalpha() for character in shown)
    return (
        0 < len(text) <= _MAX_TITLE
        and not _ENDS_IN_PUNCTUATION.search(text)
        and letters * 2 >= len(shown)
        and not text.isnumeric()
        and any(character.isnumeric() for character in text[:5])
    )
