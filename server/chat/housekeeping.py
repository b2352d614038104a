"""What has had its time is deleted: logins, tickets, counted uses and sign-ons that ended, and the demo's visitors with
all they said, a day after they were last seen. In portions, so that nobody waits for the database meanwhile."""

import asyncio
import logging
from datetime import datetime, timedelta

from server.auth.audit import SERVER, audit
from server.auth.repository import delete_expired, delete_unseen_users
from server.auth.users import DEMO_CLIENT, VISITOR_PREFIX
from server.chat.repository import delete_conversations
from server.core.clock import Clock
from server.db.session import PASSING_FAULTS, Database, tell_fault
from server.kb.attachments import Attachments

log = logging.getLogger(__name__)

_PERIOD = timedelta(minutes=10)
_VISITORS_KEPT = timedelta(hours=24)


class Housekeeping:
    """Runs beside the work on documents. Two processes at it at once do no harm."""

    def __init__(self, database: Database, attachments: Attachments, clock: Clock) -> None:
        self._database, self._attachments, self._clock = database, attachments, clock

    async def run(self) -> None:
        """Clean now and every ten minutes, until cancelled."""
        while True:
            try:
                await self.clean()
            except PASSING_FAULTS as error:
                tell_fault("housekeeping was interrupted", error, log)
            await asyncio.sleep(_PERIOD.total_seconds())

    async def clean(self) -> None:
        """Delete until nothing is left that has had its time. Raises what the database raises."""
        now, expired, visitors = self._clock.now(), 0, 0
        while count := await self._delete_expired(now):
            expired += count
        while count := await self._delete_visitors(now):
            visitors += count
        if expired or visitors:
            log.info("housekeeping", extra={"expired": expired, "visitors": visitors})

    async def _delete_expired(self, now: datetime) -> int:
        async with self._database.write() as session:
            return await delete_expired(session, now)

    async def _delete_visitors(self, now: datetime) -> int:
        attached: list[str] = []
        async with self._database.write() as session:
            gone = await delete_unseen_users(session, DEMO_CLIENT, VISITOR_PREFIX, now - _VISITORS_KEPT)
            if gone:
                attached = await delete_conversations(session, DEMO_CLIENT, gone)
                audit(session, now, SERVER, "visitors.delete", DEMO_CLIENT, visitors=len(gone))
        await self._attachments.forget(attached)
        return len(gone)
