"""What people think of answers, and what editors learn from it."""

from dataclasses import dataclass

from server.auth.principal import Principal
from server.chat import repository
from server.chat.models import Message
from server.core.clock import Clock
from server.core.errors import SessionNotFound
from server.db.session import Database
from server.kb.service import KBService


@dataclass(frozen=True, slots=True)
class Report:
    """Ratings of the answers about one knowledge base, or several."""

    answers: int
    rated: int
    good: int
    mean: float | None
    # Those that say why, the newest first, one page of them.
    reasons: list[Message]
    total_reasons: int


class Feedback:
    """Ratings of answers."""

    def __init__(self, database: Database, kb: KBService, clock: Clock) -> None:
        self._database, self._kb, self._clock = database, kb, clock

    async def give(self, caller: Principal, message_id: str, score: int, reason: str) -> None:
        """Rate an answer to a question of one's own; a second time replaces the first. Raises SessionNotFound."""
        values = {
            "feedback_score": score,
            "feedback_reason": reason.strip(),
            "feedback_at": self._clock.now(),
        }
        async with self._database.write() as session:
            if not await repository.rate_message(session, caller, message_id, values):
                raise SessionNotFound

    async def report(self, caller: Principal, kb_name: str | None, *, offset: int, limit: int) -> Report:
        """How the people of the caller's client rated the answers. Raises KBNotFound.

        `kb_name`: None = all answers, "" = those without a knowledge base, else those of that one.
        """
        scope = (await self._kb.get(caller, kb_name)).id if kb_name else kb_name
        async with self._database.read() as session:
            answers, rated, good, mean = await repository.count_ratings(session, caller.client_id, scope)
            reasons, total = await repository.list_reasons(
                session, caller.client_id, scope, offset=offset, limit=limit
            )
        return Report(answers, rated, good, mean, reasons, total)
