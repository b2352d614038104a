"""What each process searches in, brought up to date with the truth in SQL by generation number: vectors in its own memory or
in a slot on a server, and how many passages have which term."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from server.core.errors import KBNotFound
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import chunk_repository, document_repository, lexical_repository, repository, slot_repository
from server.kb.damage import repair
from server.kb.files import FileStore
from server.kb.in_memory import InMemory
from server.kb.lexicon import DocumentTerms, Lexicon
from server.kb.models import KnowledgeBase
from server.kb.slots import Slots
from server.kb.vectorstores import IN_MEMORY
from server.kb.vectorstores.base import Ids, SharedIndex, VectorIndex
from server.kb.vectorstores.faiss import Sizes
from server.kb.views import Restricted, View, count_words, hidden_from
from server.kb.visibility import Viewer

log = logging.getLogger(__name__)

# Sets of hidden documents for which it is remembered what is left to be seen, per knowledge base.
_VIEWS = 16
# Readings of what there is, while documents are exchanged under them.
_TRIES = 3


class ModelChanged(Exception):
    """The knowledge base has another embedding model, or another store, than the row that was given says: read the row again."""


@dataclass
class Index:
    """What a process holds of a knowledge base: its vectors or the way to them, and how many passages have which term.

    The terms' own index is in the database.
    """

    vectors: InMemory | SharedIndex
    # KnowledgeBase.home: where the vectors are, and what they come from.
    home: tuple[str, str, dict[str, Any]]
    # Of the documents that everybody sees.
    lexicon: Lexicon = field(default_factory=Lexicon.empty)
    # The others, with the ids of those who may see them; and their counts.
    restricted: Restricted = field(default_factory=dict)
    terms: dict[str, DocumentTerms] = field(default_factory=dict)
    # Of which segment of each document the counts are.
    counted: dict[str, str | None] = field(default_factory=dict)
    # What is seen of it by whom those documents are hidden from; forgotten with every change.
    views: dict[frozenset[str], View] = field(default_factory=dict)
    # Passages that are found by their words alone, by documents: these are being embedded.
    unembedded: dict[str, Ids] = field(default_factory=dict)
    generation: int = -1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def store(self) -> VectorIndex:
        return self.vectors.index if isinstance(self.vectors, InMemory) else self.vectors

    def knows(self, documents: Set[str]) -> bool:
        """Were they there when it was brought up to date?"""
        known = self.vectors.documents if isinstance(self.vectors, InMemory) else self.counted.keys()
        return documents - self.unembedded.keys() <= known

    def unembedded_of(self, documents: Set[str]) -> Ids:
        ids = [found for document, found in self.unembedded.items() if document in documents]
        return np.concatenate(ids) if ids else np.empty(0, np.int64)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        more = sum(len(terms.packed) for terms in self.terms.values())
        more += sum(view.nbytes for view in self.views.values())
        return self.store.nbytes + self.lexicon.size + more


class Indexes:
    """Gives each knowledge base's index as of now: what another process committed is taken in before a search."""

    def __init__(
        self, database: Database, files: FileStore, runtime: Runtime, slots: Slots, settings: Settings
    ) -> None:
        self._database, self._files, self._slots = database, files, slots
        self._memory = settings.kb.index_memory
        self._sizes = Sizes(settings.vector_store.faiss_flat, settings.vector_store.faiss_sq8)
        self._lanes, self._clock, self._tasks = runtime.lanes, runtime.clock, runtime.tasks
        self._loaded: OrderedDict[str, Index] = OrderedDict()

    async def get(self, kb: KnowledgeBase) -> Index:
        """The index of `kb` at least as new as the row `kb`. Raises ModelChanged, KBNotFound, SlotMissing, StoreUnavailable."""
        loaded = self._loaded.get(kb.id)
        if loaded is None or (loaded.home != kb.home and loaded.generation < kb.generation):
            is_here = kb.vector_store == IN_MEMORY
            vectors = InMemory(self._files, kb, self._sizes) if is_here else self._slots.open(kb)
            loaded = self._loaded[kb.id] = Index(vectors, kb.home)
        self._loaded.move_to_end(kb.id)
        if loaded.generation < kb.generation:
            async with loaded.lock:
                if loaded.generation < kb.generation:
                    await self._catch_up(kb, loaded)
            self._forget_least_used()
        if loaded.home != kb.home:
            raise ModelChanged
        if isinstance(loaded.vectors, InMemory) and loaded.vectors.is_time_to_look():
            self._tasks.start(self._take_over(loaded, loaded.vectors))
        return loaded

    async def _catch_up(self, kb: KnowledgeBase, loaded: Index) -> None:
        if isinstance(loaded.vectors, InMemory) and loaded.generation < 0:
            await self._lanes.run("index", loaded.vectors.begin)
        for _ in range(_TRIES):
            if await self._take_in(kb, loaded):
                return

    async def _take_in(self, kb: KnowledgeBase, loaded: Index) -> bool:
        """False when a document was exchanged, and its segment removed, before it could be read: look once more."""
        vectors = loaded.vectors
        there: int | None = None
        if isinstance(vectors, SharedIndex):
            there = await self._slots.follow(kb, vectors)
        async with self._database.read() as session:
            # Read before the documents: what is committed in between is loaded now and looked for once more.
            generation = await repository.get_generation(session, kb.id)
            ready, fresh, segments = {}, list[str](), []
            if isinstance(vectors, InMemory):
                ready = await document_repository.list_ready_segments(session, kb.id)
                fresh = [document for segment, document in ready.items() if segment not in vectors.segments]
                segments = await document_repository.load_segments(session, fresh)
            else:
                vectors.changed(await slot_repository.count_vectors(session, kb.id))
            restricted = await document_repository.list_restricted(session, kb.id)
            indexed = await lexical_repository.list_indexed(session, kb.id)
            unembedded = await chunk_repository.list_unembedded(session, kb.id)
            public, others = indexed.keys() - restricted.keys(), indexed.keys() & restricted.keys()
            # Somebody has changed a passage of these.
            stale = {key for key, segment in indexed.items() if loaded.counted.get(key) != segment}
            unknown = (public - loaded.lexicon.documents.keys()) | (others - loaded.terms.keys()) | stale
            counts = await lexical_repository.load_terms(session, sorted(unknown))
            # Read after them: vectors of another model, or of another store, are not what this index is made of.
            now = await session.get(KnowledgeBase, kb.id)
        if now is None or generation is None:
            self.forget(kb.id)
            raise KBNotFound(kb.name)
        if now.home != loaded.home:
            raise ModelChanged
        lexicon, new = loaded.lexicon, [terms for terms in counts if terms.document_id in public]
        unsaid = sorted(lexicon.documents.keys() - (public - stale))
        if unsaid or new:
            lexicon = await self._lanes.run("index", lexicon.changed, unsaid, new)
        known = loaded.terms | {terms.document_id: terms for terms in counts}
        # Who may see what, before the vectors: who searches meanwhile does not come across what is not for them.
        loaded.lexicon, loaded.terms = lexicon, {key: known[key] for key in others & known.keys()}
        loaded.counted = indexed
        if restricted != loaded.restricted:
            loaded.restricted = restricted
        loaded.unembedded = {document: np.array(ids, dtype=np.int64) for document, ids in unembedded.items()}
        loaded.views = {}
        # One that was exchanged while it was read is looked at once more.
        is_current = not isinstance(vectors, InMemory) or len(segments) == len(fresh)
        if isinstance(vectors, InMemory):
            for lost in await self._lanes.run("index", vectors.follow, ready, segments):
                is_current &= await repair(self._database, self._clock, lost)
        loaded.views = {}
        loaded.generation = generation if there is None else min(there, generation)
        return is_current

    async def view(self, kb: KnowledgeBase, index: Index, viewer: Viewer) -> View:
        """What of it the viewer searches."""
        if not index.restricted:
            return View(index.restricted, (index.lexicon,))
        return await self._view(kb, index, hidden_from(viewer, kb.client_id, index.restricted))

    async def _view(self, kb: KnowledgeBase, index: Index, hidden: frozenset[str]) -> View:
        views, restricted = index.views, index.restricted
        lexicons: tuple[Lexicon, ...] = (index.lexicon,)
        if hidden in views:
            return views[hidden]
        if seen := [terms for document, terms in index.terms.items() if document not in hidden]:
            lexicons += (await self._lanes.run("index", count_words, seen),)
        ids = await self._chunks_but(kb, index, hidden) if hidden else None
        everything = frozenset(restricted)
        public = ids if hidden == everything else (await self._view(kb, index, everything)).public
        if len(views) >= _VIEWS:
            views.pop(next(key for key in views if key != everything))
        views[hidden] = View(restricted, lexicons, hidden, ids, public)
        return views[hidden]

    async def _chunks_but(self, kb: KnowledgeBase, index: Index, hidden: Set[str]) -> Ids:
        """The ids of all passages but those of some documents, in order."""
        if isinstance(index.vectors, InMemory):
            documents: Set[str] = index.vectors.documents
        else:
            async with self._database.read() as session:
                documents = await document_repository.list_ready(session, kb.id)
        return np.sort(await self.chunks_of(index, documents - hidden))

    async def chunks_of(self, index: Index, documents: Set[str]) -> Ids:
        """The ids of the passages of some documents."""
        if isinstance(index.vectors, InMemory):
            return index.vectors.chunks_of(documents)
        async with self._database.read() as session:
            return np.array(await chunk_repository.list_chunk_ids(session, documents), dtype=np.int64)

    async def _take_over(self, loaded: Index, vectors: InMemory) -> None:
        """Go over to a snapshot that the worker has made since."""
        found = await self._lanes.run("io", vectors.look)
        if found is not None:
            # Nothing changes meanwhile: searches that see a newer generation wait, the others use the old index.
            async with loaded.lock:
                await self._lanes.run("index", vectors.exchange, found)

    def _forget_least_used(self) -> None:
        while len(self._loaded) > 1 and sum(loaded.size for loaded in self._loaded.values()) > self._memory:
            kb_id, _ = self._loaded.popitem(last=False)
            log.info("index left memory", extra={"kb": kb_id})

    def forget(self, kb_id: str) -> None:
        """Drop a deleted knowledge base."""
        self._loaded.pop(kb_id, None)

    def lost(self, kb: KnowledgeBase) -> None:
        """A server said that it has nothing of this knowledge base: the next search looks again, and fills it if need be."""
        self._slots.doubt(kb)
        self.forget(kb.id)
