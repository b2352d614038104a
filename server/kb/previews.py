"""How a file would be cut, shown before anything is stored.

The API has it read by a parse child of its own, under the limits that the worker's have: one at a time, which ends when nobody
waits for it. Few may wait; the others are told to come back. What takes too long for a preview is for the worker.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from langchain_core.documents import Document as Loaded

from server.auth.principal import Principal
from server.core.errors import DocumentNotFound, Invalid, NotFound, TooManyRequests
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import document_repository
from server.kb.access import own_kb
from server.kb.chunk_methods import cut
from server.kb.chunking import ChunkingWish, choose_chunking
from server.kb.file_types import check_type
from server.kb.files import FileStore, check_file_name, name_key
from server.kb.loaders.base import LoadError
from server.kb.loaders.errors import content_gone, no_text
from server.kb.models import KnowledgeBase, Slot
from server.kb.parsing import FOLDER_PREFIX, Parser
from server.kb.splitters import Chunking, Passage
from server.kb.uploads import check_kind
from server.kb.widening import join_parts

# Previews at a time, those included that wait; seconds that one may take.
_MOST, _SECONDS = 4, 60.0
_CROWDED = Text(
    "同时预览的文件太多，请稍后再试", "too many files are previewed just now; try again in a moment"
)
_TOO_LONG = Text(
    "读取该文件的时间太长，不便预览；可以直接上传，由后台处理",
    "reading this file takes too long for a preview; upload it, and it is read in the background",
)


@dataclass(frozen=True, slots=True)
class Preview:
    """`passages`: the first of `total`; `parents`: the large ones that they are part of, by number."""

    total: int
    chars: int
    passages: list[Passage]
    parents: dict[int, str]
    findings: dict[str, Any]


class Previews:
    """One per process."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, settings: Settings) -> None:
        self._database, self._files, self._settings = database, files, settings
        self._lanes = runtime.lanes
        self._parser = Parser.of(settings.ingest, timedelta(seconds=_SECONDS))
        self._open = 0

    async def of_upload(
        self, caller: Principal, name: str, upload: tuple[str, int, BinaryIO], wish: ChunkingWish, limit: int
    ) -> Preview:
        """`upload`: name, size and bytes. Raises KBNotFound, Forbidden, Invalid, TooManyRequests, TooLarge, UnsupportedFile."""
        file_name, size, stream = upload
        kb = await self._kb(caller, name)
        chunking = choose_chunking(wish, kb.chunking, self._settings.kb)
        file_name = check_file_name(file_name)
        suffix = PurePath(file_name).suffix.lower()
        check_kind(file_name, suffix, size, self._settings)
        async with self._turn():
            folder = Path(await self._lanes.run("io", _make_folder))
            try:
                path = folder / f"file{suffix}"
                limit_bytes = self._settings.kb.max_file_size
                stored = await self._lanes.run("io", self._files.save, stream, path, limit_bytes)
                await self._lanes.run("io", check_type, path, suffix, stored.size)
                return await self._read(path, suffix, chunking, limit)
            finally:
                await self._lanes.run("io", _remove_folder, folder)

    async def of_file(
        self, caller: Principal, name: str, file_name: str, wish: ChunkingWish, limit: int
    ) -> Preview:
        """Of one that is there, in its newest version. Raises KBNotFound, Forbidden, NotFound, Invalid, TooManyRequests."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            versions = await document_repository.find_documents(session, kb.id, name_key(file_name))
        document = versions.get(Slot.NEXT) or versions.get(Slot.LIVE)
        if document is None:
            raise DocumentNotFound(file_name)
        chunking = choose_chunking(wish, kb.chunking, self._settings.kb)
        path = self._files.content_path(kb.id, document.id, document.suffix)
        async with self._turn():
            if not await self._lanes.run("io", path.is_file):
                gone = content_gone()
                raise NotFound(Text(gone.zh, gone.en), code="document_not_found")
            return await self._read(path, document.suffix, chunking, limit)

    async def close(self) -> None:
        await self._parser.close()

    async def _kb(self, caller: Principal, name: str) -> KnowledgeBase:
        async with self._database.read() as session:
            return await own_kb(session, caller, name)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._open >= _MOST:
            raise TooManyRequests(_CROWDED, retry_after=5)
        self._open += 1
        try:
            async with asyncio.timeout(2 * _SECONDS):
                yield
        except TimeoutError:
            raise Invalid(_TOO_LONG, code="parse_timeout") from None
        except LoadError as error:
            raise Invalid(Text(error.zh, error.en), code=error.code) from error
        finally:
            self._open -= 1
            if not self._open:
                await self._parser.close()

    async def _read(self, path: Path, suffix: str, chunking: Chunking, limit: int) -> Preview:
        """Raises LoadError."""
        documents, findings = await self._parser.read(path, suffix)
        told = findings.to_json() or {}
        return await self._lanes.run("io", _show, documents, chunking, limit, told)


def _show(documents: list[Loaded], chunking: Chunking, limit: int, findings: dict[str, Any]) -> Preview:
    """Raises LoadError."""
    passages = list(cut(documents, chunking))
    if not passages:
        raise no_text()
    shown = passages[:limit]
    wanted = {passage.parent for passage in shown} - {None}
    parts: dict[int, list[str]] = {}
    for passage in passages:
        if passage.parent is not None and passage.parent in wanted:
            parts.setdefault(passage.parent, []).append(passage.text)
    return Preview(
        len(passages),
        sum(len(passage.text) for passage in passages),
        shown,
        {number: join_parts(texts, chunking.chunk_overlap) for number, texts in parts.items()},
        findings,
    )


def _make_folder() -> str:
    # Named like those of parsers: what a killed process leaves over is swept away with theirs.
    return tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-")


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
