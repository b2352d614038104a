"""Taking over a chat2llm of old: clients with their keys, people, conversations, knowledge bases with their files, questions.

Ids stay what they were, so that a second run finds what the first one took. Vectors are made anew from the files: those of old are
pickles, and of other models. What cannot be taken is told with its reason, and the rest goes on.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import management
from server.auth import repository as identities
from server.auth.api_token import CLIENT_ID
from server.auth.audit import CLI
from server.auth.models import Client, User
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.service import NewClient, add_client
from server.auth.users import DEMO_CLIENT
from server.chat.models import Message, Session
from server.cli.intake import Intake
from server.cli.old_database import OldDatabase, Row, is_on, json_of, number_of, text_of, time_of
from server.cli.report import Report
from server.cli.task import Task
from server.core.errors import AlreadyExists, AppError, Invalid
from server.core.i18n import Text
from server.db.base import Base
from server.kb import repository
from server.kb.files import name_key
from server.kb.folders import FoundFile, document_name, find_file
from server.kb.models import KnowledgeBase, Question
from server.services import Services

# Rows per transaction.
_BATCH = 200
_PRIVATE = "PRIVATE KEY-----"
Take = Callable[[AsyncSession, Row], Awaitable[None]]


class Import:
    """One run over one database."""

    def __init__(self, services: Services, intake: Intake, report: Report, task: Task) -> None:
        assert task.import_db is not None
        self._services, self._intake, self._report, self._task = services, intake, report, task
        if not task.import_db.is_file():
            raise Invalid(Text(f"没有文件 {task.import_db}", f"there is no file {task.import_db}"))
        self._old = OldDatabase(task.import_db)
        self._folder: Path = task.content or task.import_db.absolute().parent
        self._now = services.runtime.clock.now()
        self._clients: set[str] = set()
        # By the name that the old database gives.
        self._kbs: dict[str, KnowledgeBase] = {}
        # The time of a conversation's last message: chat2llm kept whole seconds only.
        self._last: dict[str, datetime] = {}

    async def run(self) -> None:
        """In the order in which rows refer to each other."""
        for row in self._old.rows("client"):
            await self._client(row)
        await self._each("user", self._user)
        await self._each("chat_session", self._session)
        for row in self._old.rows("knowledge_base"):
            await self._kb(row)
        await self._each("chat_history", self._message)
        await self._each("question", self._question)
        for row in self._old.rows("knowledge_file"):
            await self._file(row)

    async def _each(self, table: str, take: Take) -> None:
        rows = self._old.rows(table)
        while batch := list(islice(rows, _BATCH)):
            async with self._services.database.write() as session:
                for row in batch:
                    await take(session, row)

    async def _insert(self, session: AsyncSession, subject: str, what: str, row: Base) -> None:
        try:
            async with session.begin_nested():
                session.add(row)
        except IntegrityError:
            self._report.refuse(subject, what, "the database has something else under this id")
        else:
            self._report.count(subject, "taken")

    # ── who ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _client(self, row: Row) -> None:
        client_id = text_of(row.get("id"))
        if client_id == DEMO_CLIENT:
            self._clients.add(client_id)
            self._report.count("clients", "there already")  # every installation has its own
            return
        if not CLIENT_ID.fullmatch(client_id):
            self._report.refuse("clients", client_id, "this id cannot be one here")
            return
        pem = next(
            (
                text_of(row[key])
                for key in ("client_secret", "client_key")
                if _PRIVATE in text_of(row.get(key))
            ),
            "",
        )
        try:
            async with self._services.database.write() as session:
                known = await identities.find_client(session, client_id)
                if known is None:
                    await self._add_client(session, row, client_id, pem)
                    self._report.count("clients", "taken")
                elif await self._is_the_same(session, known, row):
                    self._report.count("clients", "there already")
                else:
                    raise AlreadyExists(
                        Text("已有另一个同编号的客户端", "another client has this id; nothing of it is taken")
                    )
        except AppError as error:
            self._report.refuse("clients", client_id, error.text.en)
        else:
            self._clients.add(client_id)

    async def _add_client(self, session: AsyncSession, row: Row, client_id: str, pem: str) -> None:
        vault = self._services.vault
        new = NewClient(client_id, text_of(row.get("description"), 100), Policy.COMPAT)
        try:
            key = await management.import_client(session, vault, CLI, new, pem, self._now, allow_weak=True)
        except Invalid as error:
            await add_client(session, vault, new, self._now)
            self._report.note(
                f"client {client_id}: its key cannot be used ({error.text.en}); it has a new one, see client show-key"
            )
        else:
            if key.retire_at is not None:
                self._report.note(
                    f"client {client_id}: its key is weak and ends on {key.retire_at:%F}; replace it before with client rotate"
                )
        client = await session.get_one(Client, client_id)
        client.enabled, client.created_at = is_on(row), time_of(row.get("create_time"), self._now)

    async def _is_the_same(self, session: AsyncSession, known: Client, row: Row) -> bool:
        """Was it taken from there before? Its key may have been changed since."""
        columns = [text_of(row.get(column)) for column in ("client_key", "client_secret")]
        publics = {"".join(key.public_pem.split()) for key in await identities.list_keys(session, known.id)}
        is_its_key = any("".join(column.split()) in publics for column in columns)
        return is_its_key or known.created_at == time_of(row.get("create_time"), self._now)

    async def _user(self, session: AsyncSession, row: Row) -> None:
        client_id, user_id = text_of(row.get("client_id")), text_of(row.get("user_id"))
        what = f"{client_id}/{user_id}"
        if client_id not in self._clients:
            self._report.refuse("users", what, "its client was not taken")
        elif not 1 <= len(user_id) <= 64:
            self._report.refuse("users", what, "a user id has 1 to 64 characters")
        elif await identities.find_user(session, client_id, user_id) is not None:
            self._report.count("users", "there already")
        else:
            user = User(
                client_id=client_id,
                id=user_id,
                username=text_of(row.get("username"), 64),
                role=Role.READER,
                enabled=is_on(row),
                created_at=time_of(row.get("create_time"), self._now),
            )
            await self._insert(session, "users", what, user)

    # ── what they said ────────────────────────────────────────────────────────────────────────────────────────────

    async def _session(self, session: AsyncSession, row: Row) -> None:
        session_id, client_id = text_of(row.get("id")), text_of(row.get("client_id"))
        known = await session.get(Session, session_id) if session_id else None
        if not 1 <= len(session_id) <= 32:
            self._report.refuse("sessions", session_id, "a session's id has 1 to 32 characters")
        elif client_id not in self._clients:
            self._report.refuse("sessions", session_id, f"client {client_id} was not taken")
        elif known is not None and (known.client_id, known.user_id) != (
            client_id,
            text_of(row.get("user_id")),
        ):
            self._report.refuse("sessions", session_id, "somebody else has a session with this id")
        elif known is not None:
            self._report.count("sessions", "there already")
        else:
            param = json_of(row.get("param"))
            fresh = Session(
                id=session_id,
                client_id=client_id,
                user_id=text_of(row.get("user_id"), 64),
                name=text_of(row.get("session_name"), 20),
                mode=text_of(row.get("mode"), 20),
                param=param if isinstance(param, dict) else {},
                created_at=time_of(row.get("create_time"), self._now),
            )
            await self._insert(session, "sessions", session_id, fresh)

    async def _message(self, session: AsyncSession, row: Row) -> None:
        message_id, session_id = text_of(row.get("id")), text_of(row.get("session_id"))
        owner = await session.get(Session, session_id) if session_id else None
        known = await session.get(Message, message_id) if message_id else None
        if not 1 <= len(message_id) <= 32:
            self._report.refuse("messages", message_id, "a message's id has 1 to 32 characters")
        elif owner is None or owner.client_id not in self._clients:
            self._report.refuse(
                "messages", message_id, "it belongs to no session that is here, and so to nobody"
            )
        elif known is not None:
            same = (known.session_id, known.client_id) == (session_id, owner.client_id)
            if same:
                self._report.count("messages", "there already")
            else:
                self._report.refuse("messages", message_id, "somebody else has a message with this id")
        else:
            await self._insert(session, "messages", message_id, self._make_message(row, owner, message_id))

    def _make_message(self, row: Row, owner: Session, message_id: str) -> Message:
        docs, response = json_of(row.get("docs")), text_of(row.get("response"))
        created = time_of(row.get("create_time"), self._now)
        last = self._last.get(owner.id)
        # In the order in which they were written, also within a second.
        self._last[owner.id] = created if last is None or created > last else last + timedelta(microseconds=1)
        score = number_of(row.get("feedback_score"), -1)
        values: dict[str, Any] = {
            "id": message_id,
            "client_id": owner.client_id,
            "user_id": owner.user_id,
            "session_id": owner.id,
            "chat_type": text_of(row.get("chat_type"), 50) or "llm_chat",
            "model": "",
            "query": text_of(row.get("query")),
            "response": response,
            "docs": [text_of(doc) for doc in docs] if isinstance(docs, list) else [],
            "trace": {},
            # chat2llm wrote the question first, and nothing more when the answer failed.
            "state": "done" if response else "cut",
            "created_at": self._last[owner.id],
        }
        if 0 <= score <= 100:
            values |= {
                "feedback_score": score,
                "feedback_reason": text_of(row.get("feedback_reason"), 255),
                "feedback_at": self._last[owner.id],
            }
        return Message(**values)

    # ── what they asked about ─────────────────────────────────────────────────────────────────────────────────────

    async def _kb(self, row: Row) -> None:
        name = text_of(row.get("kb_name"))
        if self._task.kb_name and name not in self._task.kb_name:
            return
        async with self._services.database.read() as session:
            found = await repository.find_kbs(session, [name], self._task.client or DEMO_CLIENT)
        if found:
            self._kbs[name] = found[0]
            self._report.count("knowledge bases", "there already")
            return
        try:
            self._kbs[name] = await self._intake.make_kb(
                name,
                zh_name=text_of(row.get("kb_zh_name"), 64),
                info=text_of(row.get("kb_info"), 200),
                model=text_of(row.get("embed_model")) or None,
            )
        except AppError as error:
            self._report.refuse("knowledge bases", name, error.text.en)

    async def _file(self, row: Row) -> None:
        kb_name, relative = text_of(row.get("kb_name")), text_of(row.get("file_name"))
        if self._task.kb_name and kb_name not in self._task.kb_name:
            return
        what, kb = f"{kb_name}/{relative}", self._kbs.get(kb_name)
        if kb is None:
            self._report.refuse("documents", what, "its knowledge base was not taken")
            return
        name = document_name(relative)
        async with self._services.database.read() as session:
            is_there = await repository.find_documents(session, kb.id, name_key(name))
        if is_there:
            self._report.count("documents", "there already")
            return
        path = find_file(self._folder, kb_name, relative)
        if path is None:
            self._report.refuse(
                "documents", what, f"there is no such file under {self._folder / kb_name / 'content'}"
            )
            return
        if row.get("custom_docs") and is_on(row, "custom_docs"):
            self._report.note(
                f"{what}: its custom passages lie in a pickle and are not taken; the file itself is"
            )
        await self._intake.take_file(kb, FoundFile(path, name))

    async def _question(self, session: AsyncSession, row: Row) -> None:
        query, kb_name = text_of(row.get("query"), 200).strip(), text_of(row.get("kb_name"))
        kb = self._kbs.get(kb_name)
        if not query:
            self._report.refuse("questions", text_of(row.get("id")), "it is empty")
            return
        if kb_name and kb is None:
            self._report.refuse("questions", query, f"knowledge base {kb_name} was not taken")
            return
        # Whose editors may change it where it is of no knowledge base.
        client_id = None if kb else self._task.client or DEMO_CLIENT
        of_kb = Question.kb_id == kb.id if kb else Question.client_id == client_id
        if (
            await session.scalar(select(Question.id).where(of_kb, Question.query == query).limit(1))
            is not None
        ):
            self._report.count("questions", "there already")
            return
        fresh = Question(
            kb_id=kb.id if kb else None,
            client_id=client_id,
            query=query,
            answer=text_of(row.get("answer")) or None,
            tap_count=max(0, number_of(row.get("tap_count"), 0)),
            enabled=is_on(row),
            created_at=time_of(row.get("create_time"), self._now),
        )
        await self._insert(session, "questions", query, fresh)
