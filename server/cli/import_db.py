"""Taking over a chat2llm of old: clients with their keys, people, conversations, knowledge bases with their files, questions.

Ids stay what they were, so that a second run finds what the first one took. Vectors are made anew from the files: those of old are
pickles, and of other models. What cannot be taken is told with its reason, and the rest goes on.
"""

from collections.abc import Awaitable, Callable, Iterator
from itertools import islice

from sqlalchemy.ext.asyncio import AsyncSession

from server.cli.import_chats import Chats
from server.cli.import_knowledge import Knowledge
from server.cli.import_people import People
from server.cli.intake import Intake
from server.cli.old_database import OldDatabase, Row
from server.cli.report import Report
from server.cli.taking import Taking
from server.cli.task import Task
from server.core.errors import Invalid
from server.core.i18n import Text
from server.services import Services

# Rows per transaction.
_BATCH = 200
Take = Callable[[AsyncSession, Row], Awaitable[None]]


class Import:
    """One run over one database."""

    def __init__(self, services: Services, intake: Intake, report: Report, task: Task) -> None:
        path = task.import_db
        assert path is not None
        if not path.is_file():
            raise Invalid(Text(f"没有文件 {path}", f"there is no file {path}"))
        self._old, self._database, self._report = OldDatabase(path), services.database, report
        taking = Taking(services, report, task, services.runtime.clock.now())
        self._people, self._chats = People(taking), Chats(taking)
        self._knowledge = Knowledge(taking, intake, task.content or path.absolute().parent)

    async def run(self) -> None:
        """In the order in which rows refer to each other."""
        for row in self._rows("client", "clients"):
            await self._people.client(row)
        await self._each("user", "users", self._people.user)
        await self._each("chat_session", "sessions", self._chats.session)
        for row in self._rows("knowledge_base", "knowledge bases"):
            await self._knowledge.kb(row)
        await self._each("chat_history", "messages", self._chats.message)
        await self._each("question", "questions", self._knowledge.question)
        for row in self._rows("knowledge_file", "documents"):
            await self._knowledge.file(row)

    async def _each(self, table: str, subject: str, take: Take) -> None:
        rows = self._rows(table, subject)
        while batch := list(islice(rows, _BATCH)):
            async with self._database.write() as session:
                for row in batch:
                    await take(session, row)

    def _rows(self, table: str, subject: str) -> Iterator[Row]:
        self._report.count(subject, "taken", 0)
        yield from self._old.rows(table)
        if reason := self._old.broken.get(table):
            self._report.refuse(subject, f"the rest of table {table}", f"it cannot be read: {reason}")
