"""The file is one passage: notices, short contracts, entries of a glossary."""

from collections.abc import Iterable, Iterator

from langchain_core.documents import Document

from server.kb.loaders.errors import too_long_for_one
from server.kb.splitters import Chunking, Passage, anchor_of

# Characters. A model that answers has room for a few of these.
MAX_WHOLE = 20_000


def keep_whole(documents: Iterable[Document], _: Chunking) -> Iterator[Passage]:
    """Raises LoadError when it is too long for that."""
    parts = [document for document in documents if document.page_content.strip()]
    text = "\n\n".join(document.page_content.strip("\n") for document in parts)
    if len(text) > MAX_WHOLE:
        raise too_long_for_one(MAX_WHOLE)
    if text.strip():
        anchor = anchor_of(parts[0], parts[-1])
        if len(parts) > 1:  # it stands under many headings, in many rows
            anchor = {key: anchor[key] for key in ("page", "page_end") if key in anchor}
        yield Passage(text.strip(), anchor)
