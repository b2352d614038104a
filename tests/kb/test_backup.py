"""A backup that is made while others write comes back sound, and whole."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest

from server.core.errors import Invalid, SettingsError
from server.core.settings import Settings
from server.db.session import Database
from server.kb.backup import Backups, Made
from server.kb.repository import find_kb
from server.kb.restore import restore
from server.services import Services, open_services
from server.worker import open_worker
from tests.conftest import test_settings
from tests.kb.test_verify import find
from tests.support.api import Caller
from tests.support.commands import run_command

pytestmark = pytest.mark.one_database


async def back_up(services: Services, folder: Path, *, link: bool = False) -> Made:
    return await Backups(services.database, services.files, services.runtime).make(folder, link=link)


def bring_back(backup: Path, folder: Path) -> Settings:
    data = folder / "data"
    restore(backup, data, data / "info.db", lambda *_: None)
    return test_settings(data, f"sqlite:///{data / 'info.db'}")


async def _write(editor: Caller, number: int, ended: asyncio.Event) -> int:
    """Files come, are replaced and go, as fast as they can. Returns how often."""
    name, text, rounds = f"{number}.txt", "第{}版：年假五天，连续工作满十年的十天。", 0
    while not ended.is_set():
        rounds += 1
        answer = await editor.upload("kb", {name: text.format(rounds).encode()}, override=True)
        assert answer.status_code in (200, 409)
        if rounds % 3 == 0:
            body = {"knowledge_base_name": "kb", "file_names": [name], "delete_content": True}
            await editor.post("/knowledge_base/delete_docs", body)
        await asyncio.sleep(0.01)
    return rounds


@pytest.mark.parametrize("link", [False, True])
async def test_made_while_everybody_writes(
    services: Services, editor: Caller, tmp_path: Path, link: bool
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"kept.txt": "病假凭医院证明，最长三个月。".encode()})
    assert editor.worker is not None
    ended = asyncio.Event()
    working = asyncio.ensure_future(editor.worker.run())
    writing = [asyncio.ensure_future(_write(editor, number, ended)) for number in range(4)]
    try:
        for _ in range(3):  # each into the folder of the one before
            await asyncio.sleep(0.3)
            made = await back_up(services, tmp_path / "backup", link=link)
            assert (made.missing, made.damaged) == ([], [])
    finally:
        ended.set()
        rounds = await asyncio.gather(*writing)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert sum(rounds) > 8
    settings = bring_back(tmp_path / "backup", tmp_path / "elsewhere")
    async with open_services(settings) as there:
        # What was deleted between the files and the database may lie there, until it is swept.
        assert [one for one in await find(there) if one.code != "left_over"] == []
        async with open_worker(there) as worker:
            await worker.run_until_idle()
        assert [one for one in await find(there) if one.code != "left_over"] == []
        async with there.database.read() as session:
            kb = await find_kb(session, "acme", "kb")
        assert kb is not None
        hits, _ = await there.kb.search_in(kb, "病假", viewer=None, top_k=5)
        assert hits[0].file_name == "kept.txt"


async def test_another_one_copies_what_is_new(services: Services, editor: Caller, tmp_path: Path) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假。".encode()})
    folder = tmp_path / "backup"
    assert (await back_up(services, folder)).copied == 4
    assert (await back_up(services, folder)).copied == 0
    await editor.ingest("kb", {"a.txt": "年假六天，其中一天。".encode()}, override=True)
    made = await back_up(services, folder)
    assert (made.documents, made.files, made.copied) == (3, 6, 2), "the earlier version too"
    assert len([path for path in (folder / "files").rglob("*") if path.is_file()]) == 6
    assert len(list(folder.glob("info-*"))) == 1
    assert {
        oct(path.stat().st_mode & 0o77)
        for path in (folder, *folder.glob("info-*"), *(folder / "secrets").iterdir())
    } == {"0o0"}


async def test_what_is_refused(services: Services, editor: Caller, tmp_path: Path) -> None:
    data_dir = services.settings.server.data_dir
    with pytest.raises(Invalid, match="cannot be inside"):
        await back_up(services, data_dir / "backup")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(Invalid, match="neither empty"):
        await back_up(services, tmp_path / "full")
    with pytest.raises(Invalid, match="no whole backup"):
        bring_back(tmp_path / "full", tmp_path / "new")
    folder = tmp_path / "backup"
    await back_up(services, folder)
    with pytest.raises(Invalid, match="in use or not empty"):
        restore(folder, data_dir, data_dir / "info.db", lambda *_: None)
    with pytest.raises(Invalid, match="in use or not empty"):
        restore(
            folder, tmp_path / "new", services.settings.server.data_dir.parent / "info.db", lambda *_: None
        )
    told = json.loads((folder / "backup.json").read_text())
    (folder / "backup.json").write_text(json.dumps(told | {"revision": "9999"}))
    with pytest.raises(Invalid, match="newer version"):
        bring_back(folder, tmp_path / "new")
    (folder / "backup.json").write_text(json.dumps(told))
    (copy,) = folder.glob("info-*.db")
    data = bytearray(copy.read_bytes())
    data[5000] ^= 1
    copy.write_bytes(data)
    with pytest.raises(Invalid, match="missing or damaged"):
        bring_back(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists(), "nothing was written"


async def test_with_another_master_key_it_says_so(services: Services, editor: Caller, tmp_path: Path) -> None:
    await back_up(services, tmp_path / "backup")
    (tmp_path / "backup" / "secrets" / "master.key").write_text(secrets.token_hex(32))
    settings = bring_back(tmp_path / "backup", tmp_path / "new")
    with pytest.raises(SettingsError, match="master key that is gone"):
        async with open_services(settings):
            pass


async def test_the_commands(services: Services, editor: Caller, tmp_path: Path) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假。".encode()})
    data_dir = services.settings.server.data_dir
    here = {"SERVER__DATA_DIR": str(data_dir), "DATABASE__URL": services.settings.database_url}
    there = {"SERVER__DATA_DIR": str(tmp_path / "new")}

    def run(environ: dict[str, str], *arguments: str) -> tuple[int, str, str]:
        done = run_command(["kb", *arguments], environ | {"PATH": "/bin"})
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    assert run(here, "verify")[0] == 0
    status, _, said = run(here, "backup", str(tmp_path / "backup"))
    assert (status, "2 documents, 4 files" in said) == (0, True), said
    status, _, said = run(there, "restore", str(tmp_path / "backup"))
    assert (status, "2 documents, all is well" in said) == (0, True), said
    assert run(there, "restore", str(tmp_path / "backup"))[0] == 1
    path = next((tmp_path / "new").glob("kb_*/vector_store/*/*.npy"))
    path.unlink()
    status, out, said = run(there, "verify")
    assert (status, "1 faults" in said) == (1, True)
    assert out.startswith("segment_missing  kb/")
    assert "kb repair" in out
    status, out, _ = run(there, "verify", "--json")
    assert (status, json.loads(out)["findings"][0]["code"]) == (1, "segment_missing")
    status, out, said = run(there, "repair")
    assert (status, "queued" in out, "0 left to you" in said) == (0, True, True)
    document_id = path.name.partition(".")[0]
    content = (tmp_path / "new").glob("kb_*/content/*")
    next(one for one in content if not one.name.startswith(document_id)).unlink()
    status, out, said = run(there, "repair", "--json")
    assert (status, json.loads(out)["left"]) == (1, 1)
    postgresql = there | {"DATABASE__URL": "postgresql://u:p@127.0.0.1:1/x"}
    status, _, said = run(postgresql, "restore", str(tmp_path / "backup"))
    assert (status, "pg_dump" in said) == (1, True)


@pytest.mark.parametrize("command", [("verify",), ("repair",), ("backup", "copy")])
def test_a_folder_where_nothing_is_kept_is_left_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    elsewhere = tmp_path / "typo"
    elsewhere.mkdir()
    environ = {"SERVER__DATA_DIR": str(elsewhere), "PATH": "/bin"}
    name, *folder = command
    done = run_command(["kb", name, *(str(tmp_path / one) for one in folder)], environ)
    assert (done.returncode, "info.db is not there" in done.stderr) == (3, True), done.stderr
    assert list(tmp_path.rglob("*")) == [elsewhere]


async def test_a_backup_of_another_database_says_how(tmp_path: Path) -> None:
    database = Database("postgresql://u:p@127.0.0.1:1/x", test_settings(tmp_path, "sqlite://").database)
    try:
        with pytest.raises(Invalid, match="pg_dump"):
            await Backups(database, None, _Runtime()).make(tmp_path / "x")  # type: ignore[arg-type]
    finally:
        await database.close()


class _Runtime:
    lanes = clock = None
