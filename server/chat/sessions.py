"""Conversations of callers. Someone else's does not exist."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.chat import repository
from server.chat.models import Message, Session
from server.chat.snippets import snippet
from server.core.clock import Clock
from server.core.errors import SessionNotFound
from server.db.session import Database
from server.db.upsert import upsert
from server.kb.attachment_repository import delete_kbs
from server.kb.attachments import Attachments

# Messages that are read at once for an export.
_PORTION = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sessions somebody wants to see: those with these words, if any."""

    words: str = ""
    pinned_first: bool = False
    offset: int = 0
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """A session in a list. `snippet`: what stands around the words that were looked for, if a message has them."""

    session: Session
    snippet: str | None


class Sessions:
    """What a person does with their conversations, beside talking."""

    def __init__(self, database: Database, clock: Clock, attachments: Attachments) -> None:
        self._database, self._clock, self._attachments = database, clock, attachments

    async def save(
        self, caller: Principal, session_id: str, name: str, mode: str, param: dict[str, Any] | None
    ) -> None:
        """Begin a session, or change the caller's own; `param` None leaves what is there. Raises SessionNotFound."""
        async with self._database.write() as session:
            fresh = {
                "id": session_id,
                "client_id": caller.client_id,
                "user_id": caller.user_id,
                "name": name,
                "mode": mode,
                "param": param or {},
                "created_at": self._clock.now(),
            }
            # Locked at once: a page that saves twice while it closes must not stand in its own way.
            row: Session = await upsert(session, fresh, {"id": session_id}, Session)
            _check_owner(row, caller)
            row.name, row.mode = name, mode
            if param is not None:
                row.param = param

    async def list_all(self, caller: Principal, wanted: Wanted) -> tuple[list[Listed], int]:
        """The caller's sessions, the newest first, and how many there are."""
        async with self._database.read() as session:
            rows, total = await repository.list_sessions(
                session,
                caller,
                wanted.words,
                pinned_first=wanted.pinned_first,
                offset=wanted.offset,
                limit=wanted.limit,
            )
            hits = {}
            if wanted.words:
                hits = await repository.find_first_hits(session, [row.id for row in rows], wanted.words)
        return [Listed(row, snippet(wanted.words, hits.get(row.id, ()))) for row in rows], total

    async def pin(self, caller: Principal, session_id: str, *, pinned: bool) -> None:
        """What is pinned already stays where it is. Raises SessionNotFound."""
        async with self._database.write() as session:
            row = await own_session(session, caller, session_id, lock=True)
            if pinned != (row.pinned_at is not None):
                row.pinned_at = self._clock.now() if pinned else None

    async def delete(self, caller: Principal, session_id: str) -> None:
        """Delete a session with its messages and files; one that is not there is deleted already. Raises SessionNotFound."""
        attached: list[str] = []
        async with self._database.write() as session:
            row = await repository.lock_session(session, session_id)
            if row is not None:
                _check_owner(row, caller)
                attached = await delete_kbs(session, [row.id])
                await session.delete(row)
        await self._attachments.forget(attached)

    async def latest(
        self, caller: Principal, session_id: str, number: int, before: str | None
    ) -> list[Message]:
        """The caller's last messages of a session, or the last ones before a message; the newest first."""
        async with self._database.read() as session:
            return await repository.list_messages(session, caller, session_id, number, before=before)

    async def open(self, caller: Principal, session_id: str) -> Session:
        """The caller's own session. Raises SessionNotFound."""
        async with self._database.read() as session:
            return await own_session(session, caller, session_id)

    async def messages(self, caller: Principal, row: Session) -> AsyncGenerator[Sequence[Message], None]:
        """All messages of a session in portions, the oldest first; nothing is held between two."""
        after: Message | None = None
        while True:
            async with self._database.read() as session:
                portion = await repository.list_next_messages(session, caller, row.id, after, _PORTION)
            if portion:
                yield portion
            if len(portion) < _PORTION:
                return
            after = portion[-1]


async def own_session(
    session: AsyncSession, caller: Principal, session_id: str, *, lock: bool = False
) -> Session:
    """The caller's own session. Raises SessionNotFound."""
    find = repository.lock_session if lock else repository.find_session
    row = await find(session, session_id)
    if row is None:
        raise SessionNotFound
    _check_owner(row, caller)
    return row


def _check_owner(row: Session, caller: Principal) -> None:
    if (row.client_id, row.user_id) != (caller.client_id, caller.user_id):
        raise SessionNotFound
