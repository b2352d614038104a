"""OpenDocument texts: one document per section, tables in place, notes at the end."""

from collections.abc import Iterator

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library
from server.kb.loaders.odf import OpenDocument
from server.kb.loaders.sections import Sections


class OdtLoader(FileLoader):
    """Tracked deletions, comments and the table of contents are left out."""

    def lazy_load(self) -> Iterator[Document]:
        with library("ODT"):
            document = OpenDocument(self.path, ".odt", self.limits, self.watch)
            sections = Sections()
            for block in document.blocks(document.body):
                if block.level is None:
                    sections.add(block.text)
                else:
                    yield from sections.enter(block.level, block.text)
            for note in document.notes():
                sections.add(note.text)
            yield from sections.finish()
