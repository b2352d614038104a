"""People read the passages of a file one by one, change them, add some, switch them off or delete them.

A change embeds one passage at most. It writes a new segment, in which the vectors of the others are copied, and becomes visible
by one commit, as a document does when it is read: every process and every store of vectors follows the generation. A passage that
says something else gets another id, so that an id always has the same vector.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import Busy, Conflict, DocumentNotFound, KBNotFound, NotFound, Overtaken
from server.core.i18n import Text
from server.core.pagination import PageParams
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import chunk_edit_repository, document_repository, lexical_repository, repository
from server.kb.access import lock_own_kb, own_kb
from server.kb.chunk_change import (
    Change,
    Seen,
    Vectors,
    Wish,
    add,
    delete,
    edit,
    exchange_row,
    note_in,
    recounted,
    row_of,
)
from server.kb.damage import read_or_none, repair
from server.kb.document_repository import ReadySegment
from server.kb.embedders import Embedders
from server.kb.embedding import Content, content_of
from server.kb.files import FileStore, name_key
from server.kb.ingest import chunk_row
from server.kb.lexicon import DocumentTerms
from server.kb.models import Chunk, Document, DocumentState, KnowledgeBase, Slot
from server.kb.segments import write_segment
from server.kb.uploads import refuse_while_in_work
from server.kb.widening import join_parts

log = logging.getLogger(__name__)

# How often a change is made anew because somebody else, in another process, has changed the same file meanwhile.
_TRIES = 8
_LAST = Text(
    "这是该文件最后一个可检索的段落；要让整个文件不被检索，请删除文件或将其移出检索",
    "this is the last passage of the file that is searched; to have none, delete the file or take it out of search",
)
_DAMAGED = Text(
    "该文件的向量已损坏，正在重新生成，请稍后再改",
    "the vectors of this file were damaged and are made again; change it in a moment",
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as editors see it; `parent`: the large one that it is part of."""

    chunk: Chunk
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    """The passage that is changed; or the file that gets another one, behind the passage."""

    chunk_id: int | None
    file_name: str | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    """What was made ready for the commit. `content` None: the passage goes. `terms` None: the document cannot be found by words
    yet, and is indexed later."""

    segment: Path
    sha256: str
    content: Content | None
    terms: DocumentTerms | None
    tokens: str | None


class ChunkEditing:
    """Passages of knowledge bases that callers may change. Every method raises KBNotFound and Forbidden."""

    def __init__(self, database: Database, files: FileStore, embedders: Embedders, runtime: Runtime) -> None:
        self._database, self._files, self._embedders = database, files, embedders
        self._lanes, self._clock = runtime.lanes, runtime.clock
        # One at a time in a knowledge base: they would only make each other begin anew.
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def list_all(
        self, caller: Principal, name: str, file_name: str, containing: str, paging: PageParams
    ) -> tuple[list[Shown], int]:
        """The passages of the version of a file that is shown, in order. Raises DocumentNotFound."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            versions = await document_repository.find_documents(session, kb.id, name_key(file_name))
            if not versions:
                raise DocumentNotFound(file_name)
            document = versions.get(Slot.LIVE)
            if document is None:
                return [], 0
            rows, total = await chunk_edit_repository.list_chunks(
                session, document.id, containing, offset=paging.offset, limit=paging.page_size
            )
            return await _show(session, rows), total

    async def update(self, caller: Principal, name: str, chunk_id: int, wish: Wish) -> Shown:
        """Raises NotFound, Conflict (in work, the last one), Overtaken, EmbeddingUnavailable."""
        return await self._make(caller, name, _Target(chunk_id), lambda seen: edit(seen, wish))

    async def add(self, caller: Principal, name: str, file_name: str, wish: Wish, after: int | None) -> Shown:
        """At the end of the file, or behind one of its passages. Raises as `update`, and DocumentNotFound."""
        return await self._make(caller, name, _Target(after, file_name), lambda seen: add(seen, wish))

    async def delete(self, caller: Principal, name: str, chunk_id: int) -> Shown:
        """Returns it as it was. Raises as `update`."""
        return await self._make(caller, name, _Target(chunk_id), delete)

    # ── how a change is made ──────────────────────────────────────────────────────────────────────────────────────

    async def _make(
        self, caller: Principal, name: str, target: _Target, decide: Callable[[Seen], Change | None]
    ) -> Shown:
        turn = self._turns.setdefault((caller.client_id, name), asyncio.Lock())
        # What was embedded stays known when a change must be made anew.
        known: dict[str, Vectors] = {}
        async with turn:
            for again in range(_TRIES):
                try:
                    seen = await self._look(caller, name, target)
                except NotFound:
                    if again:  # it was there a moment ago
                        raise Overtaken from None
                    raise
                change = decide(seen)
                if change is None:
                    return await self._shown(seen.chunk)
                if seen.document.chunk_count + change.growth < 1:
                    raise Conflict(_LAST, code="last_passage")
                made = await self._commit(caller, seen, change, known)
                if made is not None:
                    return await self._shown(made)
        raise Overtaken

    async def _look(self, caller: Principal, name: str, target: _Target) -> Seen:
        """Raises KBNotFound, Forbidden, DocumentNotFound, NotFound, Conflict."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            chunk = document = None
            if target.chunk_id is not None:
                found = await chunk_edit_repository.find_chunk(session, kb.id, target.chunk_id)
                if found is None:
                    raise _not_found()
                chunk, document = found
            if target.file_name is not None:
                document = await self._file(session, kb, target.file_name, chunk)
            assert document is not None
            await _check_rest(session, document)
            places = await chunk_edit_repository.list_places(session, document.id)
            terms = await chunk_edit_repository.get_terms(session, document.id)
        return Seen(kb, document, places, terms, chunk)

    async def _file(
        self, session: AsyncSession, kb: KnowledgeBase, file_name: str, behind: Chunk | None
    ) -> Document:
        versions = await document_repository.find_documents(session, kb.id, name_key(file_name))
        document = versions.get(Slot.LIVE) or versions.get(Slot.NEXT)
        if document is None:
            raise DocumentNotFound(file_name)
        if behind is not None and behind.document_id != document.id:
            raise _not_found()
        return document

    async def _commit(
        self, caller: Principal, seen: Seen, change: Change, known: dict[str, Vectors]
    ) -> Chunk | None:
        """Write the segment, then the one commit. None when somebody else has changed the file meanwhile."""
        kb, document, piece = seen.kb, seen.document, change.piece
        content = (
            None if piece is None else content_of(document.file_name, piece.passage, is_plain=kb.is_plain)
        )
        vectors = await self._vectors(seen, change, content, known)
        name = f"{document.id}.{secrets.token_hex(4)}.npy"
        segment = self._files.segment_path(kb.id, kb.embed_model, name)
        try:
            sha256 = await self._lanes.run("io", write_segment, segment, vectors)
            terms, tokens = await self._lanes.run("io", recounted, seen, change)
            made = await self._publish(
                caller, seen, change, _Written(segment, sha256, content, terms, tokens)
            )
        except Exception:
            # Whatever it was, no row knows the file. Not so when it is cancelled: it may be committed just then.
            await self._lanes.run("io", segment.unlink, True)
            await self._forget_if_deleted(kb)
            raise
        if made is None:
            await self._lanes.run("io", segment.unlink, True)
            await self._forget_if_deleted(kb)
            return None
        chunk, stale = made
        await self._lanes.run("io", self._files.remove_segments, kb.id, kb.embed_model, document.id, name)
        await self._lanes.run("io", self._files.remove_documents, stale)
        log.info("passage changed", extra={"document": document.id, "kb": kb.id})
        return chunk

    async def _vectors(
        self, seen: Seen, change: Change, content: Content | None, known: dict[str, Vectors]
    ) -> Vectors:
        kb, document, piece = seen.kb, seen.document, change.piece
        ids = [chunk_id for chunk_id, enabled in seen.places if enabled]
        segment = ReadySegment(document.id, document.segment or "", document.segment_sha256 or "", ids)
        dimension = int(kb.fingerprint["dimension"])
        vectors = await self._lanes.run("io", read_or_none, self._files, kb, dimension, segment)
        if vectors is None:
            async with self._database.read() as session:
                now = await chunk_edit_repository.find_segment(session, document.id)
            if now == segment.name:
                await repair(self._database, self._clock, segment)
            raise Busy(_DAMAGED, retry_after=5)
        row = row_of(seen, change)
        fresh = None
        if piece is not None and piece.enabled and content is not None:
            gone = change.gone
            if gone is not None and gone.enabled and gone.content_hash == content.hash:
                fresh = vectors[row]
            else:
                if content.text not in known:
                    embedder = await self._embedders.of(kb)
                    known[content.text] = (await self._embedders.embed_passages(embedder, [content.text]))[0]
                fresh = known[content.text]
        return exchange_row(vectors, change, row, fresh)

    async def _publish(
        self, caller: Principal, seen: Seen, change: Change, written: _Written
    ) -> tuple[Chunk, list[Document]] | None:
        """Returns the passage as it is now, or was, and versions that are not what they were made for any more."""
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, seen.kb.name)
            document = await session.get(Document, seen.document.id, populate_existing=True)
            if document is None or not _is_as_seen(seen, kb, document):
                return None
            if await chunk_edit_repository.get_terms(session, document.id) != seen.terms:
                return None
            stale = await _check_rest(session, document)
            await repository.bump_generation(session, kb.id)
            # One that was made ready for another embedding model lacks this change: it is made again (rebuild.py).
            await document_repository.delete_documents(session, [row.id for row in stale])
            piece = change.piece
            fresh: dict[str, Any] | None = None
            if piece is not None and written.content is not None:
                fresh = chunk_row(document, piece, written.content.hash) | {"tokens": written.tokens}
            gone = change.gone
            made = await chunk_edit_repository.exchange(
                session, document.id, change.position, gone.id if gone else None, fresh
            )
            note_in(document, change)
            document.segment, document.segment_sha256 = written.segment.name, written.sha256
            if written.terms is not None:
                await lexical_repository.set_terms(session, written.terms)
        chunk = made or gone
        assert chunk is not None
        return chunk, stale

    async def _forget_if_deleted(self, kb: KnowledgeBase) -> None:
        """Writing has made the folder of a knowledge base again that was deleted meanwhile."""
        async with self._database.read() as session:
            is_deleted = await repository.get_generation(session, kb.id) is None
        if is_deleted:
            await self._lanes.run("io", self._files.remove_kb, kb.id)
            raise KBNotFound(kb.name)

    async def _shown(self, chunk: Chunk | None) -> Shown:
        assert chunk is not None
        async with self._database.read() as session:
            return (await _show(session, [chunk]))[0]


async def _show(session: AsyncSession, rows: Sequence[Chunk]) -> list[Shown]:
    """Passages of one document, each with the large one around it."""
    parents = {row.parent for row in rows if row.parent is not None}
    large: dict[int, str] = {}
    if parents and (document := await session.get(Document, rows[0].document_id)) is not None:
        parts = await chunk_edit_repository.list_parts(session, document.id, parents)
        repeated = int(document.chunking.get("chunk_overlap", 0))
        large = {number: join_parts(texts, repeated) for number, texts in parts.items()}
    return [Shown(row, large.get(row.parent) if row.parent is not None else None) for row in rows]


async def _check_rest(session: AsyncSession, document: Document) -> list[Document]:
    """Raises Conflict when a worker holds the file or it is not searched. Returns its version for another embedding model."""
    versions = await document_repository.find_documents(session, document.kb_id, document.name_key)
    refuse_while_in_work(document.file_name, list(versions.values()))
    if document.slot != Slot.LIVE or document.state != DocumentState.READY:
        raise Conflict(
            Text(
                f"文件 {document.file_name} 没有可检索的版本，先让它处理成功再改",
                f"{document.file_name} has no version that is searched; have it read first",
            ),
            code="not_ready",
        )
    return [row for slot, row in versions.items() if slot == Slot.REBUILD]


def _is_as_seen(seen: Seen, kb: KnowledgeBase, document: Document) -> bool:
    return kb.id == seen.kb.id and kb.binding == seen.kb.binding and document.segment == seen.document.segment


def _not_found() -> NotFound:
    return NotFound(
        Text(
            "未找到该段落，可能已被修改或删除，请刷新",
            "passage not found; perhaps it was changed or deleted: look again",
        ),
        code="passage_not_found",
    )
