"""People's changes to passages, and what becomes of them when the file is read again.

A change is carried over where the passage that it was made of is there again word for word: edited ones say what people wrote,
those that were switched off stay off, those that were deleted stay away. What people added stays, behind what it stood behind.
What cannot be carried over is counted, and told with the document.
"""

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server.kb.anchors import QUESTION, question_of
from server.kb.models import Chunk, Origin
from server.kb.splitters import Passage

# Of the changes that were lost: how many are told, and how much of each.
_TOLD, _BEGINNING = 20, 200
# What is about one passage only, and not about what stands beside it.
_OWN = {"row", "range", "time", QUESTION, "category"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage as it will stand in a document."""

    passage: Passage
    enabled: bool = True
    origin: str = Origin.FILE
    original: str | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """The passages of an earlier reading in their order, and what was deleted of it (`Document.edits`)."""

    chunks: Sequence[Chunk]
    removed: Sequence[str] = ()

    @property
    def is_untouched(self) -> bool:
        return not self.removed and all(row.enabled and row.origin == Origin.FILE for row in self.chunks)


@dataclass(slots=True)
class Outcome:
    """What became of the changes. `removed`: marks of the deleted passages (`mark`), which stay deleted."""

    kept: int = 0
    lost: list[str] = field(default_factory=list)
    # Deleted passages that are not found again, and so may be there in another shape.
    returned: int = 0
    removed: list[str] = field(default_factory=list)

    @property
    def lost_count(self) -> int:
        return len(self.lost) + self.returned

    def to_json(self) -> dict[str, Any] | None:
        """As `Document.edits`; None when nobody has changed anything."""
        if not (self.kept or self.lost or self.returned):
            return None
        told = [text[:_BEGINNING] for text in self.lost[:_TOLD]]
        return {"kept": self.kept, "lost": self.lost_count, "lost_texts": told, "removed": self.removed}


def source(text: str, anchor: Mapping[str, Any]) -> str:
    """What the file says in a passage: by this it is known again."""
    question = question_of(anchor)
    return f"{question}\n{text}" if question else text


def mark(said: str) -> str:
    """Of a passage that was deleted."""
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def beside(anchor: Mapping[str, Any]) -> dict[str, Any]:
    """Where something stands that was added behind a passage."""
    return {key: value for key, value in anchor.items() if key not in _OWN}


def carry_over(passages: Iterable[Passage], earlier: Earlier) -> tuple[list[Piece], Outcome]:
    """Make people's changes once more. Of passages that say the same, the first stays the first."""
    pieces: list[Piece | None] = [Piece(passage) for passage in passages]
    places: dict[str, deque[int]] = defaultdict(deque)
    for place, piece in enumerate(pieces):
        assert piece is not None
        places[source(piece.passage.text, piece.passage.anchor)].append(place)
    outcome = Outcome()
    added: dict[int, list[Piece]] = defaultdict(list)
    last = -1
    for number, row in enumerate(earlier.chunks):
        if row.origin == Origin.ADDED:
            # At the end, when what it stood behind is not there any more, and nothing before that.
            is_first = all(other.origin == Origin.ADDED for other in earlier.chunks[:number])
            added[len(pieces) if last < 0 and not is_first else last].append(
                _added(row, pieces[last] if last >= 0 else None)
            )
            outcome.kept += 1
            continue
        said = row.original if row.original is not None else source(row.text, row.anchor)
        is_changed = row.origin == Origin.EDITED or not row.enabled
        if places[said]:
            last = places[said].popleft()
            piece = pieces[last]
            assert piece is not None
            pieces[last] = _changed(piece, row) if is_changed else piece
            outcome.kept += is_changed
        elif is_changed:
            outcome.lost.append(row.text)
    for gone in _find_removed(earlier.removed, places, outcome):
        pieces[gone] = None
    result: list[Piece] = [*added[-1]]
    for place, piece in enumerate(pieces):
        result += [] if piece is None else [piece]
        result += added[place]
    return result + added[len(pieces)], outcome


def _changed(piece: Piece, row: Chunk) -> Piece:
    if row.origin != Origin.EDITED:
        return replace(piece, enabled=row.enabled)
    question = question_of(row.anchor)
    anchor = {key: value for key, value in piece.passage.anchor.items() if key != QUESTION}
    passage = replace(
        piece.passage, text=row.text, anchor=anchor | ({QUESTION: question} if question else {})
    )
    return Piece(passage, row.enabled, Origin.EDITED, row.original)


def _added(row: Chunk, before: Piece | None) -> Piece:
    """What people wrote, part of the same large passage as what it stands behind."""
    parent = before.passage.parent if before is not None else None
    return Piece(Passage(row.text, row.anchor, parent), row.enabled, Origin.ADDED)


def _find_removed(removed: Sequence[str], places: dict[str, deque[int]], outcome: Outcome) -> list[int]:
    """The passages that people deleted, of those that nobody has found again."""
    wanted, found = Counter(removed), []
    if wanted:
        for said, left in places.items():
            deleted = mark(said)
            while left and wanted[deleted]:
                wanted[deleted] -= 1
                outcome.removed.append(deleted)
                outcome.kept += 1
                # What was deleted stood anywhere among those that say the same.
                found.append(left.pop())
    outcome.returned = wanted.total()
    return found
