"""What a model reads of a hit, beyond the hit itself: its neighbours in the file, under the same heading.

A passage that is good to find is short, and the answer may stand beside it. What is cited stays the hit. One that was cut as part
of a large passage (`parent_child`) is read as that one, whatever the knowledge base says of neighbours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from server.db.session import Database
from server.kb.hits import Hit
from server.kb.passages import overlap
from server.kb.retrieval_repository import Around, load_around, load_families

# Passages to each side at most.
_REACH = 4
# A shorter repetition between two parts is as likely chance.
_MIN_OVERLAP = 4


class Widening:
    """Reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def widen(self, hits: Sequence[Hit], sizes: Mapping[str, int], most: int = 20_000) -> list[Hit]:
        """The hits with what is read of each: up to so many characters, by knowledge base; 0 leaves one as it is. Of a large passage
        up to `most`.

        No passage is read twice: what is a hit, or was read with one before, is not read beside another. Of several hits in one
        large passage, the first is read as that.
        """
        if not hits:
            return []
        wanted = [hit for hit in hits if len(hit.text) < sizes.get(hit.kb_id, 0)]
        async with self._database.read() as session:
            families = await load_families(session, [hit.chunk_id for hit in hits])
            alone = [hit.chunk_id for hit in wanted if hit.chunk_id not in families]
            around = await load_around(session, alone, _REACH) if alone else {}
        taken = {hit.chunk_id for hit in hits}
        widened: dict[int, Hit] = {}
        for hit in hits:
            if hit.chunk_id in families and hit.chunk_id not in widened:
                family, repeated = families[hit.chunk_id]
                members = used = {chunk_id for chunk_id, *_ in family}
                read = join_parts([text for *_, text in family], repeated)
                if len(read) > most:
                    read, used = widen(hit, family, most, set())
                widened |= {other.chunk_id: other for other in hits if other.chunk_id in members}
                widened[hit.chunk_id] = replace(hit, read=read)
                taken |= used
        wanted = [hit for hit in wanted if hit.chunk_id not in widened]
        for hit in wanted:
            read, used = widen(hit, around.get(hit.chunk_id, ()), sizes[hit.kb_id], taken)
            taken |= used
            widened[hit.chunk_id] = replace(hit, read=read)
        return [widened.get(hit.chunk_id, hit) for hit in hits]


def join_parts(texts: Sequence[str], repeated: int) -> str:
    """A large passage of its parts, without what each repeats of the one before: `repeated` characters at most."""
    read = last = ""
    for text in texts:
        sizes = range(min(repeated, len(last), len(text)), _MIN_OVERLAP - 1, -1)
        shared = next((size for size in sizes if last.endswith(text[:size])), 0)
        read = f"{read}{text[shared:]}" if shared else f"{read}\n{text}"
        last = text
    return read.strip("\n")


def widen(hit: Hit, around: Around, size: int, taken: set[int]) -> tuple[str, set[int]]:
    """The text with its neighbours, alternately those after and before it; and their ids."""
    places = {position: (chunk_id, anchor, text) for chunk_id, position, anchor, text in around}
    own = next((position for chunk_id, position, _, _ in around if chunk_id == hit.chunk_id), None)
    if own is None:  # replaced a moment ago
        return hit.text, set()
    read, used = hit.text, set[int]()
    ends = {1: (own, hit.text), -1: (own, hit.text)}
    while ends:
        for step in tuple(ends):
            position, last = ends.pop(step)
            found = places.get(position + step)
            if found is None or found[0] in taken or not _is_of_one(found[1], hit.anchor):
                continue
            shared = overlap(last, found[2]) if step == 1 else overlap(found[2], last)
            new = found[2][shared:] if step == 1 else found[2][: len(found[2]) - shared]
            if len(read) + len(new) > size:
                continue
            read = _joined(read, new, shared) if step == 1 else _joined(new, read, shared)
            used.add(found[0])
            ends[step] = (position + step, found[2])
    return read, used


def _joined(one: str, other: str, shared: int) -> str:
    """Where one repeats the other's end they are one text; otherwise a line ends there."""
    return one + other if shared else f"{one}\n{other}"


def _is_of_one(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Do both stand under the same heading, on the same sheet or slide?"""
    return all(one.get(key) == other.get(key) for key in ("heading", "sheet", "slide"))
