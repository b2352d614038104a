"""SQL about conversations. Functions take the session first and never commit."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from server.chat.models import Message, Session


async def find_session(session: AsyncSession, session_id: str) -> Session | None:
    return await session.get(Session, session_id)


async def add_session(session: AsyncSession, row: Session) -> Session:
    """Insert, or return the row that another request inserted a moment before."""
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError:
        found = await session.get(Session, row.id)
        if found is None:
            raise
        return found
    return row


async def find_message(session: AsyncSession, message_id: str) -> Message | None:
    return await session.get(Message, message_id)


async def update_message(session: AsyncSession, message_id: str, values: dict[str, Any]) -> None:
    await session.execute(update(Message).where(Message.id == message_id).values(**values))


async def unfinished_messages(session: AsyncSession, before: datetime) -> list[str]:
    """The ids of messages from before then that are still being written."""
    query = select(Message.id).where(Message.state == "writing", Message.created_at < before)
    return list(await session.scalars(query))


async def cut_message(session: AsyncSession, message_id: str) -> None:
    """Mark a message as cut, unless it has ended meanwhile."""
    query = update(Message).where(Message.id == message_id, Message.state == "writing")
    await session.execute(query.values(state="cut"))


async def delete_conversations(session: AsyncSession, client_id: str, user_ids: Collection[str]) -> None:
    """All that these users of a client asked, and were answered."""
    for table in (Message, Session):
        await session.execute(delete(table).where(table.client_id == client_id, table.user_id.in_(user_ids)))
