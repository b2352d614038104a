"""The `state` of a sign-on that goes through another system: 128 random bits, good once, for five minutes, and only in
the browser that began. It stands in the database, so that any worker can take it back."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.models import SSOState

LIFETIME = timedelta(minutes=5)
_RANDOM = re.compile(r"[0-9a-f]{32}")


def browser_key(cookie: str | None) -> str:
    """What marks a browser: the one it brought, so that two of its tabs can both finish, or a new one."""
    return cookie if cookie and _RANDOM.fullmatch(cookie) else secrets.token_hex(16)


async def begin(session: AsyncSession, browser: str, now: datetime) -> str:
    """Draw a state for this browser (32 hexadecimal characters) and remember it."""
    state = secrets.token_hex(16)
    session.add(SSOState(state_hash=_hash(state), browser_hash=_hash(browser), expires_at=now + LIFETIME))
    await session.flush()
    return state


async def finish(session: AsyncSession, state: str, browser: str | None, now: datetime) -> bool:
    """Use the state up. False when it is unknown, used, too old or another browser's."""
    if not (browser and _RANDOM.fullmatch(state) and _RANDOM.fullmatch(browser)):
        return False
    return await repository.take_sso_state(session, _hash(state), _hash(browser), now)


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
