"""init_db.py's upkeep: folders taken in, documents read again, tidying up, and what must never be touched."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import init_db
from server.auth.models import Client, User
from server.chat.models import Message
from server.cli import main
from server.cli.maintenance import maintain
from server.cli.prepare import prepare
from server.cli.task import Task
from server.core.errors import KBNotFound, ModelNotFound
from server.core.settings import Settings
from server.db.base import Base
from server.kb.folders import scan_kb_folder
from server.kb.models import Document, KnowledgeBase, Slot
from server.services import Services
from tests.conftest import ROOT
from tests.support.api import Caller


async def _documents(services: Services) -> dict[str, Document]:
    async with services.database.read() as session:
        return {
            row.file_name: row
            for row in await session.scalars(select(Document).where(Document.slot == Slot.LIVE))
        }


async def _count(services: Services, *tables: type[Base]) -> list[int]:
    async with services.database.read() as session:
        return [await session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


def _put(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@pytest.fixture
def folder(settings: Settings) -> Path:
    """Where an operator puts files by hand."""
    folder = settings.server.data_dir / "import"
    _put(folder, "制度/年假.txt", "年假五天。")
    _put(folder, "制度/2024/病假.txt", "病假三天。")
    for name in ("~$年假.docx", ".hidden.txt", "tmp_x/a.txt", "temp/b.txt", ".git/c.txt"):
        _put(folder, f"制度/{name}", "不要")
    _put(folder, "tmp/x.txt", "不要")
    return folder


class TestIncrement:
    async def test_what_is_new_is_taken_in(
        self, settings: Settings, services: Services, folder: Path
    ) -> None:
        await prepare(settings, samples=False)
        assert await maintain(settings, Task(increment=True)) == 0
        documents = await _documents(services)
        assert {name: row.state for name, row in documents.items()} == {
            "年假.txt": "ready",
            "2024/病假.txt": "ready",
        }
        async with services.database.read() as session:
            (kb,) = await session.scalars(select(KnowledgeBase))
        assert (kb.name, kb.client_id, kb.shared) == ("制度", "0", True)
        _put(folder, "制度/年假.txt", "年假九天了。")
        _put(folder, "制度/婚假.txt", "婚假十天。")
        assert await maintain(settings, Task(increment=True)) == 0
        again = await _documents(services)
        assert set(again) == {"年假.txt", "2024/病假.txt", "婚假.txt"}
        assert again["年假.txt"].id == documents["年假.txt"].id, "what is there already is left alone"
        assert (folder / "制度" / "年假.txt").is_file(), "the folder is only read"

    async def test_into_the_one_that_is_there(self, settings: Settings, editor: Caller, folder: Path) -> None:
        await editor.create_kb("制度")
        assert await maintain(settings, Task(increment=True)) == 0
        assert set(await editor.documents("制度")) == {"年假.txt", "2024/病假.txt"}

    async def test_two_of_one_name_must_be_told_apart(
        self, settings: Settings, services: Services, callers: Any, editor: Caller, folder: Path, capsys: Any
    ) -> None:
        await callers.client("other")
        other = await callers.key("other", "kb:read", "kb:write")
        for caller in (editor, other):
            await caller.create_kb("制度")
        assert await maintain(settings, Task(increment=True)) == 1
        assert "choose with --client" in capsys.readouterr().err
        assert await maintain(settings, Task(increment=True, client="other")) == 0
        assert (len(await editor.documents("制度")), len(await other.documents("制度"))) == (0, 2)

    async def test_named_ones_and_the_layout_of_old(
        self, settings: Settings, services: Services, tmp_path: Path
    ) -> None:
        await prepare(settings, samples=False)
        for name in ("a", "b"):
            _put(tmp_path / "old", f"{name}/content/x.txt", "年假五天。")
        task = Task(increment=True, content=tmp_path / "old", kb_name=["a"], private=True)
        assert await maintain(settings, task) == 0
        async with services.database.read() as session:
            (kb,) = await session.scalars(select(KnowledgeBase))
        assert (kb.name, kb.shared) == ("a", False)

    async def test_files_that_cannot_be_taken_are_told(
        self, settings: Settings, services: Services, folder: Path, capsys: Any
    ) -> None:
        _put(folder, "制度/a.exe", "x")
        _put(folder, "制度/b.json", "{oops")
        _put(folder, "坏.名/a.txt", "x")
        await prepare(settings, samples=False)
        assert await maintain(settings, Task(increment=True)) == 1
        told = capsys.readouterr().err
        assert "制度/a.exe: unsupported file type .exe" in told
        assert "制度/b.json could not be read: " in told
        assert "坏.名: a knowledge base's name has" in told
        assert {row.state for row in (await _documents(services)).values()} == {"ready", "failed"}

    async def test_names_keep_their_folders(
        self, settings: Settings, editor: Caller, folder: Path, capsys: Any
    ) -> None:
        """And two that differ by more than case never meet."""
        for name, text in {"a/b.txt": "一", "a_b.txt": "二", "A/c.txt": "三", "a/C.txt": "四"}.items():
            _put(folder, f"制度/{name}", text)
        await editor.create_kb("制度")
        for task in (Task(increment=True), Task(increment=True), Task(update_in_db=True, increment=True)):
            assert await maintain(settings, task) == 1
            told = capsys.readouterr().err
            assert "documents: 1 NOT taken" in told
            assert "制度/a/C.txt: A/c.txt has this name already, but for case" in told
            assert set(await editor.documents("制度")) == {
                "年假.txt", "2024/病假.txt", "a/b.txt", "a_b.txt", "A/c.txt",
            }  # fmt: skip
        contents = {
            name: await editor.get("/knowledge_base/download_doc", knowledge_base_name="制度", file_name=name)
            for name in ("a/b.txt", "a_b.txt", "A/c.txt", "2024/病假.txt")
        }
        assert [answer.text for answer in contents.values()] == ["一", "二", "三", "病假三天。"]
        disposition = contents["2024/病假.txt"].headers["content-disposition"]
        assert disposition == "attachment; filename*=UTF-8''%E7%97%85%E5%81%87.txt"

    async def test_only_files_of_the_folder_itself(
        self, settings: Settings, editor: Caller, folder: Path, tmp_path: Path, capsys: Any
    ) -> None:
        _put(tmp_path, "elsewhere/passwd.txt", "geheim")
        (folder / "制度" / "pw.txt").symlink_to(tmp_path / "elsewhere" / "passwd.txt")
        (folder / "制度" / "zero.txt").symlink_to("/dev/zero")
        (folder / "制度" / "linked").symlink_to(tmp_path / "elsewhere")
        os.mkfifo(folder / "制度" / "fifo.txt")
        await editor.create_kb("制度")
        assert await maintain(settings, Task(increment=True, update_in_db=True)) == 1
        told = capsys.readouterr().err
        for words in ("pw.txt: a link", "zero.txt: a link", "linked: a link", "fifo.txt: this is no file"):
            assert f"制度/{words}" in told
        assert "documents: 4 NOT taken" in told, "once each"
        assert set(await editor.documents("制度")) == {"年假.txt", "2024/病假.txt"}


class TestReadingAgain:
    async def test_update_takes_changed_files_and_reads_the_rest_again(
        self, settings: Settings, services: Services, folder: Path
    ) -> None:
        await prepare(settings, samples=False)
        await maintain(settings, Task(increment=True))
        before = await _documents(services)
        _put(folder, "制度/年假.txt", "年假九天。")  # of the same size
        _put(folder, "制度/婚假.txt", "婚假十天。")
        assert await maintain(settings, Task(update_in_db=True)) == 0
        after = await _documents(services)
        assert set(after) == set(before), "only what is known"
        assert after["年假.txt"].sha256 != before["年假.txt"].sha256
        assert all(after[name].id != before[name].id and after[name].state == "ready" for name in after)

    async def test_recreate_reads_everything_and_takes_in_what_is_new(
        self, settings: Settings, services: Services, editor: Caller, folder: Path, capsys: Any
    ) -> None:
        await editor.create_kb("制度", chunk_size=40, chunk_overlap=5)
        before = await editor.ingest("制度", {"z.txt": ("每条都要遵守。" * 40).encode()}, chunk_size=400)
        assert await maintain(settings, Task(recreate_vs=True, kb_name=["制度"])) == 0
        after = await editor.documents("制度")
        assert set(after) == {"z.txt", "年假.txt", "2024/病假.txt"}
        assert after["z.txt"]["chunks"] > before["z.txt"]["chunks"]
        assert "to be read again" in capsys.readouterr().out

    async def test_unknown_names(self, settings: Settings, services: Services, editor: Caller) -> None:
        await editor.create_kb("制度")
        with pytest.raises(KBNotFound):
            await maintain(settings, Task(recreate_vs=True, kb_name=["没有"]))
        with pytest.raises(ModelNotFound):
            await maintain(settings, Task(recreate_vs=True, embed_model="none"))


class TestTheSummary:
    """A line for everything that was asked for."""

    @pytest.mark.parametrize(
        ("task", "words"),
        [
            (Task(increment=True), "documents: 0 taken"),
            (Task(recreate_vs=True), "documents: 0 to be read again"),
            (Task(update_in_db=True), "documents: 0 to be read again"),
            (Task(prune_db=True), "documents: 0 deleted, as their files are gone"),
            (Task(prune_folder=True), "files of folders: 0 set aside in orphans/ for a week"),
        ],
    )
    async def test_nothing_to_do(
        self, settings: Settings, services: Services, task: Task, words: str, capsys: Any
    ) -> None:
        await prepare(settings, samples=False)
        capsys.readouterr()
        assert await maintain(settings, task) == 0
        out = capsys.readouterr().out
        assert words in out
        assert ("there is no folder of a knowledge base in it" in out) == (task.increment or task.recreate_vs)

    async def test_files_in_chat2llms_place_are_named(
        self, settings: Settings, services: Services, editor: Caller, capsys: Any
    ) -> None:
        await prepare(settings, samples=False)
        data_dir = settings.server.data_dir
        _put(data_dir, "hr/content/x.txt", "年假五天。")
        _put(data_dir, "secrets/content/x.txt", "geheim")
        await editor.create_kb("kb")
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        assert await maintain(settings, Task(increment=True)) == 0
        out = capsys.readouterr().out
        assert f"{data_dir / 'hr' / 'content'}: files there are not looked at; move" in out
        assert out.count("not looked at") == 1
        assert f"init_db.py -i -n hr --content {data_dir}" in out
        assert await maintain(settings, Task(increment=True, content=data_dir)) == 0
        assert set(await _documents(services)) == {"a.txt", "x.txt"}, "our own folders are none"
        assert "not looked at" not in capsys.readouterr().out

    def test_options_that_change_nothing(self) -> None:
        assert Task(recreate_vs=True, embed_model="m", kb_name=["a"]).idle == []
        assert Task(increment=True, client="1", private=True, content=Path("x")).idle == []
        (note,) = Task(update_in_db=True, embed_model="m").idle
        assert note.startswith("-e m is for knowledge bases that are made now")
        notes = Task(kb_name=["hr"], embed_model="m", private=True).idle
        assert [note.split()[0] for note in notes] == ["-n", "-e", "--private"]


class TestTidyingUp:
    async def test_a_folder_that_is_not_there_deletes_nothing(
        self, settings: Settings, services: Services, editor: Caller, capsys: Any
    ) -> None:
        """A disk that is not mounted looks just like files that are gone."""
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        row = (await _documents(services))["a.txt"]
        content = services.files.content_path(row.kb_id, row.id, row.suffix).parent
        content.rename(content.with_name("elsewhere"))
        assert await maintain(settings, Task(prune_db=True)) == 1
        assert f"kb: {content} is not there, as when a disk is not mounted" in capsys.readouterr().err
        content.with_name("elsewhere").rename(content)
        assert set(await editor.documents("kb")) == {"a.txt"}
        assert len(await editor.search("kb", "年假")) == 1

    async def test_a_folder_that_two_clients_share(
        self, settings: Settings, callers: Any, editor: Caller, folder: Path, capsys: Any
    ) -> None:
        """What is a document of one of them stays; so does what -i would not take."""
        await callers.client("other")
        other = await callers.key("other", "kb:read", "kb:write")
        for caller, name in ((editor, "年假.txt"), (other, "病假.txt")):
            await caller.create_kb("制度")
            await caller.ingest("制度", {name: "年假五天。".encode()})
        for name in ("病假.txt", "x.exe", "more/a.txt", "more/b.txt"):
            _put(folder, f"制度/{name}", "x")
        assert await maintain(settings, Task(prune_folder=True, client="other")) == 0
        assert [file.name for file in scan_kb_folder(folder, "制度")] == ["x.exe", "年假.txt", "病假.txt"]
        out = capsys.readouterr().out
        assert "files of folders: 3 set aside in orphans/ for a week" in out
        assert "files of folders: 1 left, as they are of no kind that is read" in out
        assert len(list((settings.server.data_dir / "orphans").iterdir())) == 3

    async def test_documents_whose_file_is_gone(
        self, settings: Settings, services: Services, editor: Caller
    ) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()})
        row = (await _documents(services))["a.txt"]
        services.files.content_path(row.kb_id, row.id, row.suffix).unlink()
        assert await maintain(settings, Task(prune_db=True)) == 0
        assert set(await editor.documents("kb")) == {"b.txt"}
        assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["病假三天。"]

    async def test_files_that_no_document_is_of(
        self, settings: Settings, services: Services, editor: Caller, folder: Path
    ) -> None:
        await editor.create_kb("制度")
        await editor.ingest("制度", {"年假.txt": "年假五天。".encode()})
        assert await maintain(settings, Task(prune_folder=True)) == 0
        assert [file.name for file in scan_kb_folder(folder, "制度")] == ["年假.txt"]
        (aside,) = (settings.server.data_dir / "orphans").iterdir()
        assert aside.read_text("utf-8") == "病假三天。"
        assert (await editor.documents("制度"))["年假.txt"]["state"] == "ready"


class TestClearing:
    @pytest.fixture
    async def filled(self, settings: Settings, editor: Caller, reader: Caller) -> None:
        await prepare(settings, samples=False)
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        assert (await reader.post("/chat/chat", {"query": "你好"})).status_code == 200

    @pytest.mark.usefixtures("filled")
    async def test_only_what_knowledge_bases_are_made_of(
        self, settings: Settings, services: Services
    ) -> None:
        before = await _count(services, Client, User, Message)
        assert min(before) > 0
        assert await maintain(settings, Task(clear_tables=True)) == 0
        assert await _count(services, KnowledgeBase, Document) == [0, 0]
        assert await _count(services, Client, User, Message) == before

    @pytest.mark.usefixtures("filled")
    async def test_everything_when_it_is_really_meant(self, settings: Settings, services: Services) -> None:
        assert await maintain(settings, Task(clear_tables=True, yes_really=True)) == 0
        assert await _count(services, KnowledgeBase, User, Message) == [0, 0, 0]
        async with services.database.read() as session:
            assert [row.id for row in await session.scalars(select(Client))] == ["0"], "ready to begin anew"


def test_the_command_line_is_the_contracts() -> None:
    given = init_db.parse(["-r", "-u", "-i", "--prune-db", "--prune-folder", "-n", "a", "b", "-e", "m"])
    task = Task.of(given)
    assert task.recreate_vs and task.update_in_db and task.increment and task.prune_db and task.prune_folder  # noqa: PT018
    assert (task.kb_name, task.embed_model) == (["a", "b"], "m")
    assert Task.of(init_db.parse(["--increament"])).increment
    assert Task.of(init_db.parse(["--create-tables"])).is_any
    assert init_db.parse(["-f", "my.ini"]).config == Path("my.ini")
    assert not Task.of(init_db.parse(["--no-samples"])).is_any
    with pytest.raises(SystemExit) as ended:
        init_db.parse(["--yes-really"])
    assert ended.value.code == 2


@pytest.mark.live
def test_as_it_is_run(tmp_path: Path) -> None:
    def run(*options: str) -> tuple[int, str, str]:
        environ = {"PATH": "/usr/bin:/bin", "SERVER__DATA_DIR": str(tmp_path / "data")}
        command = [sys.executable, "init_db.py", *options]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100)
        return done.returncode, done.stdout, done.stderr

    status, out, err = run("--create-tables")
    assert (status, err) == (0, "")
    assert "tables, first secrets and the demo client: ready" in out
    assert not list((tmp_path / "data").glob("kb_*")), "no samples"
    _put(tmp_path / "data" / "import", "制度/年假.txt", "年假五天。")
    status, out, err = run("-i")
    assert (status, err) == (0, "")
    assert "documents: 1 taken" in out
    status, _, err = run("-r", "-n", "没有")
    assert (status, "没有" in err) == (1, True)
    status, _, err = run("--import-db", str(tmp_path / "none.db"))
    assert (status, "there is no file" in err) == (1, True)
    status, out, _ = run("-n", "hr")
    assert (status, "note: -n does nothing by itself" in out) == (0, True)
    assert run("-e")[0] == 2
    assert run("--config", str(tmp_path / "none.ini"))[0] == 3


@pytest.mark.parametrize("flag", ["-f", "--config"])
def test_every_program_takes_a_configuration(
    flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([flag, str(tmp_path / "none.ini"), "client", "list"]) == 3
    assert "none.ini" in capsys.readouterr().err
