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

TABLES = ("client", "user", "knowledge_base", "knowledge_file", "chat_session", "chat_history", "question")
# Layers of JSON text in JSON text that are taken off.
_LAYERS = 4

Row = dict[str, Any]


class OldDatabase:
    """The file. Raises Invalid when it is no SQLite database, or has none of the tables."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tables = self._list_tables()
        if not set(TABLES) & self.tables:
            raise Invalid(
                Text(
                    f"{path} 里没有 chat2llm 的表",
                    f"{path} has none of chat2llm's tables: {', '.join(TABLES)}",
                )
            )

    def _list_tables(self) -> set[str]:
        try:
            return {row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise Invalid(
                Text(
                    f"{self._path} 不是 SQLite 数据库：{error}",
                    f"{self._path} is no SQLite database: {error}",
                )
            ) from error

    def rows(self, table: str) -> Iterator[Row]:
        """In the order in which they were written."""
        statements = {
            "client": "SELECT * FROM client ORDER BY rowid",
            "user": 'SELECT * FROM "user" ORDER BY rowid',
            "knowledge_base": "SELECT * FROM knowledge_base ORDER BY rowid",
            "knowledge_file": "SELECT * FROM knowledge_file ORDER BY rowid",
            "chat_session": "SELECT * FROM chat_session ORDER BY rowid",
            "chat_history": "SELECT * FROM chat_history ORDER BY rowid",
            "question": "SELECT * FROM question ORDER BY rowid",
        }
        return self._rows(statements[table]) if table in self.tables else iter(())

    def _rows(self, statement: str) -> Iterator[Row]:
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            # A NUL has no place in text, and PostgreSQL has no word for it.
            connection.text_factory = lambda data: data.decode("utf-8", "replace").replace("\0", "")
            for row in connection.execute(statement):
                yield dict(row)


def text_of(value: object, limit: int | None = None) -> str:
    text = "" if value is None else str(value)
    return text if limit is None else text[:limit]


def time_of(value: object, otherwise: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return otherwise
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def is_on(row: Row, column: str = "enable") -> bool:
    """A switch, which is on unless it was turned off."""
    return str(row.get(column, 1)).lower() not in ("0", "false")


def number_of(value: object, otherwise: int) -> int:
    try:
        return int(str(value))
    except ValueError:
        return otherwise


def json_of(value: object) -> Any:
    """JSON that was encoded once or, as `chat_session.param`, twice; None when it is none."""
    for _ in range(_LAYERS):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value
