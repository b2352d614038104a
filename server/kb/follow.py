"""Following documents that are on their way: what becomes of each, as it becomes known. Nothing here does the work."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.core.errors import AppError, Conflict, KBNotFound, NotFound
from server.core.i18n import Text
from server.db.session import Database
from server.kb import document_repository, rebuild_repository, repository
from server.kb.files import name_key
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot

# Ids per question to the database.
_BATCH = 500


@dataclass(slots=True)
class Rereading:
    """Documents that are on their way: names by the ids of the versions, and what was refused."""

    kb: KnowledgeBase
    documents: dict[str, str] = field(default_factory=dict)
    refused: dict[str, AppError] = field(default_factory=dict)
    # The change of the embedding model that they are read for, as `KnowledgeBase.rebuild` has it.
    plan: dict[str, Any] | None = None
    # What all of them are to be cut by, as `Document.chunking` has it; None: it is not looked at.
    chunking: dict[str, Any] | None = None

    @property
    def model(self) -> str | None:
        """The model that it changes over to."""
        return self.plan["model"] if self.plan else None

    @property
    def total(self) -> int:
        return len(self.documents) + len(self.refused)


@dataclass(frozen=True, slots=True)
class Progress:
    """One more document is done: `finished` of `total`. `error` says why it is not searched as it was asked for."""

    file_name: str
    finished: int
    total: int
    error: AppError | None = None


class Follower:
    """Looks after documents by asking the database every `pause` seconds."""

    def __init__(self, database: Database, pause: float) -> None:
        self._database, self._pause = database, pause

    async def follow(
        self, rereading: Rereading, seconds: float | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Each document as it is done, until all are or the time is over; a change of the model ends with the change itself.

        Raises KBNotFound when the knowledge base is deleted meanwhile, Conflict when a change of the model is called off or
        held up.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if seconds is None else clock() + seconds
        finished, has_failed = 0, False
        for file_name, error in rereading.refused.items():
            finished += 1
            yield Progress(file_name, finished, rereading.total, error)
        pending = dict(rereading.documents)
        since: dict[str, datetime] = {}
        while True:
            for document_id, ended in (await self._look(rereading, pending, since)).items():
                finished += 1
                has_failed = has_failed or ended is not None
                yield Progress(pending.pop(document_id), finished, rereading.total, ended)
            if not pending:
                break
            left = self._pause if deadline is None else min(self._pause, deadline - clock())
            if left <= 0:
                return
            await asyncio.sleep(left)
        while rereading.plan is not None and not await self._has_changed(rereading):
            if has_failed:
                raise _held_up(rereading)
            await asyncio.sleep(self._pause)

    async def wait(self, rereading: Rereading, seconds: float) -> dict[str, AppError | None]:
        """What became of those that ended within the time, by name."""
        ended: dict[str, AppError | None] = {}
        async with aclosing(self.follow(rereading, seconds)) as events:
            async for event in events:
                ended[event.file_name] = event.error
        return ended

    async def _look(
        self, rereading: Rereading, pending: dict[str, str], since: dict[str, datetime]
    ) -> dict[str, AppError | None]:
        """Which of these have ended, and why not as they should. One that gave way to another version of its file is
        replaced by that in `pending`; `since`: from when they are, as far as they were seen."""
        states: dict[str, rebuild_repository.DocumentEnd] = {}
        ids = list(pending)
        for start in range(0, len(ids), _BATCH):
            async with self._database.read() as session:
                states |= await rebuild_repository.list_states(session, ids[start : start + _BATCH])
        ended: dict[str, AppError | None] = {}
        for document_id in ids:
            if document_id in states:
                state, reason, chunking, since[document_id] = states[document_id]
                if state in (DocumentState.READY, DocumentState.FAILED, DocumentState.STORED):
                    is_other = rereading.chunking is not None and chunking != rereading.chunking
                    ended[document_id] = _outcome(state, reason, is_other=is_other)
            elif (successor := await self._successor(rereading, pending[document_id])) is None:
                ended[document_id] = _deleted()
            elif not rereading.plan and _is_older(successor, since.get(document_id)):
                ended[document_id] = _cancelled()  # what it was to replace is there still
            else:
                pending[successor.id] = pending.pop(document_id)
        return ended

    async def _successor(self, rereading: Rereading, file_name: str) -> Document | None:
        """The version that took the place of one that is gone; None: the file was deleted."""
        if rereading.plan is not None:
            await self._has_changed(rereading)
        async with self._database.read() as session:
            if await repository.get_generation(session, rereading.kb.id) is None:
                raise KBNotFound(rereading.kb.name)
            versions: dict[str, Document] = await document_repository.find_documents(
                session, rereading.kb.id, name_key(file_name)
            )
        order: Sequence[Slot] = (Slot.NEXT, Slot.LIVE)
        if rereading.plan is not None:
            order = (Slot.REBUILD, *order)
        return next((versions[slot] for slot in order if slot in versions), None)

    async def _has_changed(self, rereading: Rereading) -> bool:
        """Is the change of the model done? Raises KBNotFound, Conflict when it was called off."""
        plan = rereading.plan
        assert plan is not None
        async with self._database.read() as session:
            kb = await session.get(KnowledgeBase, rereading.kb.id)
        if kb is None:
            raise KBNotFound(rereading.kb.name)
        if kb.rebuild == plan:
            return False
        if (kb.embed_model, kb.fingerprint) == (plan["model"], plan["fingerprint"]):
            return True
        raise Conflict(
            Text(
                f"知识库 {kb.name} 换用 {plan['model']} 的过程已被后来的重建取消或取代",
                f"the change of knowledge base {kb.name} to {plan['model']} was called off or replaced by a later one",
            ),
            code="rebuild_cancelled",
        )


def _outcome(state: str, reason: dict[str, Any] | None, *, is_other: bool) -> AppError | None:
    if state == DocumentState.FAILED:
        return AppError(Text(reason["zh"], reason["en"]) if reason else Text("", ""))
    if state == DocumentState.STORED:
        return Conflict(
            Text("处理期间被移出检索", "it was taken out of search meanwhile"), code="taken_out_of_search"
        )
    if is_other:
        return Conflict(
            Text("已按后来请求的分块方式处理", "a later request had it cut otherwise"), code="cut_otherwise"
        )
    return None


def _deleted() -> NotFound:
    return NotFound(Text("处理期间被删除", "it was deleted meanwhile"), code="document_not_found")


def _is_older(version: Document, since: datetime | None) -> bool:
    """Was it searched before the one that is gone came?"""
    is_ready = version.state == DocumentState.READY
    return is_ready and since is not None and version.created_at < since


def _cancelled() -> Conflict:
    return Conflict(
        Text("处理被取消，仍是原来的版本", "it was cancelled; the version before it stays"), code="cancelled"
    )


def _held_up(rereading: Rereading) -> Conflict:
    kb, model = rereading.kb, rereading.model
    return Conflict(
        Text(
            f"有文件无法用 {model} 处理，知识库 {kb.name} 暂时仍用 {kb.embed_model} 检索；"
            "修复或删除这些文件后会自动切换，也可以再次重建",
            f"some files could not be read for {model}; knowledge base {kb.name} is searched with {kb.embed_model} "
            "until they are mended or deleted, or it is recreated again",
        ),
        code="rebuild_held_up",
    )
