"""Knowledge bases on servers of vectors (pgvector, Milvus): what is searchable is brought there, and what is not is taken away.

Such a server is a cache like FAISS, which all processes share. What it holds stands in SQL (`vector_slot`, `slot_segment`); one
process at a time writes, by a lease. The worker does it as soon as a document is published; a search that comes before it
does it itself, so that a search never sees less than what was committed before it.
"""

import asyncio
import hashlib
import json
import logging
import os
import secrets
import socket

from server.core.errors import Busy, StoreUnavailable
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import slot_repository
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase, Slot, VectorSlot
from server.kb.slot_writing import LEASE, LeaseLost, Progress, SlotWriter
from server.kb.store_servers import Servers
from server.kb.vectorstores import IN_MEMORY
from server.kb.vectorstores.base import SharedIndex

log = logging.getLogger(__name__)

_PAUSE = 0.05
# How long a search helps to fill a slot before it tells its reader to come back.
_PATIENCE = 15.0
_FILLING = Text(
    "知识库的向量正在写入向量库，请稍后再试",
    "the vectors of this knowledge base are being written to their server; try again in a moment",
)


def slot_name(kb: KnowledgeBase) -> str:
    """Of the table or collection: one per knowledge base and embedding model."""
    binding = json.dumps(kb.binding, sort_keys=True).encode()
    return f"{kb.id}_{hashlib.sha256(binding).hexdigest()[:8]}"


class Slots:
    """Brings slots up to date."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, servers: Servers) -> None:
        self._database, self._files, self._servers = database, files, servers
        self._runtime, self._lanes, self._clock = runtime, runtime.lanes, runtime.clock
        # Those whose server was asked, in this process, whether it still has what SQL says.
        self._verified: set[str] = set()

    async def check(self, store: str) -> None:
        """Is the server of that store there? Raises StoreUnavailable."""
        if store != IN_MEMORY:
            await self._lanes.run("stores", self._servers.get(store).check)

    def open(self, kb: KnowledgeBase, store: str | None = None) -> SharedIndex:
        server = self._servers.get(store or kb.vector_store)
        return server.open(slot_name(kb), int(kb.fingerprint["dimension"]))

    def doubt(self, kb: KnowledgeBase) -> None:
        """The server said that it has nothing of it."""
        self._verified.discard(f"{kb.vector_store}:{slot_name(kb)}")

    async def follow(self, kb: KnowledgeBase, index: SharedIndex) -> int:
        """For a search: see that the slot is at least as new as `kb`; returns its generation. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.catch_up(kb, index)
        except TimeoutError:
            raise StoreUnavailable(_FILLING, code="vector_store_filling", retry_after=5) from None

    async def catch_up(
        self,
        kb: KnowledgeBase,
        index: SharedIndex,
        *,
        store: str | None = None,
        versions: Slot = Slot.LIVE,
        progress: Progress | None = None,
    ) -> int:
        """Write what is missing and take out what is gone. Returns the generation that is there then, `kb`'s or a later one.

        `store`: another one than the knowledge base is searched in; `versions`: those of a change of the embedding model, with
        `kb` as it will be. Raises StoreUnavailable.
        """
        store, name = store or kb.vector_store, slot_name(kb)
        owner = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
        while True:
            slot = await self._slot(kb, store, name)
            is_current = slot.generation >= kb.generation and versions == Slot.LIVE
            if is_current and f"{store}:{name}" in self._verified:
                return slot.generation
            if await self._claim(slot, owner):
                writer = SlotWriter(self._database, self._files, self._runtime, kb, slot, index, owner)
                try:
                    # Once in each process.
                    if f"{store}:{name}" not in self._verified:
                        await writer.verify()
                        self._verified.add(f"{store}:{name}")
                    return await writer.write(versions, progress)
                except LeaseLost:
                    log.warning("lease of a slot lost", extra={"kb": kb.id})
                finally:
                    await self._release(slot, owner)
            await asyncio.sleep(_PAUSE)

    async def remove(self, slot: VectorSlot) -> None:
        """Delete what nobody searches any more. Raises StoreUnavailable."""
        index = self._servers.get(slot.store).open(slot.name, slot.dimension)
        await self._lanes.run("stores", index.remove)
        self._verified.discard(f"{slot.store}:{slot.name}")
        async with self._database.write() as session:
            await slot_repository.delete_slot(session, slot.id)
        log.info("slot removed", extra={"kb": slot.kb_id, "store": slot.store})

    async def _slot(self, kb: KnowledgeBase, store: str, name: str) -> VectorSlot:
        async with self._database.read() as session:
            slot = await slot_repository.find_slot(session, store, name)
        if slot is None:
            dimension = int(kb.fingerprint["dimension"])
            now = self._clock.now()
            async with self._database.write() as session:
                await slot_repository.add_slot(
                    session,
                    VectorSlot(
                        kb_id=kb.id, store=store, name=name, dimension=dimension, generation=-1, used_at=now
                    ),
                )
                slot = await slot_repository.find_slot(session, store, name)
            assert slot is not None
        return slot

    async def _claim(self, slot: VectorSlot, owner: str) -> bool:
        now = self._clock.now()
        async with self._database.write() as session:
            return await slot_repository.claim_slot(session, slot.id, owner, now, now + LEASE)

    async def _release(self, slot: VectorSlot, owner: str) -> None:
        try:
            async with self._database.write() as session:
                await slot_repository.release_slot(session, slot.id, owner)
        except Busy:  # it runs out by itself
            log.warning("lease of a slot not released", extra={"slot": slot.id})
