"""What can be done with knowledge bases. Every method takes the caller first and answers only about what is theirs."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO

from server.auth.principal import Principal
from server.core.errors import (
    AlreadyExists,
    AppError,
    Conflict,
    DocumentNotFound,
    Invalid,
    KBExists,
    KBNotFound,
    NotFound,
    TooLarge,
    UnsupportedFile,
    short,
)
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.questions import check_length
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import repository
from server.kb.access import check_queue, check_room, lock_own_kb, own_kb, visible_kb
from server.kb.chunking import ChunkingWish, choose_chunking
from server.kb.custom import Passages as CustomPassages
from server.kb.embedders import Embedders
from server.kb.files import FileStore, StoredFile, check_file_name, check_kb_name, check_type, name_key
from server.kb.indexes import Indexes
from server.kb.loaders import SUFFIXES, can_read
from server.kb.loaders.errors import content_gone, needs_full
from server.kb.media import media_type
from server.kb.models import Document, DocumentState, Job, JobKind, KnowledgeBase, Slot
from server.kb.passages import Passages
from server.kb.questions import Questions
from server.kb.related import RelatedQuestions
from server.kb.retriever import Hit, Retriever, Trace
from server.kb.splitters import Chunking
from server.kb.vectorstores import VECTOR_STORES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of an upload request: the name as it was sent, the size, and a stream at its start."""

    name: str
    size: int
    stream: BinaryIO


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that is safe on disk and in the database. Without a job there is nothing left to do."""

    document: Document
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Content:
    """A file to hand out: where it is, its media type, and whether a browser may show it itself."""

    path: Path
    document: Document
    media_type: str
    inline: bool


class KBService:
    """Knowledge bases of callers."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        embedders: Embedders,
        indexes: Indexes,
        runtime: Runtime,
        settings: Settings,
    ) -> None:
        self._database, self._files, self._embedders, self._indexes = database, files, embedders, indexes
        self._lanes, self._clock, self._settings = runtime.lanes, runtime.clock, settings
        self.questions = Questions(database, runtime)
        self.passages = Passages(database)
        self.related = RelatedQuestions(database, embedders, runtime.tasks)
        self._retriever = Retriever(database, embedders, indexes, runtime.lanes)

    def choose_chunking(self, wish: ChunkingWish | None = None, kb: KnowledgeBase | None = None) -> Chunking:
        """What somebody asks for, and for the rest what the knowledge base or else the server says. Raises Invalid."""
        return choose_chunking(wish or ChunkingWish(), kb.chunking if kb else None, self._settings.kb)

    # ── knowledge bases ───────────────────────────────────────────────────────────────────────────────────────────

    async def create(
        self,
        caller: Principal,
        name: str,
        *,
        zh_name: str = "",
        info: str = "",
        store: str = "faiss",
        model: str | None = None,
        chunking: ChunkingWish | None = None,
    ) -> KnowledgeBase:
        """Make an empty knowledge base. Raises Invalid, AlreadyExists, ModelNotFound, EmbeddingUnavailable."""
        check_kb_name(name)
        check_store(store)
        self.choose_chunking(chunking)
        kb = await self.draft(caller, name, model)
        kb.zh_name, kb.info, kb.vector_store = zh_name, info, store
        kb.chunking = chunking.to_json() if chunking else None
        async with self._database.write() as session:
            if not await repository.add_kb(session, kb):
                raise KBExists(name)
        log.info("knowledge base created", extra={"kb": kb.id})
        return kb

    async def draft(self, caller: Principal, name: str, model: str | None = None) -> KnowledgeBase:
        """The row of one that is not there yet. Raises ModelNotFound, EmbeddingUnavailable."""
        embedder = await self._embedders.get(model or self._settings.embedding.default)
        fingerprint = await self._embedders.fingerprint(embedder)
        return KnowledgeBase(
            id=new_id("kb"),
            client_id=caller.client_id,
            name=name,
            zh_name="",
            info="",
            shared=False,
            vector_store="faiss",
            embed_model=embedder.name,
            fingerprint=fingerprint.to_json(),
            generation=0,
            created_at=self._clock.now(),
        )

    async def delete(self, caller: Principal, name: str) -> None:
        """Delete a knowledge base with everything in it: invisible with the commit, files afterwards."""
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            await session.delete(kb)
        await self.forget(kb.id)

    async def forget(self, kb_id: str) -> None:
        """What is left to do when its row is deleted."""
        self._indexes.forget(kb_id)
        await self._lanes.run("io", self._files.remove_kb, kb_id)
        log.info("knowledge base deleted", extra={"kb": kb_id})

    async def list_all(self, caller: Principal) -> list[tuple[KnowledgeBase, int]]:
        """What the caller sees, each with its number of documents."""
        async with self._database.read() as session:
            return await repository.list_kbs(session, caller.client_id)

    async def get(self, caller: Principal, name: str) -> KnowledgeBase:
        """A knowledge base the caller may read. Raises KBNotFound."""
        async with self._database.read() as session:
            return await visible_kb(session, caller, name)

    # ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_documents(
        self, caller: Principal, name: str, *, offset: int = 0, limit: int | None = None
    ) -> tuple[list[Document], int]:
        async with self._database.read() as session:
            kb = await visible_kb(session, caller, name)
            return await repository.list_documents(session, kb.id, offset=offset, limit=limit)

    async def check_upload(self, caller: Principal, name: str) -> KnowledgeBase:
        """May the caller upload there now? Raises KBNotFound, Forbidden, TooManyRequests."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            await check_queue(session, self._settings)
        return kb

    async def upload(
        self,
        kb: KnowledgeBase,
        upload: Upload,
        chunking: Chunking,
        *,
        override: bool = False,
        vectorise: bool = True,
        custom: CustomPassages | None = None,
    ) -> Accepted:
        """Take one file: safe on disk, then one commit with its row and its job. Reading it is the worker's task.

        The same bytes again change nothing, unless what was kept of them is damaged. Another content under a name that is there
        replaces it, and stays invisible until it is ready; with `override` false a file of the same size counts as the one that
        is there. `custom`: its passages, instead of what the worker would read.
        """
        name = check_file_name(upload.name)
        suffix = PurePath(name).suffix.lower()
        self._check_upload(name, suffix, upload.size)
        document_id = new_id("doc")
        target = self._files.content_path(kb.id, document_id, suffix)
        try:
            limit = self._settings.kb.max_file_size
            stored = await self._lanes.run("io", self._files.save, upload.stream, target, limit)
            await self._lanes.run("io", check_type, target, suffix, stored.size)
            document = self._new_document(kb, document_id, name, suffix, stored, chunking)
            document.custom_docs = custom is not None
            damaged = await self._find_damaged(kb, document)
            accepted, obsolete = await self._register(
                document,
                custom,
                override=override,
                kind=_kind_of(kb) if vectorise else None,
                damaged=damaged,
            )
        except Exception as error:
            # Whatever it was, no row knows these bytes. Not so when it is cancelled: it may be committed just then.
            await self._lanes.run("io", target.unlink, True)
            async with self._database.read() as session:
                is_deleted = await repository.get_generation(session, kb.id) is None
            if is_deleted:  # while we were busy, whatever it was that failed then
                await self._lanes.run("io", self._files.remove_kb, kb.id)
                raise KBNotFound(kb.name) from error
            raise
        for row in obsolete:
            await self._lanes.run(
                "io", self._files.remove_document, kb.id, kb.embed_model, row.id, row.suffix
            )
        return accepted

    def _check_upload(self, name: str, suffix: str, size: int) -> None:
        if suffix not in SUFFIXES:
            known = " ".join(sorted(filter(can_read, SUFFIXES)))
            raise UnsupportedFile(
                Text(
                    f"不支持的文件类型 {suffix or '（无扩展名）'}；支持：{known}",
                    f"unsupported file type {suffix or '(none)'}; use {known}",
                )
            )
        if not can_read(suffix):
            error = needs_full(suffix)
            raise UnsupportedFile(Text(error.zh, error.en))
        limit = self._settings.kb.max_file_size
        if size > limit:
            megabytes = limit // 1024**2
            raise TooLarge(Text(f"文件 {name} 超过 {megabytes} MB", f"{name} is larger than {megabytes} MB"))

    def _new_document(
        self,
        kb: KnowledgeBase,
        document_id: str,
        name: str,
        suffix: str,
        stored: StoredFile,
        chunking: Chunking,
    ) -> Document:
        return Document(
            id=document_id,
            kb_id=kb.id,
            file_name=name,
            name_key=name_key(name),
            slot=Slot.LIVE,
            suffix=suffix,
            size=stored.size,
            sha256=stored.sha256,
            state=DocumentState.WAITING,
            chunking=asdict(chunking),
            char_count=0,
            chunk_count=0,
            created_at=self._clock.now(),
        )

    async def _find_damaged(self, kb: KnowledgeBase, document: Document) -> str | None:
        """The id of the version that this upload may repeat, when that one's files are lost or damaged."""
        async with self._database.read() as session:
            versions = await repository.find_documents(session, kb.id, document.name_key)
        live = versions.get(Slot.LIVE)
        if live is None or live.state != DocumentState.READY or live.size != document.size:
            return None
        content = self._files.content_path(kb.id, live.id, live.suffix)
        segment = self._files.segment_path(kb.id, kb.embed_model, live.segment or "")
        is_intact = await self._lanes.run(
            "io", self._files.is_intact, content, live.sha256, segment, live.segment_sha256 or ""
        )
        return None if is_intact else live.id

    async def _register(
        self,
        document: Document,
        custom: CustomPassages | None,
        *,
        override: bool,
        kind: JobKind | None,
        damaged: str | None,
    ) -> tuple[Accepted, list[Document]]:
        """Decide by the versions that are there. Returns what was accepted and the rows whose files may go."""
        async with self._database.write() as session:
            if kind == JobKind.ATTACH:
                await check_room(session, document)
            versions = await repository.find_documents(session, document.kb_id, document.name_key)
            live, pending = versions.get(Slot.LIVE), versions.get(Slot.NEXT)
            refuse_while_in_work(document.file_name, [live, pending])
            if live is not None and live.state == DocumentState.READY and live.id != damaged:
                if override and _is_the_same(live, document):
                    return Accepted(live, None), [document]
                if live.size == document.size and not override:
                    raise AlreadyExists(
                        Text(f"文件 {document.file_name} 已存在", f"{document.file_name} exists already")
                    )
            # A version that never became searchable makes room; one that is searched stays until the new one is ready.
            obsolete = [
                row for row in (live, pending) if row is not None and row.state != DocumentState.READY
            ]
            await repository.delete_documents(session, [row.id for row in obsolete])
            document.slot = Slot.NEXT if live is not None and live not in obsolete else Slot.LIVE
            document.state = DocumentState.WAITING if kind else DocumentState.STORED
            if not await repository.add_document(session, document):
                raise in_work(document.file_name)
            if custom is not None:
                await repository.set_custom_passages(session, document.id, custom)
            job_id = repository.add_job(session, document, document.created_at, kind).id if kind else None
        return Accepted(document, job_id), obsolete

    async def delete_documents(
        self, caller: Principal, name: str, file_names: Sequence[str], *, delete_content: bool
    ) -> dict[str, AppError]:
        """Take files out of search; with `delete_content` the files go too. Returns the names that failed, and why."""
        failed: dict[str, AppError] = {}
        removed: list[Document] = []
        shelved: list[Document] = []
        async with self._database.write() as session:
            # The knowledge base before its documents, as whoever publishes one.
            kb = await lock_own_kb(session, caller, name)
            await repository.bump_generation(session, kb.id)
            for file_name in dict.fromkeys(file_names):
                versions = await repository.find_documents(session, kb.id, name_key(file_name))
                if not versions:
                    failed[file_name] = DocumentNotFound(file_name)
                for slot, row in versions.items():
                    (removed if delete_content or slot != Slot.LIVE else shelved).append(row)
            await repository.delete_documents(session, [row.id for row in removed])
            await repository.shelve_documents(session, [row.id for row in shelved])
        for row in removed:
            await self._lanes.run("io", self._files.remove_everywhere, kb.id, row.id, row.suffix)
        for row in shelved:
            await self._lanes.run("io", self._files.remove_segments, kb.id, kb.embed_model, row.id)
        return failed

    async def content(
        self, caller: Principal, name: str, file_name: str, *, preview: bool = False
    ) -> Content:
        """The bytes of a file as they were uploaded: its searchable version, or else the pending one."""
        async with self._database.read() as session:
            kb = await visible_kb(session, caller, name)
            versions = await repository.find_documents(session, kb.id, name_key(file_name))
        document = versions.get(Slot.LIVE) or versions.get(Slot.NEXT)
        if document is None:
            raise DocumentNotFound(file_name)
        return await self.open(document, preview=preview)

    async def open(self, document: Document, *, preview: bool) -> Content:
        """The bytes of a document that the caller may read. Raises NotFound."""
        path = self._files.content_path(document.kb_id, document.id, document.suffix)
        if not await self._lanes.run("io", path.is_file):
            log.error("content is gone", extra={"document": document.id})
            error = content_gone()
            raise NotFound(Text(error.zh, error.en), code="document_not_found")
        kind, inline = await self._lanes.run(
            "io", partial(media_type, path, document.suffix, preview=preview)
        )
        return Content(path, document, kind, inline)

    # ── jobs ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_jobs(
        self, caller: Principal, name: str | None, *, offset: int, limit: int
    ) -> tuple[list[tuple[Job, Document]], int]:
        """Jobs of one knowledge base, or of all that are the caller's own, newest first."""
        async with self._database.read() as session:
            if name is not None:
                kbs = [await own_kb(session, caller, name)]
            else:
                visible = await repository.list_kbs(session, caller.client_id)
                kbs = [kb for kb, _ in visible if kb.client_id == caller.client_id]
            return await repository.list_jobs(session, [kb.id for kb in kbs], offset=offset, limit=limit)

    async def get_job(self, caller: Principal, job_id: str) -> tuple[Job, Document]:
        async with self._database.read() as session:
            found = await repository.find_job(session, job_id)
        if found is None or found[2].client_id != caller.client_id:
            raise NotFound(Text("未找到该任务", "job not found"))
        return found[0], found[1]

    # ── search ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def search(
        self, caller: Principal, name: str, question: str, *, top_k: int, threshold: float
    ) -> tuple[list[Hit], Trace]:
        """Hits of a knowledge base the caller may read, closest first. Raises Invalid, KBNotFound, EmbeddingUnavailable."""
        check_length(question, self._settings.chat.max_query_chars)
        return await self.search_in(await self.get(caller, name), question, top_k=top_k, threshold=threshold)

    async def check_searchable(self, kb: KnowledgeBase) -> None:
        """Is the model of this knowledge base there? Raises EmbeddingUnavailable, EmbeddingMismatch."""
        await self._embedders.of(kb)

    async def search_in(
        self, kb: KnowledgeBase, question: str, *, top_k: int, threshold: float
    ) -> tuple[list[Hit], Trace]:
        """The same for a knowledge base that `get` gave a moment ago."""
        hits, (trace,) = await self.search_all([kb], question, top_k=top_k, threshold=threshold)
        return hits, trace

    async def search_all(
        self, kbs: Sequence[KnowledgeBase], question: str, *, top_k: int, threshold: float
    ) -> tuple[list[Hit], list[Trace]]:
        """The closest hits of several, in one list, and how each one's were found."""
        return await self._retriever.search(kbs, question, top_k=top_k, threshold=threshold)

    async def count_unread(self, kb: KnowledgeBase) -> int:
        """Documents that are on their way and cannot be found yet."""
        async with self._database.read() as session:
            return await repository.count_unread(session, kb.id)


def check_store(store: str) -> None:
    """Raises Invalid for a vector store that is not there."""
    if store not in VECTOR_STORES:
        known = ", ".join(VECTOR_STORES)
        shown = short(store)
        raise Invalid(
            Text(f"不支持的向量库 {shown}；可用：{known}", f"unknown vector store {shown}; use {known}")
        )


def _kind_of(kb: KnowledgeBase) -> JobKind:
    return JobKind.INGEST if kb.session_id is None else JobKind.ATTACH


def _is_the_same(live: Document, document: Document) -> bool:
    """Would reading the new one give what is there?"""
    custom = live.custom_docs or document.custom_docs
    return live.sha256 == document.sha256 and live.chunking == document.chunking and not custom


def refuse_while_in_work(name: str, versions: list[Document | None]) -> None:
    """A file that the worker holds cannot be exchanged under its hands."""
    at_rest = (DocumentState.READY, DocumentState.FAILED, DocumentState.STORED)
    if any(row is not None and row.state not in at_rest for row in versions):
        raise in_work(name)


def in_work(name: str) -> Conflict:
    return Conflict(
        Text(
            f"同名文件 {name} 正在处理中，请等它完成",
            f"a file named {name} is being processed; wait until it is done",
        ),
        code="in_progress",
    )
