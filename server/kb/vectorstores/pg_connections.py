"""Connections to the PostgreSQL that has vectors, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Cursor, OperationalError, errors, sql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from server.core.errors import StoreUnavailable
from server.core.i18n import Text
from server.kb.vectorstores.base import SlotMissing


class PgConnections:
    """Connections to a PostgreSQL with the extension `vector`, 0.7 or newer, and the schema in it that is ours. Everything blocks."""

    def __init__(self, url: str, schema: str, timeout: float) -> None:
        self.schema = schema
        milliseconds = int(timeout * 1000)
        self._engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=8,
            max_overflow=8,
            pool_timeout=timeout,
            pool_pre_ping=True,
            pool_recycle=1800,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, int(timeout)),
                "options": f"-c statement_timeout={milliseconds}",
            },
        )
        self._is_prepared = False

    def close(self) -> None:
        self._engine.dispose()

    def prepare(self, cursor: Cursor[Any]) -> None:
        """The extension and our schema. Raises StoreUnavailable when the extension cannot be had."""
        if self._is_prepared:
            return
        try:
            # Two may do it at once, and the second one fails in spite of IF NOT EXISTS.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('chat2llm vectors'))")
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.schema)))
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            row = cursor.fetchone()
        except (errors.UndefinedFile, errors.FeatureNotSupported, errors.InsufficientPrivilege) as error:
            raise StoreUnavailable(
                Text(
                    f"该 PostgreSQL 不能使用扩展 vector（pgvector）：{error.diag.message_primary}；请安装 pgvector 0.7 以上并由管理员执行 "
                    "CREATE EXTENSION vector",
                    f"this PostgreSQL cannot use the extension vector: {error.diag.message_primary}; install pgvector 0.7 or newer "
                    "and have its administrator run CREATE EXTENSION vector",
                )
            ) from error
        version = row[0] if row else "0"
        if tuple(int(part) for part in version.split(".")[:2]) < (0, 7):
            raise StoreUnavailable(
                Text(
                    f"pgvector {version} 太旧，需要 0.7 以上", f"pgvector {version} is too old; 0.7 is needed"
                )
            )
        self._is_prepared = True

    @contextmanager
    def cursor(self, *, patient: bool = False) -> Iterator[Cursor[Any]]:
        """One transaction; `patient`: each statement is one of its own and takes as long as it takes."""
        try:
            connection: Any = self._engine.raw_connection()
        except (DBAPIError, OperationalError, PoolTimeoutError) as error:
            raise _away(error) from error
        try:
            if patient:
                connection.driver_connection.autocommit = True
            with connection.cursor() as cursor:
                if patient:
                    cursor.execute("SET statement_timeout = 0")
                yield cursor
                if patient:
                    cursor.execute("RESET statement_timeout")
            connection.commit()
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            connection.rollback()
            raise SlotMissing(str(error)) from error
        except OperationalError as error:
            connection.invalidate()
            raise _away(error) from error
        except BaseException:
            connection.invalidate() if patient else connection.rollback()
            raise
        finally:
            if patient and connection.is_valid:
                connection.driver_connection.autocommit = False
            connection.close()


def _away(error: Exception) -> StoreUnavailable:
    """Without the server's own words: they may hold a password."""
    return StoreUnavailable(
        Text(
            "连接不上 PostgreSQL 向量库，请稍后再试；管理员请检查 [vector_store] pg_url",
            f"the PostgreSQL that has the vectors cannot be used ({type(error).__name__}); see [vector_store] pg_url",
        ),
        retry_after=5,
    )
