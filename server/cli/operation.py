"""One operation of an operator: a function of `server.auth`, in a transaction of its own, with a line in the audit.

A running server sees the change within five seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.audit import CLI
from server.auth.foundation import Foundation, open_foundation
from server.core.settings import Settings

T = TypeVar("T")


class Do:
    """What an operation gets: its transaction, the vault, the time, and who does it."""

    def __init__(self, foundation: Foundation, session: AsyncSession) -> None:
        self.session, self.vault, self.lanes = session, foundation.vault, foundation.runtime.lanes
        self.now, self.actor = foundation.runtime.clock.now(), CLI


def change(settings: Settings, operation: Callable[[Do], Awaitable[T]]) -> T:
    """Run an operation in a transaction of its own."""

    async def run() -> T:
        async with open_foundation(settings) as foundation, foundation.database.write() as session:
            return await operation(Do(foundation, session))

    return asyncio.run(run())
