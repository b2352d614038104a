"""Reading a chat2llm of old: its SQLite database, whose rows may be as odd as its programs left them.

Nothing is written there. A table or a column that is not there is none; text is UTF-8, or what of it can be read; times are UTC,
as SQLite's own clock gave them.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.mended_json import mend

TABLES = ("client", "user", "knowledge_base", "knowledge_file", "chat_session", "chat_history", "question")
# Layers of JSON text in JSON text that are taken off.
_LAYERS = 4
# In the order in which rows were written; the second for tables WITHOUT ROWID.
_ORDERS = (" ORDER BY rowid", " ORDER BY create_time")
# A time before or after is no time of anything that was said.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998

Row = dict[str, Any]


class OldDatabase:
    """The file. Raises Invalid when it cannot be read, is no SQLite database, or is not chat2llm's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Why the rest of a table could not be read.
        self.broken: dict[str, str] = {}
        try:
            self.tables = {
                row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
            kb_columns = {row["name"] for row in self._rows("PRAGMA table_info(knowledge_base)")}
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
        if not set(TABLES) & self.tables:
            raise Invalid(
                Text(
                    f"{path} 里没有 chat2llm 的表",
                    f"{path} has none of chat2llm's tables: {', '.join(TABLES)}",
                )
            )
        if "alembic_version" in self.tables or (kb_columns and "kb_name" not in kb_columns):
            raise Invalid(
                Text(
                    f"{path} 不是旧 chat2llm 的数据库：它的表属于本服务或其他程序，没有迁入任何内容",
                    f"{path} is no database of an old chat2llm: its tables are this server's own or another program's; "
                    "nothing of it is taken",
                )
            )

    def rows(self, table: str) -> Iterator[Row]:
        """In the order in which they were written, up to where the file is damaged: that is told in `broken`."""
        statements = {
            "client": "SELECT * FROM client",
            "user": 'SELECT * FROM "user"',
            "knowledge_base": "SELECT * FROM knowledge_base",
            "knowledge_file": "SELECT * FROM knowledge_file",
            "chat_session": "SELECT * FROM chat_session",
            "chat_history": "SELECT * FROM chat_history",
            "question": "SELECT * FROM question",
        }
        if table in self.tables:
            try:
                yield from self._rows(statements[table], _ORDERS)
            except sqlite3.Error as error:
                self.broken[table] = str(error)

    def _rows(self, statement: str, orders: tuple[str, ...] = ()) -> Iterator[Row]:
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            # A NUL has no place in text, and PostgreSQL has no word for it.
            connection.text_factory = lambda data: data.decode("utf-8", "replace").replace("\0", "")
            for row in _in_order(connection, statement, orders):
                yield dict(row)


def _in_order(connection: sqlite3.Connection, statement: str, orders: tuple[str, ...]) -> sqlite3.Cursor:
    """By the first column of the orders that the table has."""
    for order in orders:
        try:
            return connection.execute(statement + order)
        except sqlite3.OperationalError as error:
            if "no such column" not in str(error):
                raise
    return connection.execute(statement)


def _unreadable(path: Path, error: sqlite3.Error) -> Invalid:
    if isinstance(error, sqlite3.OperationalError):
        return Invalid(
            Text(
                f"现在读不了 {path}：{error}。请先停止使用它的程序，并检查文件权限",
                f"{path} cannot be read now: {error}; stop the program that uses it, and look at the file's permissions",
            )
        )
    return Invalid(Text(f"{path} 不是 SQLite 数据库：{error}", f"{path} is no SQLite database: {error}"))


def text_of(value: object, limit: int | None = None) -> str:
    text = "" if value is None else str(value)
    return text if limit is None else text[:limit]


def time_of(value: object, otherwise: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return otherwise
    return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else otherwise


def is_on(row: Row, column: str = "enable") -> bool:
    """A switch, which is on unless it was turned off."""
    return str(row.get(column, 1)).lower() not in ("0", "false")


def number_of(value: object, otherwise: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return otherwise


def json_of(value: object) -> Any:
    """JSON that was encoded once or, as `chat_session.param`, twice, mended; None when it is none."""
    for _ in range(_LAYERS):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return mend(value)
