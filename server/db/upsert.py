"""Insert or change a row in one statement, so that of two who do it at once neither fails and both count."""

from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from server.db.base import Base


async def upsert(
    session: AsyncSession,
    row: dict[str, Any],
    more: dict[str, Any],
    then: type[Base] | InstrumentedAttribute[Any],
) -> Any:
    """Insert `row`, or set `more` where its primary key is there already; return `then` of it: the row, or a column.

    The row stays locked until the commit, so that each caller reads what it wrote itself.
    """
    table = then if isinstance(then, type) else then.class_
    key = inspect(table).primary_key
    dialect = session.get_bind().dialect
    statement: Any
    if dialect.name in ("sqlite", "postgresql"):
        insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
        statement = insert(table).values(row).on_conflict_do_update(index_elements=list(key), set_=more)
    else:
        statement = mysql.insert(table).values(row).on_duplicate_key_update(more)
    if dialect.insert_returning:
        return (await session.execute(statement.returning(then))).scalar_one()
    await session.execute(statement)  # MySQL
    return (
        await session.execute(select(then).where(*(column == row[column.name] for column in key)))
    ).scalar_one()
