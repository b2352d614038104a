"""Does everything agree that must: rows, uploaded files, vectors, words, jobs, and what lies on disk beside them?

Reads all of it (`quick` looks only whether files are there) while a server goes on working: what looks wrong is looked at once more,
as it may have been exchanged or deleted a moment ago. Changes nothing; that is mending.py.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np

from server.core.runtime import Runtime
from server.db.session import Database
from server.db.sqlite_file import file_of, find_damage
from server.kb import lexical_repository, verify_repository
from server.kb.analysis import VERSION
from server.kb.faults import Finding, Mend, finding
from server.kb.files import FileStore
from server.kb.models import DocumentState, KnowledgeBase, Slot
from server.kb.segments import SegmentError, read_segment
from server.kb.snapshots import check_file, read_manifest, read_segments
from server.kb.sweep import GRACE, find_left_over
from server.kb.verify_repository import Kept

_PAGE = 200
# Looks at a document that seems wrong, while it may be exchanged.
_LOOKS = 3
_IN_WORK = (DocumentState.WAITING, DocumentState.PARSING, DocumentState.EMBEDDING)
# Of these there need not be any vectors.
_UNREAD = (*_IN_WORK, DocumentState.FAILED, DocumentState.STORED)


@dataclass
class Progress:
    """How far it is: documents looked at, of how many."""

    done: int = 0
    total: int = 0


class Verifier:
    """Looks at everything that one server keeps."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime) -> None:
        self._database, self._files, self._lanes = database, files, runtime.lanes

    async def run(
        self,
        tell: Callable[[Progress], object] = lambda _: None,
        *,
        quick: bool = False,
        grace: timedelta = GRACE,
    ) -> AsyncIterator[Finding]:
        """What it finds, as it finds it. `grace`: how old a file must be that no row knows; younger ones may be on their way."""
        async for found in self._check_database(quick=quick):
            yield found
        async for found in self.compare(tell, quick=quick, grace=grace):
            yield found

    async def compare(
        self,
        tell: Callable[[Progress], object] = lambda _: None,
        *,
        quick: bool = False,
        grace: timedelta = GRACE,
    ) -> AsyncIterator[Finding]:
        """The same, without looking at the database's own file."""
        progress = Progress()
        async with self._database.read() as session:
            kbs = await verify_repository.list_all_kbs(session)
            progress.total = await verify_repository.count_documents(session)
        tell(progress)
        for kb in kbs:
            after = ""
            while page := await self._page(kb.id, after):
                after = page[-1].document.id
                for kept in page:
                    for found in await self._check(kb, kept, quick=quick):
                        yield found
                    progress.done += 1
                    tell(progress)
            for path in await self._lanes.run("io", partial(self._damaged_snapshots, kb, quick=quick)):
                yield finding("snapshot_damaged", kb=kb.name, kb_id=kb.id, path=str(path))
        for path in await find_left_over(self._database, self._files, self._lanes, grace):
            kb_id = path.relative_to(self._files.data_dir).parts[0]
            yield finding("left_over", path=str(path), kb_id=kb_id)

    # ── the database ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _check_database(self, *, quick: bool) -> AsyncIterator[Finding]:
        path = file_of(self._database)
        damage: list[str] = []
        if path is not None:
            damage = await self._lanes.run("io", partial(find_damage, path, quick=quick))
        if damage:
            yield finding("database_damaged", path=str(path))
        elif not quick and not await self._is_index_sound():
            yield finding("words_index_damaged")

    async def _is_index_sound(self) -> bool:
        async with self._database.write() as session:
            return await lexical_repository.is_index_sound(session)

    async def _page(self, kb_id: str, after: str) -> list[Kept]:
        async with self._database.read() as session:
            return await verify_repository.list_page(session, kb_id, after, _PAGE)

    # ── a document ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _check(self, kb: KnowledgeBase, kept: Kept, *, quick: bool) -> list[Finding]:
        found = await self._lanes.run("io", partial(self._look, kb, kept, quick=quick))
        for _ in range(_LOOKS):
            if not found:
                return []
            async with self._database.read() as session:
                now = await verify_repository.find_kept(session, kept.document.id)
                current = await session.get(KnowledgeBase, kb.id)
            if now is None or current is None:
                return []  # deleted meanwhile
            again = await self._lanes.run("io", partial(self._look, current, now, quick=quick))
            if [one.code for one in again] == [one.code for one in found] and _is_same(kept, now):
                return found
            kb, kept, found = current, now, again
        return found

    def _look(self, kb: KnowledgeBase, kept: Kept, *, quick: bool) -> list[Finding]:
        document = kept.document
        where = {
            "kb": kb.name,
            "file": document.file_name,
            "kb_id": kb.id,
            "document_id": document.id,
        }
        codes = dict(self._content_faults(kept, quick=quick))
        has_content = not codes
        if document.state not in _UNREAD:
            codes |= dict(self._reading_faults(kb, kept, has_content=has_content, quick=quick))
        elif not has_content:
            # There is nothing to search, and nothing to read: it says so already, or must.
            if document.error_code in ("content_missing", "content_gone"):
                codes = {}
            else:
                codes = dict.fromkeys(codes, Mend.FAIL)
        if document.state in _IN_WORK and not kept.is_queued and has_content:
            codes["stuck"] = None
        if document.state == DocumentState.FAILED and not (document.error_code and document.error_text):
            codes["no_reason"] = None
        return [finding(code, mend, **where) for code, mend in codes.items()]

    def _content_faults(self, kept: Kept, *, quick: bool) -> dict[str, Mend | None]:
        document = kept.document
        path = self._files.content_path(document.kb_id, document.id, document.suffix)
        try:
            same = path.stat().st_size == document.size
            same = same and (quick or self._files.hash_file(path) == document.sha256)
        except OSError:
            return {"content_missing": None}
        return {} if same else {"content_damaged": None}

    def _reading_faults(
        self, kb: KnowledgeBase, kept: Kept, *, has_content: bool, quick: bool
    ) -> dict[str, Mend | None]:
        document, faults = kept.document, dict[str, Mend | None]()
        is_kept = document.state == DocumentState.ARCHIVED
        ends = (kept.first, kept.last) == (0, kept.chunks - 1)
        counts = (kept.enabled, kept.chunks) == (
            document.chunk_count,
            document.chunk_count + document.disabled_count,
        )
        if not (kept.enabled and ends and counts):
            code = "chunks_wrong" if kept.chunks else "chunks_missing"
            # Nothing to make it of: its readers must be told.
            faults[code] = None if has_content or document.custom_docs else Mend.FAIL
        elif is_kept and document.segment is None:
            return {}  # it is read again when it is restored
        elif segment := self._segment_fault(kb, kept, quick=quick):
            faults[segment] = None
        if is_kept:
            return {"version_damaged": None} if faults else {}
        if not faults:
            faults |= _word_faults(kept)
        return faults

    def _segment_fault(self, kb: KnowledgeBase, kept: Kept, *, quick: bool) -> str | None:
        document = kept.document
        if document.slot is None and document.segment is None:
            return None
        model, fingerprint = kb.binding
        if document.slot == Slot.REBUILD and kb.rebuild is not None:
            model, fingerprint = kb.rebuild["model"], kb.rebuild["fingerprint"]
        path = self._files.segment_path(kb.id, model, document.segment or "none")
        if not path.is_file():
            return "segment_missing"
        if quick:
            return None
        try:
            vectors = read_segment(path, document.segment_sha256 or "")
        except (SegmentError, ValueError):
            return "segment_damaged"
        if vectors.shape != (kept.enabled, int(fingerprint["dimension"])):
            return "segment_shape"
        return None if np.isfinite(vectors).all() else "segment_values"

    def _damaged_snapshots(self, kb: KnowledgeBase, *, quick: bool) -> list[Path]:
        """Manifests of snapshots that are not what they say."""
        damaged = []
        for path in (self._files.data_dir / kb.id / "index").glob("*.json"):
            manifest = read_manifest(path)
            if manifest is None or quick:
                continue
            try:
                read_segments(path, manifest)
                check_file(path.parent / manifest.index, manifest.index_sha256)
            except (ValueError, OSError):
                if read_manifest(path) == manifest:  # else a newer one has taken its place
                    damaged.append(path)
        return damaged


def _word_faults(kept: Kept) -> dict[str, Mend | None]:
    if kept.terms_version != VERSION:
        return {"words_waiting": None}
    is_whole = kept.terms_passages == kept.enabled == kept.indexed
    return {} if is_whole else {"words_wrong": None}


def _is_same(one: Kept, other: Kept) -> bool:
    """Has the document stayed as it was?"""
    a, b = one.document, other.document
    return (a.state, a.segment, a.slot) == (b.state, b.segment, b.slot)
