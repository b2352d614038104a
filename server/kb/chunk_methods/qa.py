"""A question with its answer each: the question is what is embedded and searched, the answer is what is told.

Loaders say which columns of a table they are (loaders/questions.py).
"""

from collections.abc import Iterable, Iterator

from langchain_core.documents import Document

from server.kb.anchors import QUESTION
from server.kb.loaders.errors import answer_too_long, no_questions
from server.kb.splitters import Chunking, Passage, anchor_of, split


def cut_pairs(documents: Iterable[Document], chunking: Chunking) -> Iterator[Passage]:
    """Raises LoadError when there is no column of questions, or of answers. Other tables of such a file are cut as usual."""
    rows = list(documents)
    if not any("qa" in row.metadata for row in rows):
        raise no_questions()
    for row in rows:
        if "qa" not in row.metadata:
            yield from split([row], chunking)
            continue
        question, answer = row.metadata["qa"]
        anchor = anchor_of(row, row)
        if answer is None:
            raise answer_too_long(anchor.get("row", 0))
        if answer and question:
            yield Passage(answer, anchor | {QUESTION: question})
        else:  # nothing to ask, or nothing to tell: a row like any other, so that nothing is lost
            yield from split([row], chunking)
