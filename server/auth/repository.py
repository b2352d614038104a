"""SQL about callers. Functions take the session first and never commit."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Delete,
    Update,
    delete,
    func,
    literal,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.models import (
    APIKey,
    Audit,
    AuthSession,
    Client,
    ClientKey,
    KeyKind,
    KeyState,
    SealedSecret,
    SSOState,
    Ticket,
    TokenUse,
    User,
)
from server.auth.principal import KEY_CALLER, is_persons_id
from server.db.upsert import upsert

_SWEPT_AT_ONCE, _USERS_AT_ONCE = 500, 50


async def _changed(session: AsyncSession, statement: Delete | Update) -> int:
    """Run it; returns how many rows it met."""
    return cast("CursorResult[Any]", await session.execute(statement)).rowcount


async def find_client(session: AsyncSession, client_id: str) -> Client | None:
    return await session.get(Client, client_id)


async def list_clients(session: AsyncSession) -> list[Client]:
    return list(await session.scalars(select(Client).order_by(Client.id)))


async def list_client_ids(session: AsyncSession) -> list[str]:
    return list(await session.scalars(select(Client.id).order_by(Client.id)))


async def list_keys(session: AsyncSession, client_id: str) -> list[ClientKey]:
    """All keys of a client, in the order in which they came."""
    query = select(ClientKey).where(ClientKey.client_id == client_id)
    return list(await session.scalars(query.order_by(ClientKey.created_at, ClientKey.id)))


async def list_open_keys(session: AsyncSession, client_id: str, now: datetime) -> list[ClientKey]:
    """The client's keys of every kind that are still good, the active ones first."""
    query = select(ClientKey).where(ClientKey.client_id == client_id, _is_open(now))
    return list(await session.scalars(query.order_by(ClientKey.state, ClientKey.created_at.desc())))


async def list_all_open_keys(session: AsyncSession, kind: KeyKind, now: datetime) -> list[ClientKey]:
    """The keys of this kind, of all clients, that are still good."""
    query = select(ClientKey).where(ClientKey.kind == kind, _is_open(now))
    return list(await session.scalars(query.order_by(ClientKey.client_id, ClientKey.kid)))


def _is_open(now: datetime) -> ColumnElement[bool]:
    retiring = (ClientKey.state == KeyState.RETIRING) & (ClientKey.retire_at > now)
    return (ClientKey.state == KeyState.ACTIVE) | retiring


async def find_key(session: AsyncSession, client_id: str, kid: str) -> ClientKey | None:
    return await session.scalar(
        select(ClientKey).where(ClientKey.client_id == client_id, ClientKey.kid == kid)
    )


async def find_any_key(session: AsyncSession, kind: KeyKind | None = None) -> ClientKey | None:
    """Some key whose private half is ours; of one kind, if named."""
    query = select(ClientKey).where(ClientKey.sealed_private.is_not(None))
    if kind is not None:
        query = query.where(ClientKey.kind == kind)
    return await session.scalar(query.order_by(ClientKey.id).limit(1))


async def list_sealed_keys(session: AsyncSession, *, hold: bool) -> list[ClientKey]:
    """Every key with a private half; `hold`: against changes until the end of the transaction."""
    query = (
        select(ClientKey)
        .where(ClientKey.sealed_private.is_not(None))
        .order_by(ClientKey.client_id, ClientKey.kid)
    )
    return list(await session.scalars(query.with_for_update() if hold else query))


async def list_sealed_secrets(session: AsyncSession) -> list[SealedSecret]:
    return list(await session.scalars(select(SealedSecret).order_by(SealedSecret.name)))


async def find_standing(
    session: AsyncSession, client_id: str, key_id: str, user_id: str
) -> tuple[Client, ClientKey | None, User | None] | None:
    """The client, one of its keys and one of its users, as they are now."""
    query = (
        select(Client, ClientKey, User)
        .outerjoin(ClientKey, (ClientKey.client_id == Client.id) & (ClientKey.id == key_id))
        .outerjoin(User, (User.client_id == Client.id) & (User.id == user_id))
        .where(Client.id == client_id)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def find_user(session: AsyncSession, client_id: str, user_id: str) -> User | None:
    return await session.get(User, (client_id, user_id))


async def list_users(
    session: AsyncSession, client_id: str, *, offset: int, limit: int
) -> tuple[list[User], int]:
    """One page of a client's users, by id, and how many there are."""
    query = select(User).where(User.client_id == client_id).order_by(User.id).offset(offset).limit(limit)
    total = await session.scalar(select(func.count()).where(User.client_id == client_id))
    return list(await session.scalars(query)), total or 0


async def count_users(session: AsyncSession, client_id: str, since: datetime) -> tuple[int, int]:
    """How many users a client has, and how many of them came after `since`."""
    mine = select(func.count()).where(User.client_id == client_id)
    total = mine.scalar_subquery()
    recent = mine.where(User.created_at > since).scalar_subquery()
    row = (await session.execute(select(total, recent))).one()
    return row[0], row[1]


async def add_user(session: AsyncSession, user: dict[str, Any]) -> User:
    """Insert the user, unless another request did so a moment before; return the row."""
    return cast("User", await upsert(session, user, {"id": User.id}, User))


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


async def list_standing(session: AsyncSession, callers: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of these callers, (client id, user id or `key:<id>`) as Principal has them, who are enabled. One query."""
    people = [caller for caller in callers if is_persons_id(caller[1])]
    users = (
        select(User.client_id, User.id)
        .join(Client, Client.id == User.client_id)
        .where(User.enabled, Client.enabled, tuple_(User.client_id, User.id).in_(people))
    )
    key_caller = literal(KEY_CALLER).concat(APIKey.id)
    key_ids = [user_id.removeprefix(KEY_CALLER) for _, user_id in callers if not is_persons_id(user_id)]
    keys = (
        select(APIKey.client_id, key_caller)
        .join(Client, Client.id == APIKey.client_id)
        .where(APIKey.enabled, Client.enabled, APIKey.id.in_(key_ids))
    )
    return {(row[0], row[1]) for row in await session.execute(union_all(users, keys))}


async def disable_api_keys(session: AsyncSession) -> int:
    """All that are good; returns how many."""
    return await _changed(session, update(APIKey).where(APIKey.enabled).values(enabled=False))


async def list_api_keys(session: AsyncSession, client_id: str | None) -> list[APIKey]:
    query = select(APIKey).order_by(APIKey.client_id, APIKey.created_at)
    if client_id is not None:
        query = query.where(APIKey.client_id == client_id)
    return list(await session.scalars(query))


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


async def list_auth_sessions(
    session: AsyncSession, now: datetime, idle: timedelta, client_id: str, user_id: str | None = None
) -> list[AuthSession]:
    """The sessions of a client or of one of its users that are still good, the newest first."""
    query = select(AuthSession).where(
        AuthSession.client_id == client_id,
        AuthSession.expires_at > now,
        AuthSession.last_used_at > now - idle,
    )
    if user_id is not None:
        query = query.where(AuthSession.user_id == user_id)
    return list(await session.scalars(query.order_by(AuthSession.created_at.desc(), AuthSession.id)))


async def delete_auth_sessions(
    session: AsyncSession, client_id: str, user_id: str | None = None, session_id: str | None = None
) -> int:
    """End the sessions of a client, of one of its users, or one of them; returns how many."""
    query = delete(AuthSession).where(AuthSession.client_id == client_id)
    if user_id is not None:
        query = query.where(AuthSession.user_id == user_id)
    if session_id is not None:
        query = query.where(AuthSession.id == session_id)
    return await _changed(session, query)


async def delete_tickets(session: AsyncSession, client_id: str, user_id: str | None = None) -> None:
    query = delete(Ticket).where(Ticket.client_id == client_id)
    await session.execute(query if user_id is None else query.where(Ticket.user_id == user_id))


async def delete_oldest_sessions(session: AsyncSession, client_id: str, user_id: str, keep: int) -> None:
    """Leave the `keep` newest sessions of a user."""
    mine = (AuthSession.client_id == client_id) & (AuthSession.user_id == user_id)
    newest_first = select(AuthSession.secret_hash).where(mine).order_by(AuthSession.created_at.desc())
    if surplus := list(await session.scalars(newest_first.offset(keep))):
        await session.execute(delete(AuthSession).where(AuthSession.secret_hash.in_(surplus)))


async def delete_expired(session: AsyncSession, now: datetime) -> int:
    """Sweep a portion of the sessions, tickets, counted uses and begun sign-ons that ended; returns how many went.

    Found by reading and deleted by key: a range would wait for rows that others are about to insert (MariaDB).
    """
    swept = 0
    for key, expires_at in (
        (AuthSession.secret_hash, AuthSession.expires_at),
        (Ticket.secret_hash, Ticket.expires_at),
        (TokenUse.hash, TokenUse.expires_at),
        (SSOState.state_hash, SSOState.expires_at),
    ):
        old = select(key).where(expires_at <= now).order_by(key).limit(_SWEPT_AT_ONCE)
        if keys := list(await session.scalars(old)):
            swept += await _changed(session, delete(key.class_).where(key.in_(keys)))
    return swept


async def touch_user(session: AsyncSession, user: User, now: datetime) -> None:
    """The user was seen."""
    mine = (User.client_id == user.client_id) & (User.id == user.id)
    await session.execute(update(User).where(mine).values(seen_at=now))


async def delete_unseen_users(
    session: AsyncSession, client_id: str, prefix: str, before: datetime
) -> list[str]:
    """Delete a portion of the users whose id begins so and who were not seen since, with their logins; returns who went."""
    # Not LIKE, which on SQLite takes `DEMO-` for `demo-`.
    named = (User.client_id == client_id) & (func.substr(User.id, 1, len(prefix)) == prefix)
    unseen = named & (func.coalesce(User.seen_at, User.created_at) <= before)
    ids = list(await session.scalars(select(User.id).where(unseen).order_by(User.id).limit(_USERS_AT_ONCE)))
    await session.execute(delete(User).where(unseen, User.id.in_(ids)))
    # Whoever came back in between is still there.
    back = set(await session.scalars(select(User.id).where(named, User.id.in_(ids))))
    return [user_id for user_id in ids if user_id not in back]


async def take_ticket(session: AsyncSession, secret_hash: str, now: datetime) -> Ticket | None:
    """Use a ticket up. Of two who try at once, one gets it."""
    ticket = await session.get(Ticket, secret_hash)
    if ticket is None or ticket.expires_at <= now:
        return None
    mine = delete(Ticket).where(Ticket.secret_hash == secret_hash)
    return ticket if await _changed(session, mine) == 1 else None


async def count_use(session: AsyncSession, use_hash: str, expires_at: datetime) -> int:
    """Count one more use and return how many there were; two processes with the same token count two."""
    row = {"hash": use_hash, "uses": 1, "expires_at": expires_at}
    return cast("int", await upsert(session, row, {"uses": TokenUse.uses + 1}, TokenUse.uses))


async def find_uses(session: AsyncSession, use_hash: str) -> int:
    return await session.scalar(select(TokenUse.uses).where(TokenUse.hash == use_hash)) or 0


async def list_audit(
    session: AsyncSession, client_id: str | None = None, *, offset: int, limit: int
) -> list[Audit]:
    """What was changed about identities, of all clients or of one, the newest first."""
    query = select(Audit).order_by(Audit.id.desc()).offset(offset).limit(limit)
    return list(
        await session.scalars(query if client_id is None else query.where(Audit.client_id == client_id))
    )


async def find_audit(session: AsyncSession, client_id: str, action: str, target: str) -> Audit | None:
    """The last time that this was done to it."""
    query = select(Audit).where(Audit.client_id == client_id, Audit.action == action, Audit.target == target)
    return await session.scalar(query.order_by(Audit.id.desc()).limit(1))


async def take_sso_state(session: AsyncSession, state_hash: str, browser_hash: str, now: datetime) -> bool:
    """Delete the state if it is this browser's and still good. Of two who try at once, one gets True."""
    mine = delete(SSOState).where(
        SSOState.state_hash == state_hash, SSOState.browser_hash == browser_hash, SSOState.expires_at > now
    )
    return await _changed(session, mine) == 1
