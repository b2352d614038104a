"""A passage that was cited, as it stands now, between its neighbours; and all that was read of a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import DocumentNotFound
from server.core.pagination import PageParams
from server.db.session import Database
from server.kb import chunk_repository, document_repository
from server.kb.access import visible_kb
from server.kb.files import name_key
from server.kb.models import Chunk, Document, KnowledgeBase, Slot
from server.kb.visibility import may_see

# A shorter repetition is as likely chance as overlap.
_MIN_OVERLAP = 4


@dataclass(frozen=True, slots=True)
class Passage:
    """`before` and `after`: what the neighbours say that it does not say itself."""

    chunk: Chunk
    document: Document
    kb: KnowledgeBase
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class ReadText:
    """A page of what was read of a file: per passage its id, what the one before it does not say, and its anchor."""

    passages: list[tuple[int, str, dict[str, Any]]]
    total: int
    page: int


class Passages:
    """Finds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, caller: Principal, *, chunk_id: int, kb_id: str, file_name: str, text: str
    ) -> Passage | None:
        """The passage of this id, or what says the same in a later version of its file.

        None when it is gone, or when the caller may not read its knowledge base or see its document any more.
        """
        async with self._database.read() as session:
            found = (await chunk_repository.load_chunks(session, [chunk_id])).get(chunk_id)
            if found is None:
                found = await chunk_repository.find_same_chunk(session, kb_id, name_key(file_name), text)
            if found is None:
                return None
            chunk, document = found
            kb = await session.get(KnowledgeBase, document.kb_id)
            if kb is None or not _is_open(kb, document, caller):
                return None
            around = await chunk_repository.load_neighbours(session, chunk)
        before, after = around.get(chunk.position - 1), around.get(chunk.position + 1)
        return Passage(
            chunk,
            document,
            kb,
            None if before is None else before[: len(before) - overlap(before, chunk.text)],
            None if after is None else after[overlap(chunk.text, after) :],
        )

    async def find_all(
        self, caller: Principal, ids: Sequence[int], session_id: str | None
    ) -> dict[int, tuple[Chunk, Document]]:
        """Of these passages those that are there and that the caller may see, by id. `session_id`: the conversation whose files
        count, too."""
        async with self._database.read() as session:
            found = await chunk_repository.load_chunks(session, ids)
            kbs = {
                kb_id: await session.get(KnowledgeBase, kb_id)
                for kb_id in {document.kb_id for _, document in found.values()}
            }
        return {
            chunk_id: (chunk, document)
            for chunk_id, (chunk, document) in found.items()
            if (kb := kbs[document.kb_id]) is not None
            and kb.session_id in (None, session_id)
            and _is_open(kb, document, caller)
        }

    async def read(
        self, caller: Principal, kb_name: str, file_name: str, paging: PageParams, near: int | None
    ) -> ReadText:
        """The searchable version of a file as the server understood it. Raises KBNotFound, DocumentNotFound."""
        async with self._database.read() as session:
            kb = await visible_kb(session, caller, kb_name)
            versions = await document_repository.find_seen(session, kb, caller, name_key(file_name))
            document = versions.get(Slot.LIVE)
            if document is None:
                raise DocumentNotFound(file_name)
            return await read_page(session, document, paging, near)


def _is_open(kb: KnowledgeBase, document: Document, caller: Principal) -> bool:
    is_readable = kb.shared or kb.client_id == caller.client_id
    return is_readable and may_see(caller, kb.client_id, document.visible_to)


async def read_page(
    session: AsyncSession, document: Document, paging: PageParams, near: int | None
) -> ReadText:
    """This page of a document that the caller may read; `near` asks for the one that has the passage of this id."""
    page, size = paging.page, paging.page_size
    if (
        near is not None
        and (place := await chunk_repository.find_position(session, document.id, near)) is not None
    ):
        page = place // size + 1
    start = (page - 1) * size
    rows = await chunk_repository.list_passages(
        session, document.id, start=max(0, start - 1), limit=size + (start > 0)
    )
    said = [
        (number, _new_in(text, before), anchor) for (number, text, anchor), before in _with_previous(rows)
    ]
    return ReadText(said[1:] if start else said, document.chunk_count, page)


def _with_previous(
    rows: Sequence[tuple[int, str, dict[str, Any]]],
) -> Iterator[tuple[tuple[int, str, dict[str, Any]], str]]:
    """Each with the text before it; rows of tables repeat nothing."""
    before = ""
    for row in rows:
        yield row, "" if "row" in row[2] else before
        before = row[1]


def _new_in(text: str, before: str) -> str:
    repeated = overlap(before, text)
    return text[repeated:].lstrip() if repeated >= _MIN_OVERLAP else text


def overlap(one: str, next_: str) -> int:
    """How many characters at the end of a passage its successor repeats at its beginning."""
    longest = min(len(one), len(next_))
    return next((size for size in range(longest, 0, -1) if one.endswith(next_[:size])), 0)
