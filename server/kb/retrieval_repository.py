"""SQL about passages that are looked at without a search. Functions take the session first and never commit."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from server.kb.models import Chunk, Document, DocumentState, Slot

_BATCH = 100
Around = Sequence[tuple[int, int, dict[str, Any], str]]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A passage with its file."""

    document_id: str
    file_name: str
    anchor: dict[str, Any]
    text: str


async def sample_chunks(session: AsyncSession, kb_id: str, count: int, seed: int) -> list[Sampled]:
    """Up to `count` searchable passages of documents that everybody sees, at random, each as likely as the others; the same for
    the same seed."""
    query = select(Document.id, Document.chunk_count + Document.disabled_count).where(
        Document.kb_id == kb_id,
        Document.state == DocumentState.READY,
        Document.slot == Slot.LIVE,
        Document.visible_to.is_(None),
    )
    documents = [
        (document_id, size) for document_id, size in await session.execute(query.order_by(Document.id))
    ]
    ends = list(accumulate(size for _, size in documents))
    total = ends[-1] if ends else 0
    source = random.Random(seed)  # noqa: S311 (the same sample each time)
    places: list[tuple[str, int]] = []
    numbers = iter(sorted(source.sample(range(total), min(count, total))))
    number = next(numbers, None)
    for (document_id, size), end in zip(documents, ends, strict=True):
        while number is not None and number < end:
            places.append((document_id, number - (end - size)))
            number = next(numbers, None)
    found: list[Sampled] = []
    for start in range(0, len(places), _BATCH):
        of_these = or_(
            *(
                and_(Chunk.document_id == document_id, Chunk.position == position)
                for document_id, position in places[start : start + _BATCH]
            )
        )
        rows = await session.execute(
            select(Document.id, Document.file_name, Chunk.anchor, Chunk.text)
            .join(Document, Document.id == Chunk.document_id)
            .where(of_these, Chunk.enabled)
            .order_by(Chunk.id)
        )
        found += [Sampled(*row) for row in rows]
    source.shuffle(found)
    return found


async def load_around(session: AsyncSession, chunk_ids: Collection[int], reach: int) -> dict[int, Around]:
    """For each of these passages itself and up to `reach` on each side in its document: id, position, anchor and text, in
    order."""
    query = select(Chunk.id, Chunk.document_id, Chunk.position).where(Chunk.id.in_(chunk_ids))
    places = {row.id: (row.document_id, row.position) for row in await session.execute(query)}
    if not places:
        return {}
    near = or_(
        *(
            and_(Chunk.document_id == document_id, Chunk.position.between(position - reach, position + reach))
            for document_id, position in set(places.values())
        )
    )
    rows = await session.execute(
        select(Chunk.document_id, Chunk.id, Chunk.position, Chunk.anchor, Chunk.text)
        .where(near, Chunk.enabled)
        .order_by(Chunk.document_id, Chunk.position)
    )
    by_document: dict[str, list[tuple[int, int, dict[str, Any], str]]] = {}
    for document_id, *row in rows:
        by_document.setdefault(document_id, []).append((row[0], row[1], row[2], row[3]))
    return {
        chunk_id: [one for one in by_document[document_id] if abs(one[1] - position) <= reach]
        for chunk_id, (document_id, position) in places.items()
        if document_id in by_document
    }


async def load_families(session: AsyncSession, chunk_ids: Collection[int]) -> dict[int, tuple[Around, int]]:
    """For each of these passages that is part of a large one: all parts of that, in order, as `load_around` has them, and how many
    characters of another each may repeat. Their positions count without those that are switched off."""
    query = select(Chunk.id, Chunk.document_id, Chunk.parent, Document.chunking)
    query = query.join(Document, Document.id == Chunk.document_id)
    query = query.where(Chunk.id.in_(chunk_ids), Chunk.parent.is_not(None))
    places, repeated = {}, {}
    for chunk_id, document_id, parent, chunking in await session.execute(query):
        places[chunk_id] = (document_id, parent)
        repeated[document_id] = int(chunking.get("chunk_overlap", 0))
    if not places:
        return {}
    of_them = or_(
        *(
            and_(Chunk.document_id == document_id, Chunk.parent == parent)
            for document_id, parent in set(places.values())
        )
    )
    rows = await session.execute(
        select(Chunk.document_id, Chunk.parent, Chunk.id, Chunk.anchor, Chunk.text)
        .where(of_them, Chunk.enabled)
        .order_by(Chunk.document_id, Chunk.position)
    )
    families: dict[tuple[str, int], list[tuple[int, int, dict[str, Any], str]]] = {}
    for document_id, parent, chunk_id, anchor, text in rows:
        family = families.setdefault((document_id, parent), [])
        family.append((chunk_id, len(family), anchor, text))
    return {
        chunk_id: (families[place], repeated[place[0]])
        for chunk_id, place in places.items()
        if place in families
    }
