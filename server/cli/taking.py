"""What the parts of an import share: where it goes, what it has taken so far, and how a row goes in."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.ext.asyncio import AsyncSession

from server.cli.report import Report
from server.cli.task import Task
from server.db.base import Base
from server.db.session import refusals
from server.services import Services

_LONGEST_REASON = 200


@dataclass(slots=True)
class Taking:
    """One run."""

    services: Services
    report: Report
    task: Task
    now: datetime
    # Ids of the clients that were taken, or are here from a run before.
    clients: set[str] = field(default_factory=set)

    async def insert(self, session: AsyncSession, subject: str, what: str, row: Base) -> bool:
        """Add a row; one that the database does not take is told, and the transaction goes on. Raises Busy, StorageFull."""
        try:
            with refusals():
                async with session.begin_nested():
                    session.add(row)
        except (StatementError, ValueError, OverflowError) as error:
            self.report.refuse(subject, what, reason_of(error))
            return False
        self.report.count(subject, "taken")
        return True


def reason_of(error: Exception) -> str:
    """Why the database did not take a row, without what stands in it."""
    if isinstance(error, IntegrityError):
        return "the database has something else under this id"
    original = (isinstance(error, StatementError) and error.orig) or error
    lines = str(original).splitlines() or [""]
    return f"the database does not take it: {type(original).__name__} {lines[0][:_LONGEST_REASON]}"
