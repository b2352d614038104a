"""What can be done with knowledge bases. Every method takes the caller first and answers only about what is theirs."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from server.auth.principal import Principal
from server.core.errors import (
    AppError,
    DocumentNotFound,
    EmbeddingMismatch,
    EmbeddingUnavailable,
    KBExists,
    ModelNotFound,
    NotFound,
)
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.questions import check_length
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import document_repository, repository, version_repository
from server.kb.access import lock_own_kb, visible_kb
from server.kb.analysis import same_words
from server.kb.calibrating import Calibrator
from server.kb.chunk_editing import ChunkEditing
from server.kb.chunking import ChunkingWish, choose_chunking
from server.kb.embedders import Embedders
from server.kb.explain import Explaining
from server.kb.files import FileStore, check_kb_name, name_key
from server.kb.filters import Filters
from server.kb.hits import Hit, Trace, Within
from server.kb.loaders.errors import content_gone
from server.kb.media import media_type
from server.kb.models import Document, KnowledgeBase, Slot, fingerprint_of
from server.kb.passages import Passages
from server.kb.previews import Previews
from server.kb.questions import Questions
from server.kb.related import RelatedQuestions
from server.kb.retriever import Retriever
from server.kb.slots import Slots
from server.kb.splitters import Chunking
from server.kb.store_servers import check_store
from server.kb.tuning import Tuning
from server.kb.uploads import Uploads
from server.kb.vectorstores import IN_MEMORY
from server.kb.visibility import Viewer
from server.kb.widening import Widening

log = logging.getLogger(__name__)

# Instead of names: all knowledge bases that the caller sees.
EVERYWHERE = "*"


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
        slots: Slots,
        retriever: Retriever,
        runtime: Runtime,
        settings: Settings,
    ) -> None:
        self._database, self._files, self._embedders = database, files, embedders
        self._slots = slots
        self._lanes, self._clock, self._settings = runtime.lanes, runtime.clock, settings
        self.uploads = Uploads(database, files, runtime, settings)
        self.questions = Questions(database, runtime)
        self.passages = Passages(database)
        self.editing = ChunkEditing(database, files, embedders, runtime)
        self.previews = Previews(database, files, runtime, settings)
        self.related = RelatedQuestions(database, embedders, runtime.tasks)
        self.retriever, self._indexes = retriever, retriever.indexes
        self.explaining = Explaining(database, self.retriever)
        self.tuning = Tuning(database, settings)
        self.widening = Widening(database)
        self.calibrator = Calibrator(database, embedders, self.retriever, runtime.clock)

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
        store: str | None = None,
        model: str | None = None,
        chunking: ChunkingWish | None = None,
    ) -> KnowledgeBase:
        """Make an empty knowledge base. Raises Invalid, AlreadyExists, ModelNotFound, EmbeddingUnavailable, StoreUnavailable."""
        check_kb_name(name)
        store = store or self._settings.vector_store.default
        check_store(store, self._settings)
        self.choose_chunking(chunking)
        await self._slots.check(store)
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
            vector_store=IN_MEMORY,
            embed_model=embedder.name,
            fingerprint=fingerprint_of(fingerprint),
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
            return await repository.list_kbs(session, caller.client_id, caller)

    async def get(self, caller: Principal, name: str) -> KnowledgeBase:
        """A knowledge base the caller may read. Raises KBNotFound."""
        async with self._database.read() as session:
            return await visible_kb(session, caller, name)

    async def find_others(
        self, caller: Principal, kb: KnowledgeBase, names: Sequence[str]
    ) -> list[KnowledgeBase]:
        """Those that are to be searched beside one; `*` means all that have documents and can be searched.

        Raises KBNotFound, EmbeddingUnavailable (of one that is named).
        """
        found: dict[str, KnowledgeBase] = {}
        for name in dict.fromkeys(names):
            if name != EVERYWHERE:
                named = await self.get(caller, name)
                await self.check_searchable(named)
                found[named.id] = named
        if EVERYWHERE in names:
            for seen in [seen for seen, count in await self.list_all(caller) if count]:
                with suppress(EmbeddingUnavailable, EmbeddingMismatch, ModelNotFound):
                    await self.check_searchable(seen)
                    found.setdefault(seen.id, seen)
        found.pop(kb.id, None)
        return list(found.values())

    # ── documents ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_documents(
        self, caller: Principal, name: str, *, offset: int = 0, limit: int | None = None
    ) -> tuple[list[Document], int]:
        async with self._database.read() as session:
            kb = await visible_kb(session, caller, name)
            return await document_repository.list_documents(session, kb, caller, offset=offset, limit=limit)

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
                versions = await document_repository.find_documents(session, kb.id, name_key(file_name))
                if not versions:
                    failed[file_name] = DocumentNotFound(file_name)
                for slot, row in versions.items():
                    (removed if delete_content or slot != Slot.LIVE else shelved).append(row)
            if delete_content:
                keys = {row.name_key for row in removed}
                removed += await version_repository.list_archived(session, kb.id, keys)
            await document_repository.delete_documents(session, [row.id for row in removed])
            await document_repository.shelve_documents(session, [row.id for row in shelved])
        await self._lanes.run("io", self._files.remove_documents, removed)
        for row in shelved:
            await self._lanes.run("io", self._files.remove_segments, kb.id, kb.embed_model, row.id)
        return failed

    async def content(
        self, caller: Principal, name: str, file_name: str, *, preview: bool = False
    ) -> Content:
        """The bytes of a file as they were uploaded: its searchable version, or else the pending one. Raises NotFound."""
        async with self._database.read() as session:
            kb = await visible_kb(session, caller, name)
            versions = await document_repository.find_seen(session, kb, caller, name_key(file_name))
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

    # ── search ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def search(
        self,
        caller: Principal,
        name: str,
        question: str,
        *,
        top_k: int,
        threshold: float | None = None,
        filters: Filters | None = None,
    ) -> tuple[list[Hit], Trace]:
        """Hits of a knowledge base the caller may read, closest first. Raises Invalid, KBNotFound, EmbeddingUnavailable."""
        check_length(question, self._settings.chat.max_query_chars)
        kb = await self.get(caller, name)
        return await self.search_all(
            [kb], question, viewer=caller, top_k=top_k, threshold=threshold, filters=filters
        )

    async def check_searchable(self, kb: KnowledgeBase) -> None:
        """Is the model of this knowledge base there? Raises EmbeddingUnavailable, EmbeddingMismatch."""
        await self._embedders.of(kb)

    async def search_in(
        self, kb: KnowledgeBase, question: str, *, viewer: Viewer, top_k: int, threshold: float | None = None
    ) -> tuple[list[Hit], Trace]:
        """The same for a knowledge base that `get` gave a moment ago."""
        return await self.search_all([kb], question, viewer=viewer, top_k=top_k, threshold=threshold)

    async def search_all(
        self,
        kbs: Sequence[KnowledgeBase],
        question: str,
        *,
        viewer: Viewer,
        top_k: int,
        threshold: float | None = None,
        filters: Filters | None = None,
    ) -> tuple[list[Hit], Trace]:
        """The best hits of several, in one list, and how they were found."""
        return await self.retriever.search(
            kbs, question, Within(viewer, filters), top_k=top_k, threshold=threshold
        )

    async def read_widely(self, kbs: Sequence[KnowledgeBase], hits: Sequence[Hit], most: int) -> list[Hit]:
        """The hits with their neighbours, as far as their knowledge bases want that, or as the large passages that they are part
        of, and up to `most` characters each."""
        sizes = {kb.id: min(self.retriever.style(kb).expand, most) for kb in kbs}
        return await self.widening.widen(hits, sizes, most)

    def spelling(self, kbs: Sequence[KnowledgeBase], question: str) -> Callable[[str], str]:
        """Brings folded texts to the question's words, by the knowledge bases' synonyms."""
        synonyms = self.retriever.style(*kbs).synonyms
        # Taken apart where it is used: language models never ask for it.
        same = cache(lambda: same_words(question, synonyms))
        return (lambda text: same().translate(text)) if synonyms else str

    async def count_unread(self, kb: KnowledgeBase, viewer: Viewer) -> int:
        """Documents that are on their way and cannot be found yet, of those that the viewer sees."""
        async with self._database.read() as session:
            return await document_repository.count_unread(session, kb, viewer)
