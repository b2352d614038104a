"""A knowledge base moves to another store of vectors, while it is searched.

What it has is written there first, which may take long and may break off: the next attempt writes what is missing. Then one commit
says where it is searched, and each process goes over with its next search. What the old store has is kept for a day.
"""

import logging

from server.auth.audit import audit
from server.core.errors import KBNotFound
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import rebuild_repository
from server.kb.models import KnowledgeBase, Slot
from server.kb.slot_writing import Progress
from server.kb.slots import Slots
from server.kb.store_keeper import StoreKeeper
from server.kb.vectorstores import IN_MEMORY

log = logging.getLogger(__name__)


class Moves:
    """What `kb move` does."""

    def __init__(self, database: Database, runtime: Runtime, slots: Slots, keeper: StoreKeeper) -> None:
        self._database, self._slots, self._keeper = database, slots, keeper
        self._lanes, self._clock = runtime.lanes, runtime.clock

    async def move(self, kb: KnowledgeBase, store: str, actor: str, progress: Progress | None = None) -> bool:
        """Returns when it is searched there; False when it was there already. Raises StoreUnavailable, KBNotFound."""
        if kb.vector_store == store:
            return False
        await self._slots.check(store)
        if store == IN_MEMORY:
            # A small one is filled from its segments at the first search, a large one has its snapshot by then.
            await self._keeper.keep_snapshot(kb, at_once=True)
        else:
            await self._fill(kb, store, progress)
        async with self._database.write() as session:
            row = await rebuild_repository.lock_kb(session, kb.id)
            if row is None:
                raise KBNotFound(kb.name)
            # What was published since it was filled is brought there by the worker, or by the first search.
            row.vector_store = store
            row.generation += 1
            audit(session, self._clock.now(), actor, "kb.move", row.client_id, f"{row.name} {store}")
        log.info("knowledge base moved", extra={"kb": kb.id, "to": store})
        return True

    async def _fill(self, kb: KnowledgeBase, store: str, progress: Progress | None) -> None:
        index = self._slots.open(kb, store)
        await self._slots.catch_up(kb, index, store=store, progress=progress)
        await self._lanes.run("stores", index.tune)
        if kb.rebuild is not None:
            next_kb = kb.rebuilt()
            index = self._slots.open(next_kb, store)
            await self._slots.catch_up(next_kb, index, store=store, versions=Slot.REBUILD)
        async with self._database.read() as session:
            now = await session.get(KnowledgeBase, kb.id)
        if now is not None:  # what came while the index was built
            await self._slots.catch_up(now, self._slots.open(now, store), store=store)
