"""What an operator decides of knowledge bases: who sees them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.audit import audit
from server.auth.management import get_client
from server.core.errors import KBNotFound
from server.kb import repository
from server.kb.models import KnowledgeBase


async def list_own(session: AsyncSession, client_id: str) -> Sequence[tuple[KnowledgeBase, int]]:
    """The client's knowledge bases with the number of their documents. Raises ClientNotFound."""
    await get_client(session, client_id)
    return [
        (kb, count)
        for kb, count in await repository.list_kbs(session, client_id, viewer=None)
        if kb.client_id == client_id
    ]


async def set_shared(
    session: AsyncSession, actor: str, client_id: str, name: str, now: datetime, *, shared: bool
) -> None:
    """Let readers of every client see it, or only its own client's again. Raises ClientNotFound, KBNotFound."""
    await get_client(session, client_id)
    kb = await repository.find_kb(session, client_id, name)
    if kb is None or kb.client_id != client_id:
        raise KBNotFound(name)
    if kb.shared != shared:
        kb.shared = shared
        audit(session, now, actor, "kb.share" if shared else "kb.unshare", client_id, name)
