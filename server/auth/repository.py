"""SQL about callers. Functions take the session first and never commit."""

from datetime import datetime
from typing import cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.models import APIKey, AuthSession, Client, ClientKey, SSOState, User

_SWEPT_AT_ONCE = 100


async def find_client(session: AsyncSession, client_id: str) -> Client | None:
    return await session.get(Client, client_id)


async def list_client_ids(session: AsyncSession) -> list[str]:
    return list(await session.scalars(select(Client.id).order_by(Client.id)))


async def list_open_keys(session: AsyncSession, client_id: str) -> list[ClientKey]:
    """The client's keys that may still open a token, the active one first."""
    query = select(ClientKey).where(
        ClientKey.client_id == client_id, ClientKey.state.in_(("active", "retiring"))
    )
    return list(await session.scalars(query.order_by(ClientKey.state)))


async def find_any_key(session: AsyncSession) -> ClientKey | None:
    return await session.scalar(select(ClientKey).limit(1))


async def find_user(session: AsyncSession, client_id: str, user_id: str) -> User | None:
    return await session.get(User, (client_id, user_id))


async def add_user(session: AsyncSession, user: User) -> User:
    """Insert the user, or return the row that another request inserted a moment before."""
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:
        found = await session.get(User, (user.client_id, user.id))
        if found is None:
            raise
        return found
    return user


async def set_username(session: AsyncSession, client_id: str, user_id: str, username: str) -> None:
    await session.execute(
        update(User).where(User.client_id == client_id, User.id == user_id).values(username=username)
    )


async def set_padding(session: AsyncSession, client_id: str, padding: str) -> None:
    await session.execute(update(Client).where(Client.id == client_id).values(padding=padding))


async def find_api_key(session: AsyncSession, secret_hash: str) -> tuple[APIKey, Client] | None:
    query = (
        select(APIKey, Client)
        .join(Client, Client.id == APIKey.client_id)
        .where(APIKey.secret_hash == secret_hash)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1])


async def find_auth_session(
    session: AsyncSession, secret_hash: str
) -> tuple[AuthSession, User, Client] | None:
    query = (
        select(AuthSession, User, Client)
        .join(User, (User.client_id == AuthSession.client_id) & (User.id == AuthSession.user_id))
        .join(Client, Client.id == AuthSession.client_id)
        .where(AuthSession.secret_hash == secret_hash)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def touch_auth_session(session: AsyncSession, secret_hash: str, now: datetime) -> None:
    await session.execute(
        update(AuthSession).where(AuthSession.secret_hash == secret_hash).values(last_used_at=now)
    )


async def delete_expired_sessions(session: AsyncSession, now: datetime) -> None:
    await session.execute(delete(AuthSession).where(AuthSession.expires_at < now))


async def take_sso_state(session: AsyncSession, state_hash: str, browser_hash: str, now: datetime) -> bool:
    """Delete the state if it is this browser's and still good. Of two who try at once, one gets True."""
    mine = delete(SSOState).where(
        SSOState.state_hash == state_hash, SSOState.browser_hash == browser_hash, SSOState.expires_at > now
    )
    return cast("CursorResult[tuple[()]]", await session.execute(mine)).rowcount == 1


async def delete_expired_sso_states(session: AsyncSession, now: datetime) -> None:
    """Found by reading and deleted by key: a range would wait for rows that others are about to insert (MariaDB)."""
    old = select(SSOState.state_hash).where(SSOState.expires_at <= now).order_by(SSOState.state_hash)
    if hashes := list(await session.scalars(old.limit(_SWEPT_AT_ONCE))):
        await session.execute(delete(SSOState).where(SSOState.state_hash.in_(hashes)))
