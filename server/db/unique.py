"""Names and ids that two may want at once: the database decides, and whoever comes second is told."""

from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession


async def put_unless_taken(session: AsyncSession, row: object, **values: Any) -> bool:
    """Insert a row, or give one that is there other `values`. False when another row has what must be one's own; the
    transaction goes on."""
    try:
        async with session.begin_nested():
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)
    except IntegrityError:
        return False
    return True
