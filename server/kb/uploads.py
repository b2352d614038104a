"""Files that come in: safe on disk, then one commit with the document and its job. Reading them is the worker's task."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from server.auth.principal import Principal
from server.core.errors import (
    AlreadyExists,
    Conflict,
    KBNotFound,
    TooLarge,
    UnsupportedFile,
)
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import PASSING_FAULTS, Database
from server.kb import document_repository, job_repository, rebuild_repository, repository, version_repository
from server.kb.access import check_queue, check_room, own_kb
from server.kb.custom import Passages as CustomPassages
from server.kb.file_types import check_type
from server.kb.files import FileStore, StoredFile, check_file_name, name_key, remove_file
from server.kb.loaders import SUFFIXES, can_read, refusal
from server.kb.models import Document, DocumentState, JobKind, KnowledgeBase, Slot
from server.kb.splitters import Chunking


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of an upload request: the name as it was sent, the size, and a stream at its start.

    `labels`: what is said of it, some of models.LABELS; the rest is taken over from what it replaces.
    """

    name: str
    size: int
    stream: BinaryIO
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that is safe on disk and in the database. Without a job there is nothing left to do."""

    document: Document
    job_id: str | None


class Uploads:
    """Takes them into knowledge bases."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, settings: Settings) -> None:
        self._database, self._files, self._settings = database, files, settings
        self._lanes, self._clock = runtime.lanes, runtime.clock

    async def check(self, caller: Principal, name: str) -> KnowledgeBase:
        """May the caller upload there now? Raises KBNotFound, Forbidden, TooManyRequests, StorageFull."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            await check_queue(session, kb.client_id, self._settings)
        await self._lanes.run("io", self._files.check_room)
        return kb

    async def take(
        self,
        kb: KnowledgeBase,
        upload: Upload,
        chunking: Chunking,
        *,
        override: bool = False,
        vectorise: bool = True,
        custom: CustomPassages | None = None,
        is_queued: bool = False,
    ) -> Accepted:
        """Take one file: safe on disk, then one commit with its row and its job. Reading it is the worker's task.

        The same bytes again change nothing, unless what was kept of them is damaged. Another content under a name that is there
        replaces it, and stays invisible until it is ready; with `override` false a file of the same size counts as the one that
        is there. `custom`: its passages, instead of what the worker would read. `is_queued`: only while there is room for its job;
        raises TooManyRequests.
        """
        name = check_file_name(upload.name)
        suffix = PurePath(name).suffix.lower()
        check_kind(name, suffix, upload.size, self._settings)
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
                upload.labels,
                custom,
                override=override,
                kind=_kind_of(kb) if vectorise else None,
                damaged=damaged,
                queue_of=kb.client_id if is_queued and vectorise else None,
            )
        except Exception as error:
            # Whatever it was: not so when it is cancelled, as it may be committed just then.
            if await self._undo(
                kb, target, document_id
            ):  # while we were busy, whatever it was that failed then
                await self._lanes.run("io", self._files.remove_kb, kb.id)
                raise KBNotFound(kb.name) from error
            raise
        await self._lanes.run("io", self._files.remove_documents, obsolete)
        return accepted

    async def _undo(self, kb: KnowledgeBase, target: Path, document_id: str) -> bool:
        """Remove bytes that no row knows, and say whether the knowledge base is gone.

        A connection may break while the commit is on its way: then the row may be there. What nobody can tell now is left to the sweep.
        """
        try:
            async with self._database.read() as session:
                row = await document_repository.find_document(session, document_id)
                is_deleted = await repository.get_generation(session, kb.id) is None
        except PASSING_FAULTS:
            return False
        if row is None:
            await self._lanes.run("io", remove_file, target)
        return is_deleted

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
            chunking=chunking.to_json(),
            char_count=0,
            chunk_count=0,
            created_at=self._clock.now(),
        )

    async def _find_damaged(self, kb: KnowledgeBase, document: Document) -> str | None:
        """The id of the version that this upload may repeat, when that one's files are lost or damaged."""
        async with self._database.read() as session:
            versions = await document_repository.find_documents(session, kb.id, document.name_key)
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
        labels: Mapping[str, Any],
        custom: CustomPassages | None,
        *,
        override: bool,
        kind: JobKind | None,
        damaged: str | None,
        queue_of: str | None,
    ) -> tuple[Accepted, list[Document]]:
        """Decide by the versions that are there. Returns what was accepted and the rows whose files may go."""
        async with self._database.write() as session:
            # What is said of a document does not change between here and the commit.
            await rebuild_repository.lock_kb(session, document.kb_id)
            if kind == JobKind.ATTACH:
                await check_room(session, document)
            versions = await document_repository.find_documents(session, document.kb_id, document.name_key)
            live, pending = versions.get(Slot.LIVE), versions.get(Slot.NEXT)
            refuse_while_in_work(document.file_name, [live, pending])
            if live is not None and live.state == DocumentState.READY and live.id != damaged:
                if override and _is_the_same(live, document):
                    # A replacement that could not be read is not wanted any more.
                    now = document.created_at
                    failed = await version_repository.give_way(session, pending, now)
                    rest = [row for row in versions.values() if row is not pending]
                    await document_repository.label(session, document.kb_id, rest, labels)
                    return Accepted(live, None), [document, *failed]
                if live.size == document.size and not override:
                    raise _exists(live, document)
            if queue_of is not None:
                await check_queue(session, queue_of, self._settings)
            if (newest := pending or live) is not None:
                document.take_over(newest)
            document.label(labels)
            # A version that never became searchable makes room; one that is searched stays until the new one is ready.
            # So does one that was: what people made of its passages is carried over from it.
            obsolete = await version_repository.give_way(session, pending, document.created_at)
            if live is not None and live.state != DocumentState.READY and not _was_searched(live):
                await document_repository.delete_documents(session, [live.id])
                obsolete.append(live)
            document.slot = Slot.NEXT if live is not None and live not in obsolete else Slot.LIVE
            document.state = DocumentState.WAITING if kind else DocumentState.STORED
            if not await document_repository.add_document(session, document):
                raise in_work(document.file_name)
            if custom is not None:
                await document_repository.set_custom_passages(session, document.id, custom)
            job = await job_repository.add_job(session, document, document.created_at, kind) if kind else None
        return Accepted(document, job.id if job else None), obsolete


def _was_searched(document: Document) -> bool:
    """And could not be read again, or lost its vectors."""
    return document.state == DocumentState.FAILED and document.ready_at is not None


def check_kind(name: str, suffix: str, size: int, settings: Settings) -> None:
    """Can such a file be read here? Raises UnsupportedFile, TooLarge."""
    if suffix not in SUFFIXES:
        known = " ".join(sorted(filter(can_read, SUFFIXES)))
        raise UnsupportedFile(
            Text(
                f"不支持的文件类型 {suffix or '（无扩展名）'}；支持：{known}",
                f"unsupported file type {suffix or '(none)'}; use {known}",
            )
        )
    if error := refusal(suffix):
        raise UnsupportedFile(Text(error.zh, error.en))
    limit = settings.kb.max_file_size
    if size > limit:
        megabytes = limit // 1024**2
        raise TooLarge(Text(f"文件 {name} 超过 {megabytes} MB", f"{name} is larger than {megabytes} MB"))


def _kind_of(kb: KnowledgeBase) -> JobKind:
    return JobKind.INGEST if kb.session_id is None else JobKind.ATTACH


def _exists(live: Document, document: Document) -> AlreadyExists:
    name = document.file_name
    if live.sha256 == document.sha256:
        return AlreadyExists(
            Text(f"文件 {name} 已存在，内容相同", f"{name} exists already, with the same content")
        )
    return AlreadyExists(
        Text(
            f"文件 {name} 已存在，内容不同；要替换请加 override=true",
            f"{name} exists already, with another content; to replace it say override=true",
        )
    )


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
