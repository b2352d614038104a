"""People, known by their client's word only."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.audit import SERVER, audit
from server.auth.models import APIKey, User
from server.auth.principal import Principal, Role
from server.core.errors import Forbidden, TooManyRequests
from server.core.i18n import Text
from server.core.settings import AuthSettings

_HOUR = timedelta(hours=1)
# The contract's number for "a browser comes by itself", and what the ids of these visitors begin with.
DEMO_CLIENT, VISITOR_PREFIX = "0", "demo-"


def is_visitor(user: User) -> bool:
    """Somebody who came to the demo by its passphrase: kept for a day only."""
    return user.client_id == DEMO_CLIENT and user.id.startswith(VISITOR_PREFIX)


async def check_client(session: AsyncSession, client_id: str) -> None:
    """May anybody come in as a user of this client? Raises Forbidden."""
    client = await repository.find_client(session, client_id)
    if client is None:
        raise Forbidden(
            Text(
                f"拒绝访问, 未知客户端: {client_id}（请管理员用 client add 添加）",
                f"unknown client: {client_id}; your operator must add it with client add",
            )
        )
    if not client.enabled:
        raise Forbidden(Text("拒绝访问, 该客户端已停用", "access denied: this client is switched off"))


async def find_account(session: AsyncSession, caller: Principal) -> User | APIKey | None:
    """The row behind a caller: a person, or an api key; None when it went away a moment ago."""
    if caller.api_key_id is not None:
        return await session.get(APIKey, caller.api_key_id)
    return await repository.find_user(session, caller.client_id, caller.user_id)


async def meet_user(
    session: AsyncSession, client_id: str, user_id: str, username: str, settings: AuthSettings, now: datetime
) -> User:
    """Find the user, or make a reader at first sight; the name is kept up to date, an empty one says nothing.

    Raises TooManyRequests (user_quota) when the client brings more new users than it may.
    """
    user = await repository.find_user(session, client_id, user_id)
    return await welcome(session, user, client_id, user_id, username, settings, now)


async def welcome(
    session: AsyncSession,
    user: User | None,
    client_id: str,
    user_id: str,
    username: str,
    settings: AuthSettings,
    now: datetime,
) -> User:
    """`meet_user` for one who was looked up already: `user` None is new."""
    if user is None:
        await _check_quota(session, client_id, settings, now)
        fresh = {"client_id": client_id, "id": user_id, "username": username, "created_at": now}
        user = await repository.add_user(session, fresh | {"role": Role.READER, "enabled": True})
        audit(session, now, SERVER, "user.create", client_id, user_id)
    if username not in ("", user.username):
        await repository.set_username(session, client_id, user_id, username)
        user.username = username
    return user


async def _check_quota(session: AsyncSession, client_id: str, settings: AuthSettings, now: datetime) -> None:
    total, recent = await repository.count_users(session, client_id, now - _HOUR)
    limits, names = (settings.max_users, settings.new_users_per_hour), ("max_users", "new_users_per_hour")
    if client_id == DEMO_CLIENT:
        limits = (settings.max_demo_users, settings.demo_users_per_hour)
        names = ("max_demo_users", "demo_users_per_hour")
    if total >= limits[0] or recent >= limits[1]:
        raise TooManyRequests(
            Text(
                f"该客户端的新用户过多，请联系管理员（[auth] {'、'.join(names)}）",
                f"this client brings too many new users; ask your operator ([auth] {', '.join(names)})",
            ),
            code="user_quota",
            retry_after=3600,
        )
