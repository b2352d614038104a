"""What becomes of one passage when somebody changes it, and of the vectors beside it. Plain functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.core.errors import Invalid
from server.core.i18n import Text
from server.kb.anchors import QUESTION, searched_text
from server.kb.custom import MAX_CHARS
from server.kb.edits import Piece, beside, mark, source
from server.kb.lexicon import DocumentTerms, passage_tokens, recount
from server.kb.loaders.clean import clean_text
from server.kb.models import Chunk, Document, KnowledgeBase, Origin
from server.kb.splitters import Passage

Vectors = NDArray[np.float32]
_MAX_QUESTION = 2000


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of a passage; None leaves it as it is. An empty question takes it away."""

    text: str | None = None
    question: str | None = None
    enabled: bool | None = None

    @classmethod
    def of(cls, text: str | None, question: str | None, *, enabled: bool | None) -> "Wish":
        """Cleaned as loaders do it. Raises Invalid."""
        text = None if text is None else clean_text(text).strip()
        question = None if question is None else " ".join(clean_text(question).split())
        if text is not None and not 1 <= len(text) <= MAX_CHARS:
            raise Invalid(Text(f"段落要有 1 到 {MAX_CHARS} 字", f"a passage has 1 to {MAX_CHARS} characters"))
        if question is not None and len(question) > _MAX_QUESTION:
            raise Invalid(
                Text(f"问题最多 {_MAX_QUESTION} 字", f"a question has at most {_MAX_QUESTION} characters")
            )
        return cls(text, question, enabled)


@dataclass(frozen=True, slots=True)
class Seen:
    """A document as it was looked at: its passages in order (id, enabled), its counts, and the one that is changed, or behind which
    one is added."""

    kb: KnowledgeBase
    document: Document
    places: Sequence[tuple[int, bool]]
    terms: DocumentTerms | None
    chunk: Chunk | None


@dataclass(frozen=True, slots=True)
class Change:
    """One passage is taken out of its place, another is put there, or both. `removed`: the mark of one that stays deleted."""

    position: int
    gone: Chunk | None
    piece: Piece | None
    removed: str | None = None

    @property
    def growth(self) -> int:
        """How many more passages are searched then."""
        return bool(self.piece and self.piece.enabled) - bool(self.gone and self.gone.enabled)


def edit(seen: Seen, wish: Wish) -> Change | None:
    """None when it is so already."""
    chunk = seen.chunk
    assert chunk is not None
    anchor = _asked(chunk.anchor, wish.question)
    text = chunk.text if wish.text is None else wish.text
    enabled = chunk.enabled if wish.enabled is None else wish.enabled
    if (text, anchor, enabled) == (chunk.text, chunk.anchor, chunk.enabled):
        return None
    origin, original = chunk.origin, chunk.original
    if origin != Origin.ADDED and (text, anchor) != (chunk.text, chunk.anchor):
        said = original if original is not None else source(chunk.text, chunk.anchor)
        is_as_read = source(text, anchor) == said
        origin, original = (Origin.FILE, None) if is_as_read else (Origin.EDITED, said)
    piece = Piece(Passage(text, anchor, chunk.parent), enabled, origin, original)
    return Change(chunk.position, chunk, piece)


def _asked(anchor: dict[str, Any], question: str | None) -> dict[str, Any]:
    if question is None:
        return anchor
    rest = {key: value for key, value in anchor.items() if key != QUESTION}
    return rest | {QUESTION: question} if question else rest


def add(seen: Seen, wish: Wish) -> Change:
    """Behind the passage that was seen, or else at the end."""
    before = seen.chunk
    anchor = _asked(beside(before.anchor) if before else {}, wish.question)
    passage = Passage(wish.text or "", anchor, before.parent if before else None)
    position = before.position + 1 if before else len(seen.places)
    return Change(position, None, Piece(passage, origin=Origin.ADDED))


def delete(seen: Seen) -> Change:
    chunk = seen.chunk
    assert chunk is not None
    said = chunk.original if chunk.original is not None else source(chunk.text, chunk.anchor)
    return Change(chunk.position, chunk, None, None if chunk.origin == Origin.ADDED else mark(said))


def row_of(seen: Seen, change: Change) -> int:
    """The row of the segment where the change is made."""
    return sum(enabled for _, enabled in seen.places[: change.position])


def exchange_row(vectors: Vectors, change: Change, row: int, fresh: Vectors | None) -> Vectors:
    """The vectors after a change; `fresh`: that of the passage that is put there, if it is searched."""
    behind = row + bool(change.gone and change.gone.enabled)
    between = np.empty((0, vectors.shape[1]), np.float32) if fresh is None else fresh[None].astype(np.float32)
    return np.concatenate([vectors[:row], between, vectors[behind:]])


def _edits_after(edits: dict[str, Any] | None, change: Change) -> dict[str, Any] | None:
    """`Document.edits` with what was deleted."""
    if change.removed is None:
        return edits
    told = edits or {"kept": 0, "lost": 0, "lost_texts": [], "removed": []}
    return told | {"removed": [*told["removed"], change.removed]}


def recounted(seen: Seen, change: Change) -> tuple[DocumentTerms | None, str | None]:
    """The counts of the document's terms after a change, and the tokens of the new passage. Blocks for a moment."""
    if seen.terms is None:
        return None, None
    name, gone, piece = seen.document.file_name, change.gone, change.piece
    before = [searched_text(name, gone.anchor, gone.text)] if gone is not None and gone.enabled else []
    after = []
    if piece is not None and piece.enabled:
        after = [searched_text(name, piece.passage.anchor, piece.passage.text)]
    tokens = passage_tokens(seen.kb.id, after[0]) if after else None
    return recount(seen.terms, before, after), tokens


def note_in(document: Document, change: Change) -> None:
    """What a document tells of its passages, after a change."""
    gone, piece = change.gone, change.piece
    document.chunk_count += change.growth
    if gone is not None:
        document.char_count -= len(gone.text) if gone.enabled else 0
        document.disabled_count -= not gone.enabled
    if piece is not None:
        document.char_count += len(piece.passage.text) if piece.enabled else 0
        document.disabled_count += not piece.enabled
    document.edits = _edits_after(document.edits, change)
