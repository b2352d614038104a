"""One document from its bytes to its vectors. Every step is a function with plain input and output; the order is

    parse → split → embed → write the segment → publish

and only the last one is visible: index first, `ready` last, in one commit.
"""

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from server.core.errors import Busy
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import repository
from server.kb.anchors import describe_context
from server.kb.embedders import Embedders
from server.kb.files import FileStore
from server.kb.loaders.base import LoadError
from server.kb.loaders.errors import content_gone
from server.kb.models import Document, DocumentState, JobState, KnowledgeBase, Slot
from server.kb.parsing import Parser
from server.kb.repository import KnownVector
from server.kb.segments import SegmentError, read_segment, write_segment
from server.kb.splitters import Chunking, Passage, split

log = logging.getLogger(__name__)
Vectors = NDArray[np.float32]

# Characters per call of a model: about two seconds of the bundled one on two cores. A call cannot be stopped, so this is
# how long a worker takes to notice that it should end, or that its document was deleted. A network only costs waiting.
_BATCH_CHARS = 3000
_REMOTE_BATCH_CHARS = 8000
# Reports how many passages of how many are embedded; raises LeaseLost when the job is not ours any more.
Progress = Callable[[int, int], Awaitable[None]]


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


class Ingest:
    """The steps, with what they need."""

    def __init__(
        self, database: Database, files: FileStore, parser: Parser, embedders: Embedders, runtime: Runtime
    ) -> None:
        self._database, self._files, self._parser, self._embedders = database, files, parser, embedders
        self._lanes, self._clock = runtime.lanes, runtime.clock

    async def run(self, work: Work, progress: Progress) -> None:
        """Make one document searchable. Raises LoadError, EmbeddingUnavailable, LeaseLost."""
        document, kb = work.document, work.kb
        await self._enter(work, DocumentState.PARSING)
        passages = await self._passages(work)
        await self._enter(work, DocumentState.EMBEDDING)
        vectors = await self._embed(work, passages, progress)
        # A name that was never used: a worker that lost its lease must not write over its successor's file, and indexes
        # know by the name what they hold.
        segment = self._files.segment_path(kb.id, kb.embed_model, f"{document.id}.{secrets.token_hex(4)}.npy")
        try:
            sha256 = await self._lanes.run("io", write_segment, segment, vectors)
            replaced = await self._publish(work, passages, segment.name, sha256)
        except (LeaseLost, Busy, OSError) as error:
            await self._lanes.run("io", segment.unlink, True)
            if await self._is_deleted(
                kb
            ):  # and writing has made its folder again, or failed because that was gone
                await self._lanes.run("io", self._files.remove_kb, kb.id)
                raise LeaseLost from error
            raise
        await self._lanes.run(
            "io", self._files.remove_segments, kb.id, kb.embed_model, document.id, segment.name
        )
        if replaced is not None:
            await self._lanes.run(
                "io", self._files.remove_document, kb.id, kb.embed_model, replaced.id, replaced.suffix
            )

    async def _passages(self, work: Work) -> list[Passage]:
        """What people gave for the document, or else what its file says."""
        document = work.document
        if document.custom_docs:
            async with self._database.read() as session:
                return [Passage(**row) for row in await repository.get_custom_passages(session, document.id)]
        path = self._files.content_path(work.kb.id, document.id, document.suffix)
        if not await self._lanes.run("io", path.is_file):
            raise content_gone()
        loaded = await self._parser.parse(path, document.suffix)
        return await self._lanes.run("io", _split, loaded, Chunking(**document.chunking))

    async def _is_deleted(self, kb: KnowledgeBase) -> bool:
        async with self._database.read() as session:
            return await repository.get_generation(session, kb.id) is None

    async def _enter(self, work: Work, state: DocumentState) -> None:
        async with self._database.write() as session:
            if not await repository.holds_job(session, work.job_id, work.owner):
                raise LeaseLost
            await repository.set_state(session, work.document.id, state)

    async def _embed(self, work: Work, passages: list[Passage], progress: Progress) -> Vectors:
        """One row per passage. Vectors of unchanged passages are copied, equal passages are embedded once."""
        embedder = await self._embedders.of(work.kb)
        contents = [embedded_text(work.document.file_name, passage) for passage in passages]
        hashes = [content_hash(content) for content in contents]
        vectors = await self._copy_known(work, hashes)
        missing = {h: content for h, content in zip(hashes, contents, strict=True) if h not in vectors}
        done = len(passages) - len(missing)
        await progress(done, len(passages))
        for batch in _batches(missing, _REMOTE_BATCH_CHARS if embedder.is_remote else _BATCH_CHARS):
            fresh = await self._embedders.embed_passages(embedder, [missing[h] for h in batch])
            vectors.update(zip(batch, fresh, strict=True))
            done += len(batch)
            await progress(done, len(passages))
        return np.stack([vectors[h] for h in hashes])

    async def _copy_known(self, work: Work, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        async with self._database.read() as session:
            known = await repository.find_known_vectors(
                session, work.kb.id, sorted(set(hashes)), rebuild=work.document.slot == Slot.REBUILD
            )
        return await self._lanes.run("io", self._read_known, work.kb, known) if known else {}

    def _read_known(self, kb: KnowledgeBase, known: dict[str, KnownVector]) -> dict[str, NDArray[np.float32]]:
        segments: dict[str, Vectors | None] = {}
        vectors = {}
        for h, place in known.items():
            if place.segment not in segments:
                path = self._files.segment_path(kb.id, kb.embed_model, place.segment)
                try:
                    segments[place.segment] = read_segment(path, place.sha256)
                except SegmentError as error:  # then these passages are simply embedded again
                    log.warning("segment unusable", extra={"kb": kb.name, "reason": str(error)})
                    segments[place.segment] = None
            segment = segments[place.segment]
            if segment is not None:
                vectors[h] = segment[place.position]
        return vectors

    async def _publish(
        self, work: Work, passages: list[Passage], segment: str, sha256: str
    ) -> Document | None:
        """The one commit that makes the document searchable; returns the version it replaced. Raises LeaseLost."""
        now, kb = self._clock.now(), work.kb
        rows: list[dict[str, Any]] = [
            {
                "kb_id": kb.id,
                "document_id": work.document.id,
                "position": position,
                "text": passage.text,
                "anchor": passage.anchor,
                "content_hash": content_hash(embedded_text(work.document.file_name, passage)),
            }
            for position, passage in enumerate(passages)
        ]
        async with self._database.write() as session:
            # First, as it locks the knowledge base: its model stays what it is until the commit.
            await repository.bump_generation(session, kb.id)
            document = await repository.find_document(session, work.document.id)
            held = await repository.finish_job(session, work.job_id, work.owner, JobState.DONE, now)
            if document is None or not held:
                raise LeaseLost
            await _check_model(session, work)
            replaced = None
            if document.slot == Slot.NEXT:
                versions = await repository.find_documents(session, kb.id, document.name_key)
                replaced = versions.get(Slot.LIVE)
                if replaced is not None:
                    await repository.delete_documents(session, [replaced.id])
            if document.slot != Slot.REBUILD:  # those become visible together, see rebuild.py
                document.slot = Slot.LIVE
            document.state = DocumentState.READY
            document.chunk_count, document.char_count = len(rows), sum(len(row["text"]) for row in rows)
            document.segment, document.segment_sha256, document.ready_at = segment, sha256, now
            document.error_code = document.error_text = None
            await session.flush()
            await repository.delete_chunks(session, [document.id])  # of an earlier reading
            await repository.add_chunks(session, rows)
        return replaced


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
    passages = list(split(documents, chunking))
    if not passages:
        raise LoadError("no_text", "文件里没有可用的文字", "there is no text in this file")
    return passages


def embedded_text(file_name: str, passage: Passage) -> str:
    """What the model sees of a passage: where it stands and what it says, so that a short one keeps its subject."""
    return f"{describe_context(file_name, passage.anchor)}\n{passage.text}"


def content_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _batches(missing: dict[str, str], size: int) -> Iterator[list[str]]:
    """Hashes in batches of at most `size` characters, or of one passage that is longer."""
    batch: list[str] = []
    chars = 0
    for h, content in missing.items():
        if batch and chars + len(content) > size:
            yield batch
            batch, chars = [], 0
        batch.append(h)
        chars += len(content)
    if batch:
        yield batch
