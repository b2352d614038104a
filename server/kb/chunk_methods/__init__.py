"""Ways of cutting a file into passages: each a function from a loader's documents to passages in reading order.

A new one is a file here, a line in METHODS, and its name in `schemas.ChunkMethod`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from langchain_core.documents import Document

from server.kb.chunk_methods.heading import cut_sections
from server.kb.chunk_methods.parent_child import cut_twice
from server.kb.chunk_methods.qa import cut_pairs
from server.kb.chunk_methods.row import cut_rows
from server.kb.chunk_methods.whole import keep_whole
from server.kb.loaders.errors import too_much_overlap
from server.kb.splitters import Chunking, Passage, split

Method = Callable[[Iterable[Document], Chunking], Iterable[Passage]]

METHODS: dict[str, Method] = {
    "recursive": split,
    "heading": cut_sections,
    "row": cut_rows,
    "qa": cut_pairs,
    "parent_child": cut_twice,
    "whole": keep_whole,
}
# Those whose passages stand under titles; the parts of others say what they say.
_TITLED = ("recursive", "heading")
# How often passages may repeat a text altogether, and characters that they may have in any case: an overlap that is nearly as
# large as a passage would make gigabytes of a book.
_REPEATED, _ANYWAY = 10, 100_000


def cut(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    """Cut a file as it is asked for. Raises LoadError when it cannot be cut so."""
    if chunking.chunk_method not in _TITLED:
        chunking = replace(chunking, zh_title_enhance=False)
    documents = list(documents)
    most = _REPEATED * sum(len(document.page_content) for document in documents) + _ANYWAY
    for passage in METHODS[chunking.chunk_method](documents, chunking):
        most -= len(passage.text)
        if most < 0:
            raise too_much_overlap()
        yield passage
