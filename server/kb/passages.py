"""A passage that was cited, as it stands now, between its neighbours."""

from dataclasses import dataclass

from server.auth.principal import Principal
from server.db.session import Database
from server.kb import repository
from server.kb.files import name_key
from server.kb.models import Chunk, Document, KnowledgeBase


@dataclass(frozen=True, slots=True)
class Passage:
    """`before` and `after`: what the neighbours say that it does not say itself."""

    chunk: Chunk
    document: Document
    kb: KnowledgeBase
    before: str | None
    after: str | None


class Passages:
    """Finds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, caller: Principal, *, chunk_id: int, kb_id: str, file_name: str, text: str
    ) -> Passage | None:
        """The passage of this id, or what says the same in a later version of its file.

        None when it is gone, or when the caller may not read its knowledge base any more.
        """
        async with self._database.read() as session:
            found = (await repository.load_chunks(session, [chunk_id])).get(chunk_id)
            if found is None:
                found = await repository.find_same_chunk(session, kb_id, name_key(file_name), text)
            if found is None:
                return None
            chunk, document = found
            kb = await session.get(KnowledgeBase, document.kb_id)
            if kb is None or not (kb.shared or kb.client_id == caller.client_id):
                return None
            around = await repository.load_neighbours(session, chunk)
        before, after = around.get(chunk.position - 1), around.get(chunk.position + 1)
        return Passage(
            chunk,
            document,
            kb,
            None if before is None else before[: len(before) - _overlap(before, chunk.text)],
            None if after is None else after[_overlap(chunk.text, after) :],
        )


def _overlap(one: str, next_: str) -> int:
    """How many characters at the end of a passage its successor repeats at its beginning."""
    longest = min(len(one), len(next_))
    return next((size for size in range(longest, 0, -1) if one.endswith(next_[:size])), 0)
