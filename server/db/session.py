"""Engine, sessions and who may write.

`Database.read()` gives a session that never commits, `Database.write()` one that commits when its block ends well.
Neither may be open while a model, an embedding or a file is waited for: a connection held is a connection missing.
"""

import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm.exc import StaleDataError

from server.core.errors import AppError, Busy, Deadlock, Overtaken, SettingsError, StorageFull
from server.core.i18n import Text
from server.core.settings import DatabaseSettings
from server.db.sqlite import Turns, create_sqlite_engine, database_busy

log = logging.getLogger(__name__)

# What work in the background outlives: it comes round again.
PASSING_FAULTS = (SQLAlchemyError, Busy, Overtaken, StorageFull)

# What a user writes → the async driver behind it.
DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mariadb+aiomysql",
}
# MariaDB: lock wait timeout; PostgreSQL: lock_not_available.
_LOCK_CODES = {1205, "55P03"}
# MariaDB: deadlock, and no such savepoint: a deadlock took the whole transaction back, and with it the savepoint that would
# be gone back to. PostgreSQL: deadlock_detected, serialization_failure.
_DEADLOCK_CODES = {1213, 1305, "40P01", "40001"}
_FULL_CODES = {1021, 1114, "53100"}
# MariaDB: cannot connect, gone away, lost. PostgreSQL: connection failures, shut down, starting up.
_AWAY_CODES = {2002, 2003, 2006, 2013, "08001", "08003", "08006", "57P01", "57P02", "57P03"}
# What a row needs is gone, or another one like it has come. MariaDB: 1062, 1451, 1452; PostgreSQL: 23503, 23505.
_MEANWHILE_CODES = {1062, 1451, 1452, "23503", "23505"}
# Where MariaDB and SQLite say which rule it was; a value of the row may stand before it.
_CONSTRAINT = re.compile(r"for key '([^']+)'\W*$|CONSTRAINT `([^`]+)`|UNIQUE constraint failed: (.+)")
_MEANWHILE_WORDS = ("UNIQUE constraint failed", "FOREIGN KEY constraint failed")


def async_url(url: str) -> URL:
    """Give a plain database URL its async driver. Raises SettingsError for another kind of database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The URL itself may hold a password: it is not repeated.
        raise SettingsError(
            f"[database] url: this is no database URL; use one of: {', '.join(DRIVERS)}"
        ) from None
    driver = DRIVERS.get(parsed.get_backend_name() if "+" in parsed.drivername else parsed.drivername)
    if driver is None:
        raise SettingsError(
            f"[database] url: {parsed.drivername} is not supported; use one of: {', '.join(DRIVERS)}"
        )
    query = dict(parsed.query)
    if driver.startswith(("mysql", "mariadb")):
        query.setdefault("charset", "utf8mb4")
    return parsed.set(drivername=driver, query=query)


def tell_fault(words: str, error: Exception, teller: logging.Logger, **fields: object) -> None:
    """One of PASSING_FAULTS in the log, where it may come again and again: a database that is held or away is one line, and
    only what nobody foresaw comes with its trace."""
    is_foreseen = isinstance(error, AppError)
    reason = error.code if isinstance(error, AppError) else type(error).__name__
    teller.warning(words, extra={"reason": reason, **fields}, exc_info=None if is_foreseen else error)


class Database:
    """One engine and its sessions. Built in the lifespan, closed with it."""

    def __init__(self, url: str, settings: DatabaseSettings) -> None:
        self.url = async_url(url)
        self.engine = _create_engine(self.url, settings)
        # SQLite: a transaction that will write says so at its start, or two of them deadlock at the first write.
        writing = self.engine.execution_options(begins_write=True)
        self._read = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)
        self._write = async_sessionmaker(writing, expire_on_commit=False)
        is_sqlite = self.url.get_backend_name() == "sqlite"
        self._turns = Turns(settings.lock_timeout.total_seconds()) if is_sqlite else None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session that only reads."""
        with refusals():
            async with self._read() as session:
                yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A unit of work: commits when the block ends, rolls back when it raises. Raises Overtaken, see `_conflicts`."""
        with refusals(), _conflicts():
            async with (
                self._turns.turn() if self._turns else nullcontext(),
                self._write() as session,
                session.begin(),
            ):
                yield session

    async def close(self) -> None:
        await self.engine.dispose()


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what people can do something about into a refusal: a held lock, a full disk, a database that is away.

    Every other fault passes unchanged. Raises Busy, StorageFull.
    """
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        refusal = _refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error


@contextmanager
def _conflicts() -> Iterator[None]:
    """The last net for what two writers can do to each other: whoever comes second is refused. Raises Overtaken."""
    try:
        yield
    except (IntegrityError, StaleDataError) as error:
        if isinstance(error, IntegrityError) and not _happened_meanwhile(error):
            raise
        log.warning("refused, as others wrote meanwhile", extra=_broken_rule(error))
        raise Overtaken from error


def _happened_meanwhile(error: IntegrityError) -> bool:
    return _code_of(error) in _MEANWHILE_CODES or any(word in str(error.orig) for word in _MEANWHILE_WORDS)


def _broken_rule(error: IntegrityError | StaleDataError) -> dict[str, object]:
    """What a log may tell of it: no values, and one line, for it is nobody's fault."""
    if isinstance(error, StaleDataError):
        return {"reason": "stale"}
    diagnosis = getattr(error.orig, "diag", None)
    named = diagnosis.constraint_name if diagnosis else None
    if named is None and (found := _CONSTRAINT.search(str(error.orig))):
        named = next(filter(None, found.groups()), None)
    # SQLite has no code but its words, which tell no values.
    return {"reason": _code_of(error), "constraint": named}


def _code_of(error: DBAPIError) -> object:
    original = error.orig
    return getattr(original, "sqlstate", None) or (original.args[0] if original and original.args else None)


def _refusal_of(error: DBAPIError) -> AppError | None:
    original = error.orig
    words = str(original)
    if "image is malformed" in words:
        return Busy(
            Text(
                "数据库文件已损坏，请管理员运行 kb verify 并从备份恢复",
                "the database file is damaged; your operator must look (`kb verify`) and restore a backup",
            ),
            code="database_damaged",
        )
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    code = _code_of(error)
    if code in _DEADLOCK_CODES:
        return Deadlock(database_busy().text, retry_after=1)
    if code in _LOCK_CODES or "database is locked" in words:
        return database_busy()
    if code in _FULL_CODES or "disk is full" in words:
        return StorageFull(
            Text("磁盘已满，请管理员腾出空间", "the disk is full; your operator must make room")
        )
    if "disk I/O error" in words:
        return StorageFull(
            Text(
                "数据库所在磁盘读写出错，请管理员检查",
                "the database's disk fails; your operator must look at it",
            ),
            code="storage_unavailable",
        )
    if "readonly database" in words:
        return StorageFull(
            Text(
                "数据库不可写，请管理员检查文件权限",
                "the database cannot be written; check its file's permissions",
            ),
            code="database_read_only",
        )
    if error.connection_invalidated or code in _AWAY_CODES or _could_not_connect(original):
        return Busy(
            Text("连接不上数据库，请稍后再试", "the database cannot be reached; try again in a moment"),
            code="database_unreachable",
            retry_after=5,
        )
    return None


def _could_not_connect(error: BaseException | None) -> bool:
    """psycopg gives no code when there is no server to give one."""
    return type(error).__module__.startswith("psycopg") and not getattr(error, "sqlstate", None)


def _create_engine(url: URL, settings: DatabaseSettings) -> AsyncEngine:
    seconds = settings.lock_timeout.total_seconds()
    options: dict[str, Any] = {"pool_size": settings.pool_size, "max_overflow": 0, "pool_timeout": 30}
    # What people ask stands in parameters; an error that shows them takes it to the log.
    options["hide_parameters"] = True
    backend = url.get_backend_name()
    if backend == "sqlite":
        return create_sqlite_engine(url, seconds, **options)
    options |= {"pool_pre_ping": True, "pool_recycle": 1800}
    if backend == "postgresql":
        arguments: dict[str, Any] = {"options": f"-c lock_timeout={int(seconds * 1000)} -c timezone=UTC"}
    else:
        arguments = {
            "init_command": f"SET innodb_lock_wait_timeout={max(1, int(seconds))}, time_zone='+00:00'"
        }
        # Locking reads must see what others committed a moment ago, as on the other two databases.
        options["isolation_level"] = "READ COMMITTED"
    engine = create_async_engine(url, connect_args=arguments, **options)
    event.listen(engine.sync_engine, "handle_error", _hide_details)
    return engine


def _hide_details(context: ExceptionContext) -> None:
    """PostgreSQL tells the whole row below the first line of its message."""
    original, told = context.original_exception, context.sqlalchemy_exception
    words = str(original)
    first = words.partition("\n")[0]
    if getattr(original, "sqlstate", None) and told is not None and first != words:
        told.args = (str(told.args[0]).replace(words, first), *told.args[1:])
        original.args = (first,)
