"""One line about every change of identities, in the same transaction as the change."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.models import Audit

# What is done from the command line, and what the server does by itself.
CLI, SERVER = "cli", "server"


def audit(
    session: AsyncSession,
    at: datetime,
    actor: str,
    action: str,
    client_id: str | None = None,
    target: str = "",
    **detail: str | int | bool | list[str] | None,
) -> None:
    """Note who did what to whom. `detail` must hold no secret; an identifier or the first 8 characters of a hash do."""
    session.add(
        Audit(
            at=at, actor=actor[:100], action=action, client_id=client_id, target=target[:100], detail=detail
        )
    )
