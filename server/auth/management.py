"""What an operator does with clients, users, api keys and sessions: one function for each, with its line in the audit.

The first arguments are the same everywhere: the session of the transaction, and `actor`, who does it (audit.CLI, or
`Principal.actor`). A change reaches every process within five seconds.
"""

import re
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, repository
from server.auth.audit import audit
from server.auth.models import APIKey, Audit, AuthSession, Client, User
from server.auth.networks import join_networks
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.service import no_client
from server.auth.sessions import end_sessions
from server.core.errors import Invalid, NotFound
from server.core.i18n import Text
from server.core.settings import AuthSettings

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")


async def get_client(session: AsyncSession, client_id: str) -> Client:
    """Raises NotFound, which names the clients there are."""
    client = await repository.find_client(session, client_id)
    if client is None:
        raise no_client(client_id, await repository.list_client_ids(session))
    return client


async def set_client_enabled(
    session: AsyncSession, actor: str, client_id: str, *, enabled: bool, now: datetime
) -> Client:
    """Switch a client on or off; off ends its sessions and tickets, and the answers that run for it. Raises NotFound."""
    client = await get_client(session, client_id)
    client.enabled = enabled
    ended = 0 if enabled else await end_sessions(session, client_id)
    audit(session, now, actor, "client.enable" if enabled else "client.disable", client_id, sessions=ended)
    return client


async def set_policy(
    session: AsyncSession, actor: str, client_id: str, policy: Policy, now: datetime
) -> Client:
    """Raises NotFound."""
    client = await get_client(session, client_id)
    audit(session, now, actor, "client.policy", client_id, policy=policy, before=client.policy)
    client.policy = policy
    return client


async def set_options(
    session: AsyncSession,
    actor: str,
    client_id: str,
    now: datetime,
    *,
    max_blocks: int | None = None,
    pct_fields: bool | None = None,
    networks: list[str] | None = None,
) -> Client:
    """Change what the client's version 1 tokens may differ in (api_token.Form), and where its tokens of any version are
    taken from; None leaves as it is, no networks are all.

    Raises NotFound, Invalid.
    """
    client = await get_client(session, client_id)
    if max_blocks is not None:
        if not 1 <= max_blocks <= api_token.MAX_BLOCKS:
            raise Invalid(Text("max_blocks 应为 1–4", "max_blocks is 1 to 4"))
        client.max_blocks = max_blocks
    if pct_fields is not None:
        client.pct_fields = pct_fields
    if networks is not None:
        client.networks = _join_networks(networks)
    audit(
        session,
        now,
        actor,
        "client.option",
        client_id,
        max_blocks=client.max_blocks,
        pct_fields=client.pct_fields,
        networks=client.networks.split(),
    )
    return client


async def set_frame_ancestors(
    session: AsyncSession, actor: str, client_id: str, origins: list[str], now: datetime
) -> Client:
    """Say whose pages may show ours in a frame. Raises NotFound, Invalid for what is no origin."""
    client = await get_client(session, client_id)
    joined = " ".join(origins)
    if not all(_ORIGIN.fullmatch(origin) for origin in origins) or len(joined) > 1000:
        raise Invalid(
            Text(
                "来源应为 https://主机[:端口]（内网可用 http://），不含路径和通配符 *，总长不超过 1000 个字符",
                "an origin is https://HOST[:PORT] (or http:// within an intranet), without a path or a wildcard *; all of "
                "them have at most 1000 characters",
            )
        )
    client.frame_ancestors = joined
    audit(session, now, actor, "client.frame-ancestors", client_id, origins=origins)
    return client


async def list_users(
    session: AsyncSession, client_id: str, *, offset: int = 0, limit: int = 50
) -> tuple[list[User], int]:
    """One page of a client's users, and how many there are. Raises NotFound."""
    await get_client(session, client_id)
    return await repository.list_users(session, client_id, offset=offset, limit=limit)


async def get_user(session: AsyncSession, client_id: str, user_id: str) -> User:
    """Raises NotFound."""
    await get_client(session, client_id)
    user = await repository.find_user(session, client_id, user_id)
    if user is None:
        raise NotFound(
            Text(
                f"客户端 {client_id} 没有用户 {user_id}：要先登录过一次",
                f"client {client_id} has no user {user_id}: they must come in once first",
            )
        )
    return user


async def set_user_enabled(
    session: AsyncSession, actor: str, client_id: str, user_id: str, *, enabled: bool, now: datetime
) -> User:
    """Let a user in or keep them out; out ends their sessions, tickets and running answers. Raises NotFound."""
    user = await get_user(session, client_id, user_id)
    user.enabled = enabled
    ended = 0 if enabled else await end_sessions(session, client_id, user_id)
    audit(
        session, now, actor, "user.enable" if enabled else "user.disable", client_id, user_id, sessions=ended
    )
    return user


async def set_role(
    session: AsyncSession, actor: str, client_id: str, user_id: str, role: Role, now: datetime
) -> User:
    """Raises NotFound."""
    user = await get_user(session, client_id, user_id)
    audit(session, now, actor, "user.role", client_id, user_id, role=role, before=user.role)
    user.role = role
    return user


async def list_api_keys(session: AsyncSession, client_id: str | None = None) -> list[APIKey]:
    """The api keys of a client, or of all. Their secrets are known to nobody. Raises NotFound."""
    if client_id is not None:
        await get_client(session, client_id)
    return await repository.list_api_keys(session, client_id)


async def list_clients(session: AsyncSession) -> list[Client]:
    return await repository.list_clients(session)


async def revoke_api_key(
    session: AsyncSession, actor: str, key_id: str, now: datetime, client_id: str | None = None
) -> APIKey:
    """End an api key. Raises NotFound."""
    key = await session.get(APIKey, key_id)
    if key is None or client_id not in (None, key.client_id):
        raise NotFound(Text("没有这个 API 密钥", "there is no such api key"))
    key.enabled = False
    audit(session, now, actor, "api-key.revoke", key.client_id, key_id)
    return key


async def list_sessions(
    session: AsyncSession, client_id: str, user_id: str | None, settings: AuthSettings, now: datetime
) -> list[AuthSession]:
    """The sessions of a client, or of one of its users, that are still good. Raises NotFound."""
    await get_client(session, client_id)
    return await repository.list_auth_sessions(session, now, settings.session_idle, client_id, user_id)


async def end_logins(
    session: AsyncSession,
    actor: str,
    client_id: str,
    user_id: str | None,
    now: datetime,
    session_id: str | None = None,
) -> int:
    """End one session, all of a user, or all of a client; returns how many there were. Raises NotFound."""
    await get_client(session, client_id)
    ended = await end_sessions(session, client_id, user_id, session_id)
    if session_id is not None and not ended:
        raise NotFound(Text("没有这个登录会话", "there is no such session"))
    audit(session, now, actor, "session.end", client_id, user_id or "", session_id=session_id, sessions=ended)
    return ended


async def list_audit(
    session: AsyncSession, client_id: str | None, *, offset: int = 0, limit: int = 50
) -> list[Audit]:
    """What was changed about identities, of all clients or of one, the newest first."""
    return await repository.list_audit(session, client_id, offset=offset, limit=limit)


def _join_networks(networks: list[str]) -> str:
    try:
        joined = join_networks(networks)
    except ValueError as error:
        raise Invalid(
            Text(
                f"networks 应为网段或地址，如 10.0.0.0/8、192.168.1.5：{error}",
                f"networks are networks or addresses, like 10.0.0.0/8 or 192.168.1.5: {error}",
            )
        ) from None
    if len(joined) > 1000:
        raise Invalid(Text("networks 总长不超过 1000 个字符", "networks have at most 1000 characters"))
    return joined
