"""SQL about searching by words. Functions take the session first and never commit.

Each database looks tokens up in its own way: SQLite by FTS5, PostgreSQL by a GIN index over the array of tokens, MariaDB by
InnoDB's FULLTEXT. That is all they do: what a passage is worth is computed in one place (matching.py), the same on all.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    delete,
    literal_column,
    or_,
    select,
    text,
    true,
    union_all,
    update,
)
from sqlalchemy.dialects.mysql import match
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncSession

from server.db.batches import batches
from server.kb import lexicon
from server.kb.analysis import VERSION
from server.kb.models import SEARCHED, Chunk, Document, DocumentState, DocumentTerms, Slot
from server.kb.visibility import Viewer, may_see

# One statement whatever the question, as building one for each costs more than it takes to run.
_SQLITE = text(
    "SELECT token.key AS n, found.rowid AS id FROM json_each(:tokens) AS token CROSS JOIN chunk_fts AS found"
    " WHERE found.chunk_fts MATCH token.value LIMIT :total"
)
# `string_to_array` as it stands in the index, or the index is not used.
_POSTGRESQL = text(
    "SELECT token.n - 1, found.id FROM json_array_elements_text(CAST(:tokens AS json)) WITH ORDINALITY AS token(word, n)"
    " CROSS JOIN LATERAL (SELECT id FROM chunk WHERE string_to_array(tokens, ' ') @> ARRAY[token.word] LIMIT :total) AS found"
)
# The same for somebody from whom documents are hidden.
_SQLITE_BUT = text(
    "SELECT token.key AS n, found.rowid AS id FROM json_each(:tokens) AS token CROSS JOIN chunk_fts AS found"
    " CROSS JOIN chunk ON chunk.id = found.rowid WHERE found.chunk_fts MATCH token.value"
    " AND chunk.document_id NOT IN (SELECT value FROM json_each(:hidden)) LIMIT :total"
)
_POSTGRESQL_BUT = text(
    "SELECT token.n - 1, found.id FROM json_array_elements_text(CAST(:tokens AS json)) WITH ORDINALITY AS token(word, n)"
    " CROSS JOIN LATERAL (SELECT id FROM chunk WHERE string_to_array(tokens, ' ') @> ARRAY[token.word]"
    " AND document_id NOT IN (SELECT json_array_elements_text(CAST(:hidden AS json))) LIMIT :total) AS found"
)


async def look_up(
    session: AsyncSession, tokens: Sequence[str], limit: int, hidden: Collection[str] = ()
) -> NDArray[np.int64]:
    """(n, 2): the number of a token and the id of a chunk that has it; about `limit` at most. `hidden`: not of these documents."""
    if not tokens:
        return np.empty((0, 2), np.int64)
    dialect = session.get_bind().dialect.name
    if dialect in ("sqlite", "postgresql"):
        given = {"tokens": json.dumps(tokens), "total": limit}
        statement = _SQLITE if dialect == "sqlite" else _POSTGRESQL
        if hidden:
            given["hidden"] = json.dumps(sorted(hidden))
            statement = _SQLITE_BUT if dialect == "sqlite" else _POSTGRESQL_BUT
        rows = await session.execute(statement, given)
    else:  # AGAINST takes nothing but a constant
        seen = Chunk.document_id.not_in(sorted(hidden)) if hidden else true()
        found = [
            select(Chunk.id, literal_column(str(number)).label("n"))
            .where(seen)
            .where(match(cast("ColumnElement[Any]", Chunk.tokens), against=token, in_boolean_mode=True))
            .limit(limit)
            .subquery()
            for number, token in enumerate(tokens)
        ]
        rows = await session.execute(union_all(*(select(one.c.n, one.c.id) for one in found)))
    return np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A chunk of a searchable document, and the document's name. `is_embedded`: it has a vector, too."""

    document_id: str
    file_name: str
    anchor: dict[str, Any]
    text: str
    is_embedded: bool = True


async def load_passages(
    session: AsyncSession, ids: Sequence[int], viewer: Viewer, client_id: str
) -> dict[int, StoredPassage]:
    """Those of these chunks that are searchable at this moment, for this viewer, by id. `client_id`: whose they are."""
    found = {}
    for batch in batches(ids):
        query = (
            select(
                Document.visible_to,
                Chunk.id,
                Document.id,
                Document.file_name,
                Chunk.anchor,
                Chunk.text,
                Document.state == DocumentState.READY,
            )
            .join(Document, Document.id == Chunk.document_id)
            .where(
                Chunk.id.in_(batch),
                Chunk.enabled,
                Document.state.in_(SEARCHED),
                Document.slot == Slot.LIVE,
            )
        )
        for visible_to, chunk_id, *stored in await session.execute(query):
            if may_see(viewer, client_id, visible_to):
                found[chunk_id] = StoredPassage(*stored)
    return found


async def list_indexed(session: AsyncSession, kb_id: str) -> dict[str, str | None]:
    """The searchable documents that can be found by words: their segments by their ids. With another segment a document has other
    counts."""
    query = (
        select(DocumentTerms.document_id, Document.segment)
        .join(Document, Document.id == DocumentTerms.document_id)
        .where(
            Document.kb_id == kb_id,
            Document.state.in_(SEARCHED),
            Document.slot == Slot.LIVE,
            DocumentTerms.version == VERSION,
        )
    )
    return {row.document_id: row.segment for row in await session.execute(query)}


async def load_terms(session: AsyncSession, ids: Sequence[str]) -> list[lexicon.DocumentTerms]:
    """The counts of documents."""
    found = []
    for batch in batches(ids):
        query = select(
            DocumentTerms.document_id, DocumentTerms.passages, DocumentTerms.length, DocumentTerms.packed
        ).where(DocumentTerms.document_id.in_(batch))
        found += [lexicon.DocumentTerms(*row) for row in await session.execute(query)]
    return found


async def set_terms(session: AsyncSession, counts: lexicon.DocumentTerms) -> None:
    """Put the counts of a document where those of an earlier reading may be."""
    await session.execute(delete(DocumentTerms).where(DocumentTerms.document_id == counts.document_id))
    session.add(
        DocumentTerms(
            document_id=counts.document_id,
            version=VERSION,
            passages=counts.passages,
            length=counts.length,
            packed=counts.packed,
        )
    )


async def set_tokens(session: AsyncSession, tokens: dict[int, str]) -> None:
    """Index chunks that are there already."""
    chunks = cast("Table", Chunk.__table__)
    statement = update(chunks).where(chunks.c.id == bindparam("chunk")).values(tokens=bindparam("found_by"))
    rows = [{"chunk": chunk_id, "found_by": found} for chunk_id, found in tokens.items()]
    for batch in batches(rows):
        connection = await session.connection()
        await connection.execute(statement, batch)


async def find_unindexed(session: AsyncSession, kb_id: str | None = None) -> Document | None:
    """A ready document that cannot be found by words yet, or only by those of an earlier version; the smallest first."""
    query = (
        select(Document)
        .outerjoin(DocumentTerms, DocumentTerms.document_id == Document.id)
        .where(
            Document.state == DocumentState.READY,
            Document.slot.is_not(None),
            or_(DocumentTerms.document_id.is_(None), DocumentTerms.version != VERSION),
        )
        .order_by(Document.chunk_count, Document.id)
        .limit(1)
    )
    return await session.scalar(query if kb_id is None else query.where(Document.kb_id == kb_id))


async def is_as_read(session: AsyncSession, document: Document) -> bool:
    """Is the document still what it was when its chunks were read? It stays so until this transaction ends."""
    same = and_(
        Document.id == document.id,
        Document.segment == document.segment,
        Document.state == DocumentState.READY,
    )
    return await session.scalar(select(Document.id).where(same).with_for_update()) is not None


async def forget_terms(session: AsyncSession, kb_id: str) -> None:
    """Have the documents of a knowledge base indexed again."""
    mine = select(Document.id).where(Document.kb_id == kb_id)
    await session.execute(delete(DocumentTerms).where(DocumentTerms.document_id.in_(mine)))


async def is_index_sound(session: AsyncSession) -> bool:
    """Does the database's text index hold what the passages say? Only SQLite's is one that could differ."""
    if session.get_bind().dialect.name != "sqlite":
        return True
    try:
        await session.execute(text("INSERT INTO chunk_fts(chunk_fts, rank) VALUES ('integrity-check', 1)"))
    except DatabaseError as error:
        if "malformed" not in str(error.orig):
            raise
        return False
    return True


async def rebuild_index(session: AsyncSession) -> None:
    """Make it anew of what the passages say."""
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(text("INSERT INTO chunk_fts(chunk_fts) VALUES ('rebuild')"))
