"""The versions of a file: the one that is searched, its replacement on the way, and those that were searched before.

A version that is restored is exchanged for the searched one in one commit: its passages and vectors are still there. After a change
of the embedding model, or where its vectors are damaged, it is read again as the next version, and nothing is missing meanwhile.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal, Scope
from server.core.errors import Conflict, DocumentNotFound, Forbidden, NotFound
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import document_repository, job_repository, repository, version_repository
from server.kb.access import check_queue, lock_own_kb, own_kb
from server.kb.files import FileStore, name_key
from server.kb.loaders.errors import content_gone
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot
from server.kb.segments import SegmentError, read_segment
from server.kb.uploads import in_work, refuse_while_in_work

log = logging.getLogger(__name__)

# Files whose surplus versions are deleted in one commit.
_PRUNED_AT_ONCE = 50
Told = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Version:
    """`can_restore`: it is an earlier one, and its bytes are there."""

    document: Document
    can_restore: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """What a version says that another does not: numbers of passages, and the first of them as text and anchor. A passage that
    only moved is unchanged."""

    unchanged: int
    added_total: int
    removed_total: int
    added: list[Told]
    removed: list[Told]


@dataclass(frozen=True, slots=True)
class Restored:
    """The version that is or will be searched; with a job, when it has been read."""

    document: Document
    job_id: str | None = None


class History:
    """Versions of files of callers who may change them. Every method raises KBNotFound, Forbidden, DocumentNotFound."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, settings: Settings) -> None:
        self._database, self._files, self._settings = database, files, settings
        self._lanes, self._clock = runtime.lanes, runtime.clock

    async def versions(self, caller: Principal, name: str, file_name: str) -> list[Version]:
        """The replacement that is on its way, the one that is searched, then earlier ones, the last first."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            slots, archived = await _versions(session, kb, file_name)
        there = await self._lanes.run("io", self._list_there, archived)
        current = [Version(slots[slot]) for slot in (Slot.NEXT, Slot.LIVE) if slot in slots]
        return [*current, *(Version(row, row.id in there) for row in archived)]

    def _list_there(self, rows: Iterable[Document]) -> set[str]:
        path = self._files.content_path
        return {row.id for row in rows if path(row.kb_id, row.id, row.suffix).is_file()}

    async def find(self, caller: Principal, name: str, file_name: str, document_id: str) -> Document:
        """One version of a file, for whoever may change it. Raises Forbidden for readers."""
        if not caller.may(Scope.KB_WRITE):
            raise Forbidden(
                Text("只有编辑者能查看文件的历史版本", "only editors see earlier versions of files")
            )
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            return await _find(session, kb, file_name, document_id)

    async def compare(
        self,
        caller: Principal,
        name: str,
        file_name: str,
        old_id: str,
        new_id: str | None = None,
        *,
        limit: int,
    ) -> Difference:
        """What `new_id`, or else the version that is searched, says differently from `old_id`. Raises Conflict for one that was not read."""
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            old = await _find(session, kb, file_name, old_id)
            if new_id is None:
                slots, _ = await _versions(session, kb, file_name)
                new_id = slots[Slot.LIVE].id if Slot.LIVE in slots else ""
            new = await _find(session, kb, file_name, new_id)
            for document in (old, new):
                if document.state not in (DocumentState.READY, DocumentState.ARCHIVED):
                    raise _not_read(file_name)
            before, after = await _hash_passages(session, old), await _hash_passages(session, new)
            removed, added = _only_in(before, after), _only_in(after, before)
            return Difference(
                len(after) - len(added),
                len(added),
                len(removed),
                await version_repository.load_passages(session, new.id, added[:limit]),
                await version_repository.load_passages(session, old.id, removed[:limit]),
            )

    async def restore(self, caller: Principal, name: str, file_name: str, document_id: str) -> Restored:
        """Have an earlier version searched again; the one that is becomes an earlier version.

        What people said of the file (labels) stays as it is now. Raises Conflict while the file is in work, NotFound when the
        version's content is gone.
        """
        async with self._database.read() as session:
            kb = await own_kb(session, caller, name)
            seen = await _find(session, kb, file_name, document_id)
        if seen.slot == Slot.LIVE:
            return Restored(seen)
        is_intact = await self._check(kb, seen)
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            document = await session.get(Document, document_id, populate_existing=True)
            slots = await document_repository.find_documents(session, kb.id, seen.name_key)
            live, pending = slots.get(Slot.LIVE), slots.get(Slot.NEXT)
            if document is None:
                raise DocumentNotFound(file_name)
            refuse_while_in_work(file_name, [live, pending])
            if document.state != DocumentState.ARCHIVED:
                raise in_work(file_name)
            newest = pending or live
            if newest is not None:
                document.take_over(newest)
            # A replacement that could not be read.
            gone = await version_repository.give_way(session, pending, self._clock.now())
            is_as_seen = document.segment is not None and document.segment == seen.segment
            if is_as_seen and is_intact:
                gone += await self._make_room(session, live)
                await version_repository.bring_back(session, document)
                await repository.bump_generation(session, kb.id)
                restored = Restored(document)
            else:
                await check_queue(session, kb.client_id, self._settings)
                if live is not None and live.state != DocumentState.READY:
                    gone += await self._make_room(session, live)
                    live = None
                restored = await self._read_again(session, document, Slot.LIVE if live is None else Slot.NEXT)
            gone += await self._prune(session, document)
        await self._lanes.run("io", self._files.remove_documents, gone)
        log.info("version restored", extra={"kb": kb.id, "document": document.id, "state": document.state})
        return restored

    async def delete(self, caller: Principal, name: str, file_name: str, document_id: str) -> None:
        """Delete an earlier version for good, or a replacement that could not be read: what is searched stays.

        Raises Conflict for the version that is shown, and for one that is being read.
        """
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            document = await _find(session, kb, file_name, document_id)
            if document.slot == Slot.LIVE:
                raise Conflict(
                    Text(
                        "这是当前版本；要删除整个文件，请用 delete_docs",
                        "this is the current version; to delete the file use `delete_docs`",
                    ),
                    code="current_version",
                )
            if document.slot is not None:
                refuse_while_in_work(file_name, [document])
            await document_repository.delete_documents(session, [document.id])
        await self._lanes.run("io", self._files.remove_documents, [document])
        log.info("version deleted", extra={"kb": kb.id, "document": document.id})

    async def _check(self, kb: KnowledgeBase, document: Document) -> bool:
        """Are its vectors as they were written? Raises NotFound when its bytes are not."""
        content = self._files.content_path(kb.id, document.id, document.suffix)
        try:
            found = await self._lanes.run("io", self._files.hash_file, content)
        except FileNotFoundError:
            found = ""
        if found != document.sha256:
            error = content_gone()
            raise NotFound(Text(error.zh, error.en), code="document_not_found")
        segment = self._files.segment_path(kb.id, kb.embed_model, document.segment or "")
        try:
            await self._lanes.run("io", read_segment, segment, document.segment_sha256 or "")
        except SegmentError:
            return False
        return True

    async def _make_room(self, session: AsyncSession, live: Document | None) -> list[Document]:
        if (
            live is not None and live.state == DocumentState.STORED
        ):  # taken out of search: a version all the same
            await version_repository.archive(session, live, self._clock.now())
            return []
        return await version_repository.give_way(session, live, self._clock.now())

    async def _read_again(self, session: AsyncSession, document: Document, slot: Slot) -> Restored:
        document.slot, document.state, document.archived_at = slot, DocumentState.WAITING, None
        document.segment = document.segment_sha256 = None
        await session.flush()
        job = await job_repository.add_job(session, document, self._clock.now())
        return Restored(document, job.id)

    async def _prune(self, session: AsyncSession, document: Document) -> list[Document]:
        keep = max(self._settings.kb.keep_versions, 1)  # what gave way just now can be brought back
        return await version_repository.prune(session, document.kb_id, document.name_key, keep)

    async def tidy(self) -> int:
        """Delete what is beyond `[kb] keep_versions`, which may have been lowered. Returns how many versions that were."""
        keep, count = self._settings.kb.keep_versions, 0
        while True:
            async with self._database.read() as session:
                overfull = await version_repository.list_overfull(session, keep, _PRUNED_AT_ONCE)
            if not overfull:
                return count
            for kb_id, key in overfull:
                async with self._database.write() as session:
                    await repository.bump_generation(session, kb_id)  # locks it, as whoever publishes
                    gone = await version_repository.prune(session, kb_id, key, keep)
                await self._lanes.run("io", self._files.remove_documents, gone)
                count += len(gone)


async def _versions(
    session: AsyncSession, kb: KnowledgeBase, file_name: str
) -> tuple[dict[str, Document], list[Document]]:
    key = name_key(file_name)
    slots = await document_repository.find_documents(session, kb.id, key)
    archived = await version_repository.list_archived(session, kb.id, [key])
    if not slots and not archived:
        raise DocumentNotFound(file_name)
    return slots, archived


async def _find(session: AsyncSession, kb: KnowledgeBase, file_name: str, document_id: str) -> Document:
    slots, archived = await _versions(session, kb, file_name)
    shown = [row for slot, row in slots.items() if slot != Slot.REBUILD]
    for row in (*shown, *archived):
        if row.id == document_id:
            return row
    raise DocumentNotFound(file_name)


async def _hash_passages(session: AsyncSession, document: Document) -> dict[int, bytes]:
    """By position, so that two long files are compared without holding their texts."""
    return {
        position: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        async for rows in version_repository.walk_texts(session, document.id)
        for position, text in rows
    }


def _only_in(one: dict[int, bytes], other: dict[int, bytes]) -> list[int]:
    """Positions of passages that the other has not, or not as often."""
    left, only = Counter(other.values()), []
    for position, digest in sorted(one.items()):
        if left[digest]:
            left[digest] -= 1
        else:
            only.append(position)
    return only


def _not_read(file_name: str) -> Conflict:
    return Conflict(
        Text(
            f"文件 {file_name} 的这个版本还没有读出文字，无法比较",
            f"this version of {file_name} has not been read, so there is nothing to compare",
        ),
        code="not_read",
    )
