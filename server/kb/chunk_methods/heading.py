"""A section each: Markdown, Word, web pages, whatever has headings. Long sections are cut by size, under the same heading."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from langchain_core.documents import Document

from server.kb.splitters import Chunking, Passage, anchor_of, enhance, join, split


def cut_sections(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    passages = _cut(documents, replace(chunking, zh_title_enhance=False))
    return enhance(passages) if chunking.zh_title_enhance else iter(passages)


def _cut(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    seen = (document for document in documents if document.page_content.strip())
    for _, group in groupby(seen, key=_section):
        section = list(group)
        text, _ = join(section, chunking.chunk_size)
        if len(text) <= chunking.chunk_size and not section[0].metadata.get("atomic"):
            yield Passage(text.strip(), anchor_of(section[0], section[-1]))
        else:
            yield from split(section, chunking)


def _section(document: Document) -> object:
    """What neighbours of one section have in common. Pages without headings and records stand alone."""
    heading = document.metadata.get("heading")
    is_part = heading and "page" in document.metadata and not document.metadata.get("atomic")
    return heading if is_part else object()
