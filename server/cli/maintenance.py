"""What init_db.py does with knowledge bases that are there, and with folders of files."""

from collections.abc import Iterator
from pathlib import PurePath

from sqlalchemy import delete

from server.cli.import_db import Import
from server.cli.intake import Intake, operator
from server.cli.prepare import prepare
from server.cli.report import Report
from server.cli.task import Task
from server.core.errors import AppError, Invalid, KBNotFound
from server.core.i18n import Text
from server.core.settings import Settings
from server.kb import document_repository, repository
from server.kb.chunking import ChunkingWish
from server.kb.files import check_kb_name, name_key
from server.kb.folders import FoundFile, list_kb_folders, scan_kb_folder
from server.kb.follow import Rereading
from server.kb.loaders import SUFFIXES
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot
from server.kb.sweep import set_aside, sweep
from server.services import Services, open_services
from server.tables import Base

_FILES_GONE, _SET_ASIDE = "deleted, as their files are gone", "set aside in orphans/ for a week"
# Folders of ours beside those of knowledge bases.
_OWN_FOLDERS = {"import", "orphans", "packages", "secrets"}
_AT_REST = (DocumentState.READY, DocumentState.FAILED, DocumentState.STORED)


async def maintain(settings: Settings, task: Task) -> int:
    """Do what was asked for, in this order, and tell what became of it. Returns the exit status."""
    report = Report()
    if task.clear_tables:
        await _clear(settings, report, everything=task.yes_really)
        await prepare(settings, samples=False)  # the demo client, if that went too
    async with open_services(settings, engine=False) as services:
        intake = Intake(services, report, task)
        if task.import_db is not None:
            await Import(services, intake, report, task).run()
        await Maintenance(services, intake, report, task).run()
        if task.reads:
            await intake.read()
    report.show()
    return 0 if report.is_clean else 1


async def _clear(settings: Settings, report: Report, *, everything: bool) -> None:
    """Empty the tables of knowledge bases, or all. Files are left to the sweep, which sets them aside for a week."""
    own = {
        mapper.local_table
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ == "server.kb.models"
    }
    async with open_services(settings, engine=False) as services, services.database.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if everything or table in own:
                result = await session.execute(delete(table))
                number: int = result.rowcount  # type: ignore[attr-defined]
                report.count("tables", "rows deleted", number)
                if number:
                    report.count(f"table {table.name}", "rows deleted", number)


class Maintenance:
    """One run over the knowledge bases that a task names."""

    def __init__(self, services: Services, intake: Intake, report: Report, task: Task) -> None:
        self._services, self._intake, self._report, self._task = services, intake, report, task
        self._root = task.content or services.settings.server.data_dir / "import"
        # Files whose fault was told.
        self._told: set[str] = set()

    async def run(self) -> None:
        task = self._task
        if task.recreate_vs or task.increment:
            self._report.count("documents", "taken", 0)
            await self._increment()
        kbs = await self._chosen()
        if task.content is None and task.uses_folders:
            await self._tell_old_places()
        for kb in kbs:
            if task.update_in_db:
                await self._update(kb)
            if task.recreate_vs:
                await self._recreate(kb)
            if task.prune_db:
                await self._prune_db(kb)
        if task.prune_folder:
            await self._prune_folders(kbs)
        self._tell_what_was_none(kbs)

    def _tell_what_was_none(self, kbs: list[KnowledgeBase]) -> None:
        """A line for everything that was asked for, also where there was nothing to do."""
        task, report = self._task, self._report
        for wanted, subject, outcome in (
            (task.update_in_db or task.recreate_vs, "documents", "to be read again"),
            (task.prune_db, "documents", _FILES_GONE),
            (task.prune_folder, "files of folders", _SET_ASIDE),
        ):
            if wanted:
                report.count(subject, outcome, 0)
        if not kbs and (task.uses_folders or task.prune_db):
            report.count("knowledge bases", "there", 0)

    async def _chosen(self) -> list[KnowledgeBase]:
        """Raises KBNotFound for a name that nothing has."""
        names = self._task.kb_name
        async with self._services.database.read() as session:
            found = await repository.find_kbs(session, names, self._task.client)
        for name in names or []:
            if name not in {kb.name for kb in found}:
                raise KBNotFound(name)
        return found

    # ── folders ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _increment(self) -> None:
        """Take in files whose names are not there yet, and make the knowledge bases that they are in."""
        if not (names := await self._list_folders()):
            self._report.note(f"{self._root}: there is no folder of a knowledge base in it")
        for name in names:
            try:
                kb = await self._kb_of_folder(name)
            except AppError as error:
                self._report.refuse("knowledge bases", name, error.text.en)
                continue
            there = {row.name_key for row in await self._documents(kb)}
            for file in self._files_of(name):
                if name_key(file.name) in there:
                    self._report.count("documents", "there already")
                else:
                    await self._intake.take_file(kb, file)

    async def _list_folders(self) -> list[str]:
        """Those of the task; never our own, where our data folder itself is named."""
        async with self._services.database.read() as session:
            own = {kb.id for kb in await repository.find_kbs(session, None, None)} | _OWN_FOLDERS
        is_ours = self._root.resolve() == self._services.settings.server.data_dir.resolve()
        wanted = self._task.kb_name
        return [
            name
            for name in list_kb_folders(self._root)
            if (not wanted or name in wanted) and not (is_ours and name in own)
        ]

    async def _tell_old_places(self) -> None:
        """chat2llm had its files in <knowledge base>/content/ of the data folder itself."""
        data_dir = self._services.settings.server.data_dir
        async with self._services.database.read() as session:
            own = {kb.id for kb in await repository.find_kbs(session, None, None)} | _OWN_FOLDERS
        for name in list_kb_folders(data_dir):
            if name in own or (self._task.kb_name and name not in self._task.kb_name):
                continue
            if (data_dir / name / "content").is_dir() and any(scan_kb_folder(data_dir, name)):
                self._report.note(
                    f"{data_dir / name / 'content'}: files there are not looked at; move {data_dir / name} to {self._root / name}, "
                    f"or run init_db.py -i -n {name} --content {data_dir}"
                )

    def _files_of(self, kb_name: str) -> Iterator[FoundFile]:
        """The files of a folder. What is none is told, and so is the second of two whose documents would have one name."""
        names: dict[str, str] = {}
        for file in scan_kb_folder(self._root, kb_name):
            first = file.name if file.fault else names.setdefault(name_key(file.name), file.name)
            fault = file.fault or (
                "" if first == file.name else f"{first} has this name already, but for case"
            )
            if not fault:
                yield file
            elif (what := f"{kb_name}/{file.name}") not in self._told:
                self._told.add(what)
                self._report.refuse("documents", what, fault)

    async def _kb_of_folder(self, name: str) -> KnowledgeBase:
        check_kb_name(name)
        async with self._services.database.read() as session:
            found = await repository.find_kbs(session, [name], self._task.client)
        if len(found) > 1:
            owners = ", ".join(kb.client_id for kb in found)
            raise Invalid(
                Text(
                    f"{owners} 都有这个知识库，请用 --client 指定",
                    f"{owners} have one each: choose with --client",
                )
            )
        return found[0] if found else await self._intake.make_kb(name)

    async def _update(self, kb: KnowledgeBase) -> None:
        """Changed files of the folder replace their documents; all other documents are read again."""
        documents = {row.name_key: row for row in await self._documents(kb)}
        changed = set()
        for file in self._files_of(kb.name):
            row = documents.get(name_key(file.name))
            if row is not None and not await self._is_same(row, file):
                changed.add(row.name_key)
                await self._intake.take_file(kb, file, override=True)
        rest = [
            row.file_name for key, row in documents.items() if key not in changed and row.state in _AT_REST
        ]
        again = await self._services.upkeep.update_docs(operator(kb.client_id), kb.name, rest, ChunkingWish())
        self._tell(again)

    async def _is_same(self, row: Document, file: FoundFile) -> bool:
        """False also for one that cannot be read: taking it tells why."""
        try:
            if file.path.stat().st_size != row.size:
                return False
            found = await self._services.runtime.lanes.run("io", self._services.files.hash_file, file.path)
        except OSError:
            return False
        return found == row.sha256

    async def _recreate(self, kb: KnowledgeBase) -> None:
        again = await self._services.upkeep.recreate(
            operator(kb.client_id), kb.name, ChunkingWish(), model=self._task.embed_model
        )
        if again.model:
            self._report.note(f"knowledge base {kb.name} changes from {kb.embed_model} to {again.model}")
        self._tell(again)

    def _tell(self, again: Rereading) -> None:
        self._report.count("documents", "to be read again", len(again.documents))
        for file_name, error in again.refused.items():
            self._report.refuse("documents", f"{again.kb.name}/{file_name}", error.text.en)

    # ── tidying up ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _prune_db(self, kb: KnowledgeBase) -> None:
        files = self._services.files
        gone = [
            row
            for row in await self._documents(kb)
            if row.slot == Slot.LIVE and not files.content_path(kb.id, row.id, row.suffix).is_file()
        ]
        if not gone:
            return
        folder = files.content_path(kb.id, gone[0].id, "").parent
        if not folder.is_dir():
            self._report.refuse(
                "knowledge bases",
                kb.name,
                f"{folder} is not there, as when a disk is not mounted, and no document was deleted; if the files are gone for "
                "good, make it, empty, and run this again",
            )
            return
        names = [row.file_name for row in gone]
        await self._services.kb.delete_documents(operator(kb.client_id), kb.name, names, delete_content=True)
        self._report.count("documents", _FILES_GONE, len(names))

    async def _prune_folders(self, kbs: list[KnowledgeBase]) -> None:
        """Set files aside that are no document of any knowledge base that has their folder's name."""
        for name in dict.fromkeys(kb.name for kb in kbs):
            async with self._services.database.read() as session:
                same = await repository.find_kbs(session, [name], None)
            there = {row.name_key for kb in same for row in await self._documents(kb)}
            for file in self._files_of(name):
                if name_key(file.name) in there:
                    continue
                if PurePath(file.name).suffix.lower() not in SUFFIXES:
                    self._report.count("files of folders", "left, as they are of no kind that is read")
                    continue
                set_aside(file.path, self._services.files.data_dir / "orphans", same[0].id)
                self._report.count("files of folders", _SET_ASIDE)
        aside = await sweep(self._services.database, self._services.files, self._services.runtime.lanes)
        if aside:
            self._report.count("what was left over of deleted documents", _SET_ASIDE, aside)

    async def _documents(self, kb: KnowledgeBase) -> list[Document]:
        async with self._services.database.read() as session:
            return (await document_repository.list_documents(session, kb, viewer=None))[0]
