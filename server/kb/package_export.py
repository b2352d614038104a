"""A knowledge base on its way out, as one package."""

import logging
import secrets
import shutil
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

from server.auth.principal import Principal
from server.core.durable import storing
from server.core.errors import Busy, Conflict
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import document_repository, package_repository
from server.kb.access import own_kb
from server.kb.files import FileStore
from server.kb.models import Document, DocumentState, KnowledgeBase
from server.kb.package_format import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    DOCUMENTS,
    FORMAT,
    MANIFEST,
    QUESTIONS,
    VERSION,
    Extra,
    Part,
    chunks_name,
    content_name,
    custom_name,
    more_name,
    pack_columns,
    to_line,
    vectors_name,
)
from server.kb.package_writing import Growing, Snapshot, stream
from server.kb.segments import SegmentError, read_segment

log = logging.getLogger(__name__)

FOLDER = "packages"
# Readings of a document that is exchanged under them; passages that are read together.
_TRIES, _AT_ONCE = 5, 500


class _Changed(Exception):
    """The document is not what it was when its reading began."""


class Exports:
    """Packages of knowledge bases of callers who may change them."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime) -> None:
        self._database, self._files = database, files
        self._lanes, self._clock = runtime.lanes, runtime.clock
        self.extras: list[Extra] = []

    async def begin(self, caller: Principal, name: str) -> Snapshot:
        """Put everything down that the package will have; `drop` it in the end.

        Raises KBNotFound, Forbidden, Conflict, StorageFull.
        """
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            names = await package_repository.list_names(session, kb.id)
        folder = self._files.data_dir / FOLDER / secrets.token_hex(8)
        snapshot = Snapshot(kb.name, folder, self._clock.now())
        try:
            with storing():
                await self._lanes.run("io", lambda: folder.mkdir(parents=True))
                documents = await self._begin(snapshot, DOCUMENTS)
                for number, (key, slot) in enumerate(names, 1):
                    line = await self._put(snapshot, kb, number, key, slot)
                    if line is not None:
                        await self._lanes.run("io", documents.write, [line])
                described = await self._lanes.run("io", documents.end)
                await self._finish(snapshot, kb, described)
        except BaseException:
            await self.drop(snapshot)
            raise
        log.info("export begins", extra={"kb": kb.id, "files": len(snapshot.entries)})
        return snapshot

    async def stream(self, snapshot: Snapshot) -> AsyncGenerator[bytes, None]:
        """The bytes of the package."""
        pieces = stream(snapshot)
        while piece := await self._lanes.run("io", _next, pieces):
            yield piece

    async def drop(self, snapshot: Snapshot) -> None:
        await self._lanes.run("io", shutil.rmtree, snapshot.folder, True)

    async def _begin(self, snapshot: Snapshot, name: str) -> Growing:
        return await self._lanes.run("io", snapshot.begin, name)

    async def _finish(self, snapshot: Snapshot, kb: KnowledgeBase, documents: Part) -> None:
        async with self._database.read() as session:
            now = await session.get(KnowledgeBase, kb.id)
            rows = await package_repository.list_questions(session, kb.id)
            more = {extra.name: await extra.load(session, kb.id) for extra in self.extras}
        if now is None or now.binding != kb.binding:
            raise _busy(kb.name)
        columns = ("query", "answer", "enabled", "tap_count", "created_at")
        lines = b"".join(to_line(pack_columns(row, columns)) for row in rows)
        questions = await self._lanes.run("io", snapshot.write, QUESTIONS, lines)
        parts = {
            name: await self._lanes.run("io", snapshot.write, more_name(name), b"".join(map(to_line, kept)))
            for name, kept in more.items()
        }
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "created_at": snapshot.created_at,
            "client_id": kb.client_id,
            "knowledge_base": pack_columns(now, ("name", "zh_name", "info", "chunking", "retrieval")),
            "model": {"name": kb.embed_model, "fingerprint": kb.fingerprint},
            "documents": documents.model_dump(),
            "questions": questions.model_dump(),
            "more": {name: part.model_dump() for name, part in parts.items()},
        }
        await self._lanes.run("io", snapshot.write, MANIFEST, to_line(manifest))

    async def _put(
        self, snapshot: Snapshot, kb: KnowledgeBase, number: int, key: str, slot: str
    ) -> dict[str, Any] | None:
        """Put a document down and return what is said of it; None when it is gone. Raises Conflict, Busy."""
        for _ in range(_TRIES):
            async with self._database.read() as session:
                document = await package_repository.find_document(session, kb.id, key, slot)
            if document is None:
                return None
            try:
                return await self._put_as_it_is(snapshot, kb, number, document)
            except _Changed:
                await self._lanes.run("io", snapshot.drop, str(number))
        raise _busy(kb.name)

    async def _put_as_it_is(
        self, snapshot: Snapshot, kb: KnowledgeBase, number: int, document: Document
    ) -> dict[str, Any]:
        suffix = document.suffix
        content = await self._link(
            snapshot,
            content_name(number, suffix),
            self._files.content_path(kb.id, document.id, suffix),
            document.sha256,
        )
        if content is None:
            if await self._is_as_read(document):
                raise _content_gone(document.file_name)
            raise _Changed
        parts: dict[str, Part | None] = {"content": content, "chunks": None, "vectors": None, "custom": None}
        is_ready = document.state == DocumentState.READY
        if is_ready:
            parts["chunks"] = await self._put_chunks(snapshot, number, document)
            segment = self._files.segment_path(kb.id, kb.embed_model, document.segment or "")
            if await self._is_intact(
                segment, document.segment_sha256 or ""
            ):  # or else it is embedded again there
                sha256 = document.segment_sha256 or ""
                parts["vectors"] = await self._link(snapshot, vectors_name(number), segment, sha256)
        if document.custom_docs:
            async with self._database.read() as session:
                passages = await document_repository.get_custom_passages(session, document.id)
            data = to_line({"passages": passages})
            parts["custom"] = await self._lanes.run("io", snapshot.write, custom_name(number), data)
        if not await self._is_as_read(document):
            raise _Changed
        state = (
            document.state if is_ready or document.state == DocumentState.STORED else DocumentState.WAITING
        )
        said = pack_columns(
            document,
            ("file_name", "slot", "chunking", "tags", "properties", "visible_to", "created_at", "ready_at"),
        )
        return {
            "number": number,
            "state": state,
            **said,
            **{name: part and part.model_dump() for name, part in parts.items()},
            "columns": pack_columns(document, DOCUMENT_COLUMNS),
        }

    async def _put_chunks(self, snapshot: Snapshot, number: int, document: Document) -> Part:
        growing = await self._begin(snapshot, chunks_name(number))
        after = -1
        while True:
            async with self._database.read() as session:
                rows = await package_repository.list_chunks(session, document.id, after, _AT_ONCE)
            if not rows:
                return await self._lanes.run("io", growing.end)
            columns = ("position", "text", "anchor", *CHUNK_COLUMNS)
            await self._lanes.run("io", growing.write, [pack_columns(row, columns) for row in rows])
            after = rows[-1].position

    async def _link(self, snapshot: Snapshot, name: str, path: Path, sha256: str) -> Part | None:
        try:
            return await self._lanes.run("io", snapshot.link, name, path, sha256)
        except FileNotFoundError:
            return None

    async def _is_intact(self, segment: Path, sha256: str) -> bool:
        try:
            await self._lanes.run("io", read_segment, segment, sha256)
        except SegmentError:
            return False
        return True

    async def _is_as_read(self, document: Document) -> bool:
        """Its passages change only together with its segment."""
        async with self._database.read() as session:
            now = await document_repository.find_document(session, document.id)
        return now is not None and (now.segment, now.state, now.slot) == (
            document.segment,
            document.state,
            document.slot,
        )


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")


def _busy(name: str) -> Busy:
    return Busy(
        Text(f"知识库 {name} 正在变动，请稍后再导出", f"knowledge base {name} is changing; export it later"),
        retry_after=10,
    )


def _content_gone(file_name: str) -> Conflict:
    return Conflict(
        Text(
            f"文件 {file_name} 的原文件已丢失，重新上传或删除它之后再导出",
            f"the content of {file_name} is gone: upload it again or delete it, then export",
        ),
        code="content_gone",
    )
