"""Small passages to be found, each part of a large one that is read where it is (widening.py)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import count

from langchain_core.documents import Document

from server.kb.splitters import Chunking, Passage, anchor_of, flows, join, spans


def cut_twice(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    large = Chunking(chunking.parent_size or 4 * chunking.chunk_size, 0)
    numbers = count()
    for flow in flows(documents):
        text, starts = join(flow, chunking.chunk_size)
        for begin, _, end in spans(text, large):
            number = next(numbers)
            for first, new, last in spans(text[begin:end], chunking):
                one, other = (flow[bisect_right(starts, begin + place) - 1] for place in (new, last - 1))
                small = text[begin + first : begin + last].strip()
                yield Passage(small, anchor_of(one, other), number)
