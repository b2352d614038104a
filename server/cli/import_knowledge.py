"""Knowledge bases with their files, and recommended questions, from a chat2llm of old."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.users import DEMO_CLIENT
from server.cli.intake import Intake
from server.cli.old_database import Row, is_on, number_of, text_of, time_of
from server.cli.taking import Taking
from server.core.errors import AppError
from server.kb import document_repository, repository
from server.kb.files import name_key
from server.kb.folders import find_file
from server.kb.models import KnowledgeBase, Question

_MOST_TAPS = 2**31 - 1


class Knowledge:
    """Takes knowledge bases first; `folder` is where their folders are."""

    def __init__(self, taking: Taking, intake: Intake, folder: Path) -> None:
        self._taking, self._report, self._task = taking, taking.report, taking.task
        self._intake, self._folder = intake, folder
        # By the name that the old database gives.
        self._kbs: dict[str, KnowledgeBase] = {}
        # Of this run: which file has a document's name, by knowledge base and key.
        self._names: dict[tuple[str, str], str] = {}

    async def kb(self, row: Row) -> None:
        name = text_of(row.get("kb_name"))
        if self._task.kb_name and name not in self._task.kb_name:
            return
        async with self._taking.services.database.read() as session:
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
                created_at=time_of(row.get("create_time"), self._taking.now),
            )
        except AppError as error:
            self._report.refuse("knowledge bases", name, error.text.en)
            return
        if self._task.client is None:
            self._report.note(
                f"new knowledge bases belong to client {DEMO_CLIENT}: its editors alone change them; --client ID gives them to "
                "another one"
            )

    async def file(self, row: Row) -> None:
        kb_name, relative = text_of(row.get("kb_name")), text_of(row.get("file_name"))
        if self._task.kb_name and kb_name not in self._task.kb_name:
            return
        what, kb = f"{kb_name}/{relative}", self._kbs.get(kb_name)
        if kb is None:
            self._report.refuse("documents", what, "its knowledge base was not taken")
            return
        key, file = name_key(relative), find_file(self._folder, kb_name, relative)
        async with self._taking.services.database.read() as session:
            is_there = await document_repository.find_documents(session, kb.id, key)
        if (is_there or not file.fault) and (
            twin := self._names.setdefault((kb.id, key), relative)
        ) != relative:
            self._report.refuse("documents", what, f"{twin} has this name already, but for case")
            return
        if is_there:
            self._report.count("documents", "there already")
            return
        if not file.fault and row.get("custom_docs") and is_on(row, "custom_docs"):
            self._report.note(
                f"{what}: its custom passages lie in a pickle and are not taken; the file itself is"
            )
        await self._intake.take_file(kb, file)

    async def question(self, session: AsyncSession, row: Row) -> None:
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
        twin = select(Question.id).where(of_kb, Question.query == query).limit(1)
        if await session.scalar(twin) is not None:
            self._report.count("questions", "there already")
            return
        fresh = Question(
            kb_id=kb.id if kb else None,
            client_id=client_id,
            shared=kb is None and not self._task.private,  # as chat2llm offered them: to everybody
            query=query,
            answer=text_of(row.get("answer")) or None,
            tap_count=min(max(0, number_of(row.get("tap_count"), 0)), _MOST_TAPS),
            enabled=is_on(row),
            created_at=time_of(row.get("create_time"), self._taking.now),
        )
        await self._taking.insert(session, "questions", query, fresh)
