"""Plain text."""

from collections.abc import Iterator

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import read_text


class TextLoader(FileLoader):
    """The whole file as one document."""

    def lazy_load(self) -> Iterator[Document]:
        yield Document(page_content=read_text(self.path, self.limits))
