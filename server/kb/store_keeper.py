"""What the worker does for stores of vectors: slots on servers follow their knowledge bases, those that nobody searches any more go,
and large FAISS indexes get their snapshots."""

import asyncio
import json
import logging
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from server.core.errors import AppError, Busy
from server.core.runtime import Runtime
from server.core.settings import VectorStoreSettings
from server.db.session import Database
from server.kb import document_repository, slot_repository
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase, Slot, VectorSlot
from server.kb.slots import Slots, slot_name
from server.kb.snapshots import Manifest, read_manifest, read_segments, remove_snapshots, snapshot_path
from server.kb.training import BUSY
from server.kb.vectorstores import IN_MEMORY, SERVERS
from server.kb.vectorstores.base import SlotMissing

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "server.kb.training")
# Between two looks; after a server was away; how long what nobody searches is kept.
_PAUSE, _LONG_PAUSE = 5.0, 30.0
_KEEP = timedelta(days=1)
# A snapshot is made again when so much of it is gone or missing: it costs the next start as much reading.
_STALE = 0.2


class StoreKeeper:
    """One per worker."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        runtime: Runtime,
        slots: Slots,
        settings: VectorStoreSettings,
    ) -> None:
        self._database, self._files, self._slots, self._settings = database, files, slots, settings
        self._lanes, self._clock = runtime.lanes, runtime.clock
        # Knowledge base → its generation when its snapshot was last looked at, and whether it has one.
        self._looked: dict[str, tuple[int, bool]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            pause = _PAUSE
            try:
                if not await self.step():
                    pause = _LONG_PAUSE
            except (SQLAlchemyError, Busy, OSError):
                log.exception("stores of vectors cannot be looked after")
                pause = _LONG_PAUSE
            await asyncio.sleep(pause)

    async def step(self) -> bool:
        """One look at everything; False when a server is away."""
        all_well = True
        async with self._database.read() as session:
            shared = await slot_repository.list_kbs_of(session, SERVERS)
            local = await slot_repository.list_kbs_of(session, [IN_MEMORY])
            slots = await slot_repository.list_slots(session)
        for kb in shared:
            all_well = await self.keep_up(kb, tune=True) and all_well
        for slot in self._obsolete(slots, {kb.id: kb for kb in (*shared, *local)}):
            all_well = await self._remove(slot) and all_well
        for kb in local:
            await self.keep_snapshot(kb)
        for kb in shared:
            await self._lanes.run("io", _remove_unused, snapshot_path(self._files, kb).parent)
        return all_well

    # ── slots ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def keep_up_with(self, kb_id: str) -> None:
        """After a document of this knowledge base was published: searches need not wait for its vectors."""
        async with self._database.read() as session:
            kb = await session.get(KnowledgeBase, kb_id)
        if kb is not None and kb.vector_store in SERVERS:
            await self.keep_up(kb)

    async def keep_up(self, kb: KnowledgeBase, *, tune: bool = False) -> bool:
        """Bring the slot of a knowledge base up to date, and the one of its next model; False when the server is away."""
        try:
            index = self._slots.open(kb)
            await self._slots.catch_up(kb, index)
            if tune:
                await self._lanes.run("stores", index.tune)
            if kb.rebuild is not None:
                next_kb = kb.rebuilt()
                index = self._slots.open(next_kb)
                await self._slots.catch_up(next_kb, index, versions=Slot.REBUILD)
                if tune:
                    await self._lanes.run("stores", index.tune)
        except SlotMissing:  # dropped between two steps: the next look makes it again
            self._slots.doubt(kb)
            return False
        except AppError as error:
            log.warning("slot not brought up to date", extra={"kb": kb.id, "reason": error.text.en})
            return False
        return True

    def _obsolete(self, slots: list[VectorSlot], kbs: dict[str, KnowledgeBase]) -> list[VectorSlot]:
        obsolete = []
        now = self._clock.now()
        for slot in slots:
            kb = kbs.get(slot.kb_id)
            if kb is None:
                obsolete.append(slot)
                continue
            wanted = {slot_name(kb)} | ({slot_name(kb.rebuilt())} if kb.rebuild is not None else set())
            is_wanted = kb.vector_store == slot.store and slot.name in wanted
            if not is_wanted and now - slot.used_at > _KEEP:
                obsolete.append(slot)
        return obsolete

    async def _remove(self, slot: VectorSlot) -> bool:
        async with self._database.read() as session:
            kb = await session.get(KnowledgeBase, slot.kb_id)
        if kb is not None and self._clock.now() - slot.used_at <= _KEEP:
            return True  # made a moment ago
        try:
            await self._slots.remove(slot)
        except AppError as error:
            log.warning("slot not removed", extra={"kb": slot.kb_id, "reason": error.text.en})
            return False
        return True

    # ── snapshots ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def keep_snapshot(self, kb: KnowledgeBase, *, at_once: bool = False) -> bool:
        """Make a snapshot of a large knowledge base when there is none, or an old one; True when one was made.

        `at_once`: for one that is not searched in memory yet.
        """
        path = snapshot_path(self._files, kb)
        generation, has_one = self._looked.get(kb.id, (-1, False))
        is_known = generation == kb.generation and not at_once
        # One that a search could not use was discarded.
        if is_known and not (has_one and await self._lanes.run("io", read_manifest, path) is None):
            return False
        async with self._database.read() as session:
            vectors = await slot_repository.count_vectors(session, kb.id)
            wanted = await slot_repository.list_wanted(session, kb.id, Slot.LIVE)
        if vectors <= self._settings.faiss_flat:
            await self._lanes.run("io", remove_snapshots, path.parent)
            self._looked[kb.id] = kb.generation, False
            return False
        await self._lanes.run("io", remove_snapshots, path.parent, path)
        manifest = await self._lanes.run("io", read_manifest, path)
        counts = {name: one.chunks for name, one in wanted.items()}
        if manifest and not await self._lanes.run("io", _is_stale, path, manifest, counts):
            self._looked[kb.id] = kb.generation, True
            return False
        async with self._database.read() as session:
            documents = [one.document_id for one in wanted.values()]
            segments = await document_repository.load_segments(session, documents)
        folder = self._files.segment_path(kb.id, kb.embed_model, "x").parent
        task = {
            "path": str(path),
            "folder": str(folder),
            "dimension": int(kb.fingerprint["dimension"]),
            "lists": self._settings.faiss_lists if vectors > self._settings.faiss_sq8 else "never",
            "recall": self._settings.faiss_recall,
            "segments": [(one.name, one.sha256, one.chunk_ids) for one in segments if one.name in wanted],
        }
        if made := await _train(json.dumps(task).encode()):
            self._looked[kb.id] = kb.generation, True
            log.info("snapshot made", extra={"kb": kb.id, **made})
        return bool(made)


def _remove_unused(folder: Path) -> None:
    """Snapshots of a knowledge base that has moved to a server; not those of one that is about to move back."""
    try:
        newest = max((path.stat().st_mtime for path in folder.glob("*")), default=0.0)
    except FileNotFoundError:
        return
    if newest and time.time() - newest > _KEEP.total_seconds():
        remove_snapshots(folder)


def _is_stale(path: Path, manifest: Manifest, counts: dict[str, int]) -> bool:
    """`counts`: chunks of the segments that are searched."""
    try:
        there = read_segments(path, manifest)
    except (ValueError, OSError):
        return True
    missing = sum(count for name, count in counts.items() if name not in there)
    gone = sum(len(ids) for name, ids in there.items() if name not in counts)
    return missing + gone > _STALE * manifest.vectors


async def _train(task: bytes) -> dict[str, float]:
    """What a child made of it; nothing when it failed or somebody else is at it."""
    environment = {"PATH": "", "PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    child = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=_ROOT,
    )
    try:
        output, errors = await child.communicate(task)
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    if child.returncode == 0:
        made: dict[str, float] = json.loads(output)
        return made
    if child.returncode != BUSY:
        words = errors.decode("utf-8", "replace")[-2000:]
        log.error("snapshot not made", extra={"status": child.returncode, "stderr": words})
    return {}
