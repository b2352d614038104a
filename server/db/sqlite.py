"""SQLite as a server's database: one trip to its thread per statement, and writers in turn."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from server.core.errors import Busy
from server.core.i18n import Text

# So many times the patience with a lock is the patience with a queue that moves.
_LONGEST = 6


def create_sqlite_engine(url: URL, lock_timeout: float, **options: Any) -> AsyncEngine:
    """An engine whose transactions begin when they say so; a statement waits `lock_timeout` seconds for other processes."""
    arguments = {"timeout": lock_timeout, "isolation_level": None, "async_creator_fn": _connect}
    engine = create_async_engine(url, connect_args=arguments, **options)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def database_busy() -> Busy:
    """The refusal where others hold what somebody wants to write."""
    return Busy(Text("数据库正忙，请稍后再试", "the database is busy; try again in a moment"), retry_after=2)


def _prepare(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # WAL: readers never wait for the writer. FULL: what was acknowledged survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("begins_write") else "BEGIN")


class Turns:
    """SQLite has one writer. In a process they take turns, in the order in which they came: its own way of waiting is to
    sleep and try again, which leaves the database idle and lets late comers pass.

    A queue that moves is no lock that somebody holds: in a busy process most of a turn goes by while its few statements wait
    for the event loop, and a hundred at once take longer than one may wait for a lock.
    """

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds without anybody's turn coming to its end until whoever waits is sent away."""
        self._timeout, self._lock = timeout, asyncio.Lock()
        self._moved_at = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn to write. Raises Busy."""
        await self._wait()
        try:
            yield
        except OperationalError:  # another process holds the database: nothing has moved
            raise
        except BaseException:
            self._moved_at = asyncio.get_running_loop().time()
            raise
        else:
            self._moved_at = asyncio.get_running_loop().time()
        finally:
            self._lock.release()

    async def _wait(self) -> None:
        waiting = asyncio.ensure_future(self._lock.acquire())
        try:
            await self._while_it_moves(waiting)
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise
        if not waiting.done():
            self._give_up(waiting)
            raise database_busy()

    def _give_up(self, waiting: asyncio.Future[Any]) -> None:
        """If one's turn came in this very moment, it is the next one's."""
        if not waiting.cancel():
            self._lock.release()

    async def _while_it_moves(self, waiting: asyncio.Future[Any]) -> None:
        loop = asyncio.get_running_loop()
        came_at = now = loop.time()
        while not waiting.done() and now < (
            end := min(max(came_at, self._moved_at) + self._timeout, came_at + _LONGEST * self._timeout)
        ):
            await asyncio.wait({waiting}, timeout=end - now)
            now = loop.time()


async def _connect(database: str, **options: Any) -> "Connection":
    connection = Connection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = (
        True  # as SQLAlchemy does: a connection left open does not keep the process alive
    )
    try:
        await connection
    except sqlite3.Error:
        # Its thread still reports to this event loop, which may be about to close.
        await asyncio.to_thread(connection._thread.join)
        raise
    return connection


class Connection(aiosqlite.Connection):
    """aiosqlite's connection with cursors that execute and fetch in one trip to its thread, where its own take four.

    A trip costs more than most statements do.
    """

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self)

    async def rollback(self) -> None:
        """Only where there is something to take back: SQLAlchemy asks once more when it gets the connection back."""
        if self.in_transaction:
            await super().rollback()

    async def run(self, function: Callable[..., None], *args: object) -> None:
        """Call `function(connection, *args)` with the plain connection in the connection's thread."""
        await self._execute(function, self._conn, *args)  # type: ignore[no-untyped-call]


class _Cursor:
    """As much of a cursor as SQLAlchemy uses; all rows are there when `execute` returns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount, self.lastrowid, self.arraysize = -1, None, 1

    async def __aenter__(self) -> "_Cursor":
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        await self._connection.run(self._run, "execute", sql, parameters)

    async def executemany(self, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
        await self._connection.run(self._run, "executemany", sql, parameters)

    def _run(self, connection: Any, method: str, sql: str, parameters: Sequence[Any]) -> None:
        cursor = connection.cursor()
        getattr(cursor, method)(sql, parameters)
        self.description = cursor.description
        self._rows = cursor.fetchall() if cursor.description else []
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid

    async def fetchall(self) -> list[Any]:
        return self._rows

    async def close(self) -> None:
        self._rows = []
