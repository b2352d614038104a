"""What of an index somebody searches, when not everybody may see all of it.

For whoever does not see a document, a search is what it would be without it: it is left out before the nearest passages and those
with the rarest words are chosen, and it counts in nothing that they are compared by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.kb.lexicon import DocumentTerms, Lexicon
from server.kb.vectorstores.base import Ids
from server.kb.visibility import Viewer, may_see

Restricted = Mapping[str, frozenset[str]]
"""Documents that not everybody may see, with the ids of those who may."""


@dataclass(frozen=True, slots=True)
class View:
    """`restricted`: the index's when this was made, the same object as long as it is true."""

    restricted: Restricted
    # Counts of words: of the documents that everybody sees, and of those of the others that are seen.
    lexicons: tuple[Lexicon, ...]
    hidden: frozenset[str] = frozenset()
    # The passages that are searched; None: all.
    among: Ids | None = None
    # Those that everybody sees. They tell how far a question is from passages in general. None: all.
    public: Ids | None = None

    @property
    def nbytes(self) -> int:
        return sum(ids.nbytes for ids in (self.among, self.public) if ids is not None)


def hidden_from(viewer: Viewer, client_id: str, restricted: Restricted) -> frozenset[str]:
    """The documents that the viewer does not see."""
    return frozenset(
        document for document, users in restricted.items() if not may_see(viewer, client_id, users)
    )


def count_words(terms: Iterable[DocumentTerms]) -> Lexicon:
    """Counts of some documents alone. Blocks: about a second for 10,000."""
    return Lexicon.empty().changed((), list(terms))
