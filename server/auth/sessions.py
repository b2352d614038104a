"""Logins: sessions (`st_…`) and the tickets (`tk_…`) that become one. Both are opaque, random and stored as hashes."""

import secrets
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.audit import SERVER, audit
from server.auth.models import AuthSession, Ticket, User
from server.auth.vault import hash_session
from server.core.errors import Forbidden
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.settings import AuthSettings

SESSION_PREFIX, TICKET_PREFIX = "st_", "tk_"
TICKET_LIFE = timedelta(seconds=60)
# How a person came in.
Origin = Literal["token", "ticket", "demo", "wecom"]


async def start_session(
    session: AsyncSession, user: User, settings: AuthSettings, now: datetime, origin: Origin = "token"
) -> str:
    """Log a user in and return the session's secret; the oldest of too many ends. Raises Forbidden for a disabled user."""
    _check_enabled(user)
    await repository.delete_oldest_sessions(session, user.client_id, user.id, keep=settings.max_sessions - 1)
    secret, session_id = SESSION_PREFIX + secrets.token_urlsafe(32), new_id("as")
    session.add(
        AuthSession(
            secret_hash=hash_session(secret),
            id=session_id,
            client_id=user.client_id,
            user_id=user.id,
            origin=origin,
            created_at=now,
            last_used_at=now,
            expires_at=now + settings.session_max_age,
        )
    )
    audit(
        session, now, SERVER, "session.start", user.client_id, user.id, session_id=session_id, origin=origin
    )
    await session.flush()
    return secret


async def issue_ticket(session: AsyncSession, user: User, now: datetime, origin: Origin) -> str:
    """Return a secret that is good for one session of this user, for a minute. Raises Forbidden for a disabled user."""
    _check_enabled(user)
    secret = TICKET_PREFIX + secrets.token_urlsafe(32)
    session.add(
        Ticket(
            secret_hash=hash_session(secret),
            client_id=user.client_id,
            user_id=user.id,
            origin=origin,
            expires_at=now + TICKET_LIFE,
        )
    )
    await session.flush()
    return secret


async def end_sessions(
    session: AsyncSession, client_id: str, user_id: str | None = None, session_id: str | None = None
) -> int:
    """End the sessions of a client, of one of its users, or one; its tickets too, unless one session is meant."""
    if session_id is None:
        await repository.delete_tickets(session, client_id, user_id)
    return await repository.delete_auth_sessions(session, client_id, user_id, session_id)


def _check_enabled(user: User) -> None:
    if not user.enabled:
        raise Forbidden(Text("该用户已被禁用", "this user is disabled"))
