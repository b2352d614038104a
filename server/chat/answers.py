"""Answers that go on without a reader.

A task of this process writes each, and whoever wants reads along: from memory in this process, from the row in another.
The row gets the text so far twice a second, a long one less often, all answers in one commit, and with it a new lease: a
row whose lease ended has no writer any more. Nobody's reading holds up the writing, and nobody's leaving ends it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from server.auth.principal import Principal
from server.chat import repository
from server.chat.abandoned import LEASE
from server.chat.models import Message
from server.chat.reading import Frame, Reader
from server.chat.service import AlreadyAsked, ChatService
from server.chat.telling import Telling, told
from server.chat.turn import Ask, Turn
from server.core.errors import SessionNotFound, TooManyRequests
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import ChatSettings
from server.db.session import PASSING_FAULTS, Database, tell_fault

log = logging.getLogger(__name__)

# Seconds between two commits of what is being said, and between two looks at what another process commits.
_STORE_PERIOD, _POLL = 0.5, 0.3
# Seconds after which a lease is renewed although nothing was said.
_RENEWAL = 5.0
# A row is written whole. A text of more characters than these is stored less often, so that what is written in a second
# does not grow with it.
_LONG, _MAX_STORE_PERIOD = 8000, 5.0
# Seconds that whoever stops an answer waits for its end, and how often they look.
_STOP_PATIENCE, _STOP_POLL = 2.0, 0.05
# Seconds that the end of the process gives answers to end by themselves.
_CLOSE_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Begun:
    """`is_new`: it was begun by this very request."""

    message_id: str
    state: str
    is_new: bool


class Writing:
    """One answer that a task of this process writes."""

    def __init__(self, turn: Turn, now: float) -> None:
        self.turn, self.told = turn, turn.told
        self.changed = asyncio.Event()
        self._stored_at = now
        self._stored = (0, 0)
        self.task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Whoever waits for `changed` looks again, and then at another one."""
        self.changed.set()
        self.changed = asyncio.Event()

    def unstored(self, now: float) -> dict[str, Any] | None:
        """What the row does not have yet; the lease alone from time to time. Counts as stored from now on."""
        length, changes = self._stored
        patience = 0.0 if self.told.changes != changes else _store_period(len(self.told.text))
        if (len(self.told.text), self.told.changes) == self._stored:
            patience = _RENEWAL
        if now - self._stored_at < patience:
            return None
        values: dict[str, Any] = {"id": self.told.message_id, "attempt": self.told.attempt}
        if len(self.told.text) != length or self.told.replaced:
            values["response"] = str(self.told.text)
        if self.told.changes != changes:
            values |= {"sources": self.told.sources, "progress": self.told.progress}
        self._stored, self._stored_at = (len(self.told.text), self.told.changes), now
        return values

    def forget_stored(self) -> None:
        """What was to be stored was not."""
        self._stored = (-1, -1)


def _store_period(chars: int) -> float:
    """Seconds between two times that a text of this length is stored; 0: whenever one looks."""
    return 0.0 if chars <= _LONG else min(_MAX_STORE_PERIOD, _STORE_PERIOD * chars / _LONG)


class Answers:
    """Those that this process writes, and those that it tells of."""

    def __init__(
        self, chat: ChatService, database: Database, runtime: Runtime, settings: ChatSettings
    ) -> None:
        self._chat, self._database, self._settings = chat, database, settings
        self._clock, self._tasks = runtime.clock, runtime.tasks
        self._writings: dict[str, Writing] = {}
        # Of whom a question is being stored whose answer is about to begin.
        self._beginning: Counter[str] = Counter()

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, caller: Principal, ask: Ask) -> Begun:
        """Begin an answer, or say how the one of this id stands; with `ask.again`, answer its question once more.

        Raises SessionNotFound, Conflict, TooManyRequests, and what `ChatService.prepare` raises.
        """
        assert ask.message_id is not None
        message_id = ask.message_id
        message = await self._find(caller, message_id)
        if message is not None:
            if not ask.again:
                return Begun(message.id, message.state, is_new=False)
            ask = replace(ask, query=message.query, session_id=message.session_id)
        with self._place(caller):
            try:
                turn = await self._chat.prepare(caller, replace(ask, detached=True))
            except AlreadyAsked:  # a moment ago, by the same page
                message = await self.find(caller, message_id)
                return Begun(message.id, message.state, is_new=False)
            writing = Writing(turn, asyncio.get_running_loop().time())
            self._writings[turn.message_id] = writing
        writing.task = self._tasks.start(self._write(writing))
        return Begun(turn.message_id, "writing", is_new=True)

    @contextmanager
    def _place(self, caller: Principal) -> Iterator[None]:
        """No connection holds these answers back: one person has a few at a time, in a process. A program asks for many
        people. Raises TooManyRequests."""
        own = sum(writing.turn.caller.actor == caller.actor for writing in self._writings.values())
        own += self._beginning[caller.actor]
        if caller.api_key_id is None and own >= self._settings.max_running_answers:
            raise TooManyRequests(
                Text(
                    "同时进行的回答太多，请等它们写完", "too many answers at once; wait until they are done"
                ),
                retry_after=5,
            )
        self._beginning[caller.actor] += 1
        try:
            yield
        finally:
            self._beginning[caller.actor] -= 1
            self._beginning += Counter()  # forgets who has none

    async def _write(self, writing: Writing) -> None:
        try:
            async with aclosing(self._chat.answer(writing.turn)) as events:
                async for _ in events:
                    writing.wake()
        finally:
            if self._writings.get(writing.told.message_id) is writing:
                del self._writings[writing.told.message_id]
            writing.wake()

    async def stop(self, caller: Principal, message_id: str) -> Message:
        """End an answer, whichever process writes it; what was said is kept. Raises SessionNotFound."""
        message = await self.find(caller, message_id)
        if message.state == "writing":
            self._chat.running.stop(message_id)
            async with self._database.write() as session:
                await repository.ask_to_stop(session, message_id)
            deadline = asyncio.get_running_loop().time() + _STOP_PATIENCE
            while message.state == "writing" and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(_STOP_POLL)
                message = await self.find(caller, message_id)
        return message

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, caller: Principal, message_id: str) -> Message:
        """The caller's own message. Raises SessionNotFound."""
        message = await self._find(caller, message_id)
        if message is None:
            raise SessionNotFound
        return message

    async def _find(self, caller: Principal, message_id: str) -> Message | None:
        """As it is stored; if its writer is gone, that is found out here."""
        message = await self._load(message_id)
        if message is not None and (message.client_id, message.user_id) != (caller.client_id, caller.user_id):
            raise SessionNotFound
        if message is not None and message.state == "writing" and message_id not in self._writings:
            until = message.writing_until
            if until is None or until < self._clock.now():
                await self._chat.abandoned.close(message_id)
                message = await self._load(message_id)
        return message

    async def _load(self, message_id: str) -> Message | None:
        async with self._database.read() as session:
            return await repository.find_message(session, message_id)

    async def look(self, caller: Principal, message_id: str) -> tuple[Message, Telling]:
        """The message, and what there is to tell of its answer at this moment. Raises SessionNotFound."""
        message = await self.find(caller, message_id)
        writing = self._writings.get(message_id)
        return message, writing.told if writing else told(message)

    async def follow(self, caller: Principal, message_id: str, reader: Reader) -> AsyncGenerator[Frame, None]:
        """What the reader does not know yet, and then what comes, to the end. Raises SessionNotFound."""
        await self.find(caller, message_id)
        while True:
            writing = self._writings.get(message_id)
            changed = writing.changed if writing else None
            telling = writing.told if writing else await self._read(caller, message_id)
            is_last = telling is None or telling.state != "writing"
            # While it is stored, the answer is done here and not there: who hears the end may rely on it.
            if writing is not None and is_last and writing.task is not None:
                await asyncio.wait({writing.task})
            for frame in (
                list(reader.news(telling)) if telling else [Frame("cut", {"message_id": message_id})]
            ):
                yield frame
            if is_last:
                return
            if changed is None:
                await asyncio.sleep(_POLL)
            else:
                await changed.wait()

    async def _read(self, caller: Principal, message_id: str) -> Telling | None:
        message = await self._find(caller, message_id)
        return None if message is None else told(message)

    # ── storing ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def watch(self) -> None:
        """Store again and again, until cancelled."""
        while True:
            await asyncio.sleep(_STORE_PERIOD)
            # A task of its own: what is being committed is not broken off.
            await asyncio.shield(self._tasks.start(self.store()))

    async def store(self) -> None:
        """Store what is new in all answers, and stop those that nobody wants any more."""
        seen = list(self._writings.values())
        if not seen:
            return
        try:
            await self._store(seen)
            async with self._database.read() as session:
                wanted = await repository.list_wanted(session, [one.told.message_id for one in seen])
        except PASSING_FAULTS as error:
            tell_fault("answers so far not stored", error, log)
            for writing in seen:
                writing.forget_stored()
            return
        for writing in seen:
            if (writing.told.message_id, writing.told.attempt) not in wanted:
                self._chat.running.stop(writing.told.message_id)

    async def _store(self, writings: list[Writing]) -> None:
        until, now = self._clock.now() + LEASE, asyncio.get_running_loop().time()
        parts: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for writing in writings:
            values = writing.unstored(now)
            if values is not None:
                parts.setdefault(tuple(values), []).append(values | {"writing_until": until})
        if not parts:
            return
        async with self._database.write() as session:
            for alike in parts.values():
                await repository.store_progress(session, alike)

    async def close(self) -> None:
        """The process ends: so do its answers, and are stored as they are."""
        deadline = asyncio.get_running_loop().time() + _CLOSE_PATIENCE
        while self._writings and asyncio.get_running_loop().time() < deadline:
            for message_id in self._writings:
                self._chat.running.stop(message_id)
            await asyncio.sleep(_STOP_POLL)
        for writing in list(self._writings.values()):
            if writing.task is not None:
                writing.task.cancel()
