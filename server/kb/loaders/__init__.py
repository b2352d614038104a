"""Files in, LangChain documents out: one loader per kind of file, picked by suffix.

Nothing here imports a parser: each constructor does, when the first file of its kind comes. Files are hostile, so
the server calls `load` in a child process only (`server/kb/parsing.py`).
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader, LoadLimits
from server.kb.loaders.clean import clean_label, clean_text
from server.kb.loaders.errors import no_text, too_long, too_many_records, unsupported

# Each is an object in the server's memory, however short its text.
MAX_DOCUMENTS = 200_000

Constructor = Callable[[Path, LoadLimits], FileLoader]


def _text(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.text import TextLoader

    return TextLoader(path, limits)


def _markdown(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.markdown import MarkdownLoader

    return MarkdownLoader(path, limits)


def _html(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.html import HTMLLoader

    return HTMLLoader(path, limits)


def _pdf(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.pdf import PDFLoader

    return PDFLoader(path, limits)


def _docx(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.docx import DocxLoader

    return DocxLoader(path, limits)


def _xlsx(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.xlsx import XlsxLoader

    return XlsxLoader(path, limits)


def _pptx(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.pptx import PptxLoader

    return PptxLoader(path, limits)


def _csv(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.csv import CSVLoader

    return CSVLoader(path, limits)


def _tsv(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.csv import CSVLoader

    return CSVLoader(path, limits, delimiter="\t")


def _json(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.json import JSONLoader

    return JSONLoader(path, limits)


def _jsonl(path: Path, limits: LoadLimits) -> FileLoader:
    from server.kb.loaders.json import JSONLinesLoader

    return JSONLinesLoader(path, limits)


def _longtail(suffix: str) -> Constructor:
    def construct(path: Path, limits: LoadLimits) -> FileLoader:
        from server.kb.loaders.longtail import LongtailLoader

        return LongtailLoader(path, limits, suffix=suffix)

    return construct


LOADERS: dict[str, Constructor] = {
    ".txt": _text,
    ".md": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
    ".xlsx": _xlsx,
    ".pptx": _pptx,
    ".csv": _csv,
    ".tsv": _tsv,
    ".json": _json,
    ".jsonl": _jsonl,
    ".eml": _longtail(".eml"),
    ".msg": _longtail(".msg"),
    ".epub": _longtail(".epub"),
    ".odt": _longtail(".odt"),
    ".rtf": _longtail(".rtf"),
}
SUFFIXES = frozenset(LOADERS)


def load(path: Path, suffix: str, limits: LoadLimits) -> Iterator[Document]:
    """Yield the cleaned, non-empty documents of a file. `suffix` decides its kind, whatever the path is called.

    Raises LoadError, after some documents perhaps; `no_text` when there was nothing to yield.
    """
    constructor = LOADERS.get(suffix.lower())
    if constructor is None:
        raise unsupported(suffix)
    count = length = 0
    for document in constructor(path, limits).lazy_load():
        text = clean_text(document.page_content).strip("\n")
        if not text.strip():
            continue
        count, length = count + 1, length + len(text)
        if length > limits.max_chars:
            raise too_long(limits)
        if count > MAX_DOCUMENTS:
            raise too_many_records(MAX_DOCUMENTS)
        yield Document(page_content=text, metadata=_clean_metadata(document.metadata))
    if not count:
        raise no_text()


def _clean_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    cleaned = {
        key: clean_label(value) if isinstance(value, str) else value for key, value in metadata.items()
    }
    return {key: value for key, value in cleaned.items() if value != ""}
