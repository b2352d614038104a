"""One document from its bytes to its vectors. Every step is a function with plain input and output; the order is

    parse → split → carry people's changes over → find the terms → store → embed → write the segment → publish

`store` is a commit that lets a file be found by its words; one that replaces another waits for `publish`, which makes everything
visible: index first, `ready` last, in one commit. What is stored is gone on with when a worker ends between the two. A document
whose vectors were lost keeps its passages, and whatever people did with them: these are embedded again, and nothing else changes.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.core.errors import Busy, Overtaken, StorageFull
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import (
    chunk_repository,
    document_repository,
    job_repository,
    lexical_repository,
    rebuild_repository,
    repository,
    version_repository,
)
from server.kb.anchors import searched_text
from server.kb.chunk_methods import cut
from server.kb.doing import Doing
from server.kb.edits import Outcome, Piece, carry_over
from server.kb.embedders import Embedders
from server.kb.embedding import Content, Embedding, Progress, content_of
from server.kb.files import FileStore, remove_file
from server.kb.lexicon import DocumentTerms, analyse
from server.kb.loaders.base import LoadError
from server.kb.loaders.errors import content_gone, nothing_enabled
from server.kb.models import Chunk, Document, DocumentState, JobKind, JobState, KnowledgeBase, Slot
from server.kb.parsing import Pages, Parser
from server.kb.segments import write_segment
from server.kb.splitters import Chunking, Passage

log = logging.getLogger(__name__)

# Bytes of disk below which no document is begun.
_ROOM = 16 * 1024**2


class LeaseLost(Exception):
    """Another worker has this job now, or the document was deleted meanwhile: stop and leave no trace."""


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed job with the rows it is about, detached from any session."""

    job_id: str
    owner: str
    attempt: int
    document: Document
    kb: KnowledgeBase
    kind: str = JobKind.INGEST
    doing: Doing = field(default_factory=Doing)

    @property
    def is_found_early(self) -> bool:
        """By its words, before it has vectors: there is no other version that is searched meanwhile."""
        return self.document.slot == Slot.LIVE


@dataclass(frozen=True, slots=True)
class Read:
    """What a document says: its passages, what the model reads of each, and either what the text index finds each enabled one by,
    with the counts of all, or the ids under which they are stored already."""

    pieces: list[Piece]
    contents: list[Content]
    words: tuple[list[str], DocumentTerms] | None = None
    ids: list[int] | None = None
    # What became of people's changes.
    outcome: Outcome = field(default_factory=Outcome)

    @property
    def searched(self) -> list[Content]:
        """Of the passages that are not switched off: one vector each."""
        return [content for piece, content in zip(self.pieces, self.contents, strict=True) if piece.enabled]

    @property
    def chars(self) -> int:
        """Of the same passages."""
        return sum(len(piece.passage.text) for piece in self.pieces if piece.enabled)


class Ingest:
    """The steps, with what they need."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        parser: Parser,
        embedders: Embedders,
        runtime: Runtime,
        keep_versions: int = 0,
    ) -> None:
        """`keep_versions`: earlier ones of each file."""
        self._database, self._files, self._parser = database, files, parser
        self._lanes, self._clock, self._keep_versions = runtime.lanes, runtime.clock, keep_versions
        self._embedding = Embedding(database, files, embedders, runtime.lanes)

    async def has_room(self) -> bool:
        """Is there disk for another document? What is begun without ends in the middle, and so again and again."""
        return await self._lanes.run("io", self._files.free) >= _ROOM

    async def run(self, work: Work, progress: Progress, pages: Pages | None = None) -> None:
        """Make one document searchable; `pages` is told how far its reading is. Raises LoadError, EmbeddingUnavailable, LeaseLost."""
        document, kb = work.document, work.kb
        read = await self._stored(work)
        if read is None:
            await self._enter(work, DocumentState.PARSING)
            pieces, outcome = await self._carry_over(work, await self._passages(work, pages))
            read = await self._lanes.run("io", _understand, work, pieces, outcome)
        work.doing.read_all(read.chars, len(read.searched))
        if work.is_found_early and read.words is not None:
            await self._store(work, read)
        else:
            await self._enter(work, DocumentState.EMBEDDING)
        is_rebuild = document.slot == Slot.REBUILD
        vectors = await self._embedding.embed(kb, read.searched, progress, rebuild=is_rebuild)
        work.doing.is_ending = True
        # A name that was never used: a worker that lost its lease must not write over its successor's file, and indexes
        # know by the name what they hold.
        segment = self._files.segment_path(kb.id, kb.embed_model, f"{document.id}.{secrets.token_hex(4)}.npy")
        try:
            sha256 = await self._lanes.run("io", write_segment, segment, vectors)
            gone = await self._publish(work, read, (segment.name, sha256))
        except (LeaseLost, Busy, Overtaken, StorageFull, OSError) as error:
            async with self._database.read() as session:
                is_deleted = await repository.get_generation(session, kb.id) is None
                row = await document_repository.find_document(session, document.id)
            # A connection may have broken while the commit was on its way: then it is published.
            if row is None or row.segment != segment.name:
                await self._lanes.run("io", remove_file, segment)
            if is_deleted:  # and writing has made its folder again, or failed because that was gone
                await self._lanes.run("io", self._files.remove_kb, kb.id)
                raise LeaseLost from error
            raise
        await self._lanes.run(
            "io", self._files.remove_segments, kb.id, kb.embed_model, document.id, segment.name
        )
        await self._lanes.run("io", self._files.remove_documents, gone)

    async def _stored(self, work: Work) -> Read | None:
        """The passages that are there: an earlier try has stored them, or only their vectors were lost. None when there are none,
        or the model reads them otherwise now."""
        document = work.document
        was_stored = work.is_found_early and document.state == DocumentState.EMBEDDING
        if work.kind != JobKind.REPAIR and not was_stored:
            return None
        async with self._database.read() as session:
            chunks = await chunk_repository.list_chunks(session, document.id)
        read = await self._lanes.run("io", _recall, work, chunks)
        count = document.chunk_count + document.disabled_count
        is_whole = [row.position for row in chunks] == list(range(count))
        is_as_read = [content.hash for content in read.contents] == [row.content_hash for row in chunks]
        return read if read.searched and is_whole and is_as_read else None

    async def _passages(self, work: Work, pages: Pages | None) -> list[Passage]:
        """What people gave for the document, or else what its file says; `work.document` has what was found beside it."""
        document = work.document
        document.findings = None
        if document.custom_docs:
            async with self._database.read() as session:
                return [
                    Passage(**row)
                    for row in await document_repository.get_custom_passages(session, document.id)
                ]
        path = self._files.content_path(work.kb.id, document.id, document.suffix)
        if not await self._lanes.run("io", path.is_file):
            raise content_gone()
        loaded, findings = await self._parser.read(path, document.suffix, pages)
        document.findings = findings.to_json()
        if document.findings:
            log.info("document read", extra={"document": document.id, **document.findings})
        return await self._lanes.run("io", _split, loaded, Chunking(**document.chunking))

    async def _carry_over(self, work: Work, passages: list[Passage]) -> tuple[list[Piece], Outcome]:
        """What people changed in the passages before. Nobody changes them meanwhile: the document is in work."""
        async with self._database.read() as session:
            earlier = await chunk_repository.find_earlier(session, work.document)
        if earlier.is_untouched:
            return [Piece(passage) for passage in passages], Outcome()
        pieces, outcome = await self._lanes.run("io", carry_over, passages, earlier)
        if not any(piece.enabled for piece in pieces):
            raise nothing_enabled()
        told = {"kept": outcome.kept, "lost": outcome.lost_count}
        log.log(
            logging.WARNING if outcome.lost_count else logging.INFO,
            "changes of passages carried over",
            extra={"document": work.document.id, **told},
        )
        return pieces, outcome

    async def _enter(self, work: Work, state: DocumentState) -> None:
        async with self._database.write() as session:
            # The knowledge base before its documents and their jobs, as whoever deletes one.
            if await rebuild_repository.lock_kb(session, work.kb.id) is None:
                raise LeaseLost
            # What was found by the words of an earlier try may be read again.
            is_again = work.document.state == DocumentState.EMBEDDING and state == DocumentState.PARSING
            if is_again:
                await repository.bump_generation(session, work.kb.id)
            if not await job_repository.begin_stage(session, work.job_id, work.owner, self._clock.now()):
                raise LeaseLost
            if is_again:
                await document_repository.forget_words(session, work.document.id)
            await document_repository.set_state(session, work.document.id, state)

    async def _store(self, work: Work, read: Read) -> None:
        """The commit that lets the document be found by its words. Raises LeaseLost, Busy."""
        async with self._database.write() as session:
            await repository.bump_generation(session, work.kb.id)
            if not await job_repository.begin_stage(session, work.job_id, work.owner, self._clock.now()):
                raise LeaseLost
            await _check_model(session, work)
            document = await session.get_one(Document, work.document.id)
            document.state = DocumentState.EMBEDDING
            await self._put(session, document, work, read)

    async def _publish(self, work: Work, read: Read, segment: tuple[str, str]) -> list[Document]:
        """The one commit that makes the document searchable; returns the versions that are gone with it. Raises LeaseLost.

        `segment`: its name and checksum.
        """
        now, kb = self._clock.now(), work.kb
        async with self._database.write() as session:
            # First, as it locks the knowledge base: its model stays what it is until the commit.
            await repository.bump_generation(session, kb.id)
            document = await document_repository.find_document(session, work.document.id)
            held = await job_repository.finish_job(session, work.job_id, work.owner, JobState.DONE, now)
            if document is None or not held:
                raise LeaseLost
            await _check_model(session, work)
            gone: list[Document] = []
            if document.slot == Slot.NEXT:
                versions = await document_repository.find_documents(session, kb.id, document.name_key)
                if (replaced := versions.get(Slot.LIVE)) is not None:
                    gone = await self._supersede(session, work, document, replaced, read)
            if read.ids is not None:
                await self._keep(session, work, read.ids)
            elif not work.is_found_early:
                await self._put(session, document, work, read)
            elif await chunk_repository.count_chunks(session, document.id) != len(read.pieces):
                raise LeaseLost  # nobody takes them away while this holds the job
            if document.slot != Slot.REBUILD:  # those become visible together, see rebuild.py
                document.slot = Slot.LIVE
            document.state = DocumentState.READY
            (document.segment, document.segment_sha256), document.ready_at = segment, now
            document.error_code = document.error_text = None
        return gone

    async def _supersede(
        self, session: AsyncSession, work: Work, document: Document, replaced: Document, read: Read
    ) -> list[Document]:
        """Keep what is replaced as an earlier version; not in a conversation, nor where the same bytes were read again: that is
        no other version of the file, unless people gave its passages, or some of their changes did not come along."""
        is_restored = document.ready_at is not None  # with people's changes of its own
        is_same = document.sha256 == replaced.sha256 and not read.outcome.lost_count and not is_restored
        if is_same and (document.custom_docs or replaced.custom_docs):
            rows = _rows(work, read)
            is_same = await version_repository.has_the_same_passages(session, replaced, rows)
        if is_same or work.kb.session_id is not None:
            await document_repository.delete_documents(session, [replaced.id])
            return [replaced]
        return await version_repository.supersede(session, replaced, self._clock.now(), self._keep_versions)

    async def _put(self, session: AsyncSession, document: Document, work: Work, read: Read) -> None:
        """Store its passages, in place of those of an earlier reading."""
        assert read.words is not None
        document.chunk_count, document.char_count = len(read.searched), read.chars
        document.disabled_count, document.edits = (
            len(read.pieces) - len(read.searched),
            read.outcome.to_json(),
        )
        document.findings = work.document.findings
        await session.flush()
        await document_repository.delete_chunks(session, [document.id])
        await chunk_repository.add_chunks(session, _rows(work, read))
        await lexical_repository.set_terms(session, read.words[1])

    async def _keep(self, session: AsyncSession, work: Work, ids: list[int]) -> None:
        """Leave the passages as they are. Raises Overtaken when they were changed meanwhile: once more, with what is there now."""
        if [chunk.id for chunk in await chunk_repository.list_chunks(session, work.document.id)] != ids:
            raise Overtaken
        if work.kind == JobKind.REPAIR:
            # An index may still have the old ids, with the segment that is not read any more.
            await chunk_repository.renumber_chunks(session, work.document.id)


def _understand(work: Work, pieces: list[Piece], outcome: Outcome) -> Read:
    """All of a document that takes reckoning, so that no transaction waits for it. Blocks."""
    document = work.document
    searched = [piece.passage for piece in pieces if piece.enabled]
    found_by = [searched_text(document.file_name, passage.anchor, passage.text) for passage in searched]
    words = analyse(work.kb.id, document.id, found_by)
    return Read(pieces, _contents(work, pieces), words, outcome=outcome)


def _recall(work: Work, chunks: Sequence[Chunk]) -> Read:
    """The same of passages that are stored. Blocks."""
    pieces = [
        Piece(Passage(row.text, row.anchor, row.parent), row.enabled, row.origin, row.original)
        for row in chunks
    ]
    return Read(pieces, _contents(work, pieces), ids=[row.id for row in chunks])


def _contents(work: Work, pieces: Sequence[Piece]) -> list[Content]:
    name, is_plain = work.document.file_name, work.kb.is_plain
    return [content_of(name, piece.passage, is_plain=is_plain) for piece in pieces]


def _rows(work: Work, read: Read) -> list[dict[str, Any]]:
    assert read.words is not None
    tokens = iter(read.words[0])
    return [
        chunk_row(work.document, piece, content.hash)
        | {"position": position, "tokens": next(tokens) if piece.enabled else None}
        for position, (piece, content) in enumerate(zip(read.pieces, read.contents, strict=True))
    ]


def chunk_row(document: Document, piece: Piece, content_hash: str) -> dict[str, Any]:
    """What the table has of a passage, but for its place and its tokens."""
    passage = piece.passage
    return {
        "kb_id": document.kb_id,
        "document_id": document.id,
        "text": passage.text,
        "anchor": passage.anchor,
        "parent": passage.parent,
        "enabled": piece.enabled,
        "origin": piece.origin,
        "original": piece.original,
        "content_hash": content_hash,
    }


async def _check_model(session: AsyncSession, work: Work) -> None:
    """Raises Busy when the knowledge base has changed its embedding model while the document was read."""
    kb = await session.get_one(KnowledgeBase, work.kb.id, populate_existing=True)
    if work.document.slot == Slot.REBUILD:
        if kb.rebuild is None:
            raise LeaseLost
        kb = kb.rebuilt()
    if kb.binding != work.kb.binding:
        raise Busy(
            Text(
                "知识库刚更换了向量模型，稍后自动重试",
                "the knowledge base has just changed its embedding model; this is tried again by itself",
            ),
            retry_after=1,
        )


def _split(documents: list[Any], chunking: Chunking) -> list[Passage]:
    passages = list(cut(documents, chunking))
    if not passages:
        raise LoadError("no_text", "文件里没有可用的文字", "there is no text in this file")
    return passages
