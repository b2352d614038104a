"""Odd rows and odd files of a chat2llm of old: each told or put right, and none the end of the others."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import RSA
from sqlalchemy import delete, select

from server.app import create_app
from server.auth.api_token import make_token
from server.chat.models import Message, Session
from server.cli.maintenance import maintain
from server.cli.prepare import prepare
from server.cli.report import Report
from server.cli.taking import Taking
from server.cli.task import Task
from server.core.clock import Clock
from server.core.errors import Invalid
from server.core.mended_json import mend
from server.core.settings import Settings
from server.db.base import Base
from server.kb.models import Document, Question
from server.services import Services, open_services
from tests.conftest import key_pair
from tests.support.api import Caller, serving
from tests.support.old_chat2llm import SESSION, OldInstallation

WEAK_KEY = RSA.generate(1024)
ODD = "5" * 32


@pytest.fixture
def old(tmp_path: Path) -> OldInstallation:
    return OldInstallation(tmp_path / "old", WEAK_KEY, key_pair("portal"))


async def _all(services: Services, table: type[Base]) -> list[Any]:
    async with services.database.read() as session:
        return list(await session.scalars(select(table)))


async def _import(settings: Settings, old: OldInstallation) -> int:
    await prepare(settings, samples=False)
    return await maintain(settings, Task(import_db=old.path))


def _add_session(old: OldInstallation, session_id: str = ODD, **values: Any) -> None:
    given = {
        "client_id": "1",
        "user_id": "zhang3",
        "mode": "LLM",
        "session_name": "怪",
        "param": "{}",
    } | values
    old.add("chat_session", id=session_id, **given)


def _add_message(old: OldInstallation, message_id: str, session_id: str = ODD, **values: Any) -> None:
    given = {"chat_type": "llm_chat", "query": "问", "response": "答", "docs": "[]"} | values
    old.add("chat_history", id=message_id, session_id=session_id, **given)


async def test_halves_of_characters_do_not_hide_what_people_said(
    settings: Settings, old: OldInstallation
) -> None:
    _add_session(old, param='{"a\\u0000": "\\ud800 x", "n": NaN, "deep": ' + "[" * 60 + "]" * 60 + "}")
    _add_message(old, "6" * 32, docs='["\\ud800 x", "n\\u0000ul"]')
    await _import(settings, old)
    token = make_token("1", "zhang3", "张三", Clock().now(), WEAK_KEY.public_key())
    async with serving(create_app(settings)) as base:
        caller = Caller(base, {"Api-Token": token})
        listed = await caller.get("/session/list")
        latest = await caller.post("/history/latest", {"session_id": ODD, "num": 5})
        await caller.http.aclose()
    assert (listed.status_code, latest.status_code) == (200, 200)
    (param,) = [row["param"] for row in listed.json()["data"] if row["session_id"] == ODD]
    assert param.startswith('{"a": "\ufffd x", "n": null, "deep": [[')
    assert latest.json()["data"][0]["docs"] == ["\ufffd x", "nul"]


@pytest.mark.one_database
async def test_what_an_import_of_before_stored_hides_nothing_either(
    settings: Settings, old: OldInstallation
) -> None:
    """SQLite takes halves of characters and NaN in JSON."""
    _add_session(old)
    _add_message(old, "6" * 32)
    await _import(settings, old)
    async with open_services(settings) as services, services.database.write() as session:
        (await session.get_one(Session, ODD)).param = {"a": "\ud800", "n": float("nan")}
        (await session.get_one(Message, "6" * 32)).docs = ["\ud800"]
    token = make_token("1", "zhang3", "张三", Clock().now(), WEAK_KEY.public_key())
    async with serving(create_app(settings)) as base:
        caller = Caller(base, {"Api-Token": token})
        listed = await caller.get("/session/list")
        latest = await caller.post("/history/latest", {"session_id": ODD, "num": 5})
        await caller.http.aclose()
    assert {row["param"] for row in listed.json()["data"]} >= {'{"a": "\ufffd", "n": null}'}
    assert latest.json()["data"][0]["docs"] == ["\ufffd"]


def test_mending() -> None:
    assert mend({"a\0": ["\ud83d\ude00", "\udc00", float("inf"), 1, True, None]}) == {
        "a": ["😀", "\ufffd", None, 1, True, None]
    }
    assert mend([[1]], 1) == [None]


@pytest.mark.parametrize(
    "given",
    [
        {"create_time": "0001-01-01T00:00:00+10:00"},
        {"create_time": "9999-12-31 23:59:59.999999"},
        {"param": "[" * 200_000},
        {"param": '{"a": ' + "9" * 5000 + "}"},
        {"param": '{"a": NaN, "b": 1e999}'},
    ],
)
async def test_odd_values_are_put_right(
    settings: Settings, old: OldInstallation, given: dict[str, str]
) -> None:
    _add_session(old, **given)
    for number in "67":
        _add_message(old, number * 32, create_time=given.get("create_time", "2024-02-21 08:30:00"))
    old.add("question", query="很热", kb_name=None, answer=None, tap_count=2**40, enable=1)
    await _import(settings, old)
    async with open_services(settings) as services:
        assert ODD in {row.id for row in await _all(services, Session)}
        assert len([row for row in await _all(services, Message) if row.session_id == ODD]) == 2
        assert max(row.tap_count for row in await _all(services, Question)) == 2**31 - 1


async def test_a_row_that_the_database_does_not_take_is_told_without_its_words(
    settings: Settings, services: Services
) -> None:
    report, now = Report(), Clock().now()
    taking = Taking(services, report, Task(), now)
    async with services.database.write() as session:
        odd = Question(query="geheim", tap_count=2**70, created_at=now)
        assert not await taking.insert(session, "questions", "odd", odd)
        assert await taking.insert(session, "questions", "good", Question(query="gut", created_at=now))
    assert [row.query for row in await _all(services, Question)] == ["gut"]
    (told,) = report.refused["questions"]
    assert told.startswith("odd: the database does not take it: ")
    assert "geheim" not in told


async def test_names_that_no_file_system_takes(
    settings: Settings, old: OldInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(old.path)) as connection, connection:
        connection.execute("DELETE FROM knowledge_file")
    for name in ("长" * 100 + ".txt", "a/" * 3000 + "b.txt", "", ".", "/etc/passwd"):
        old.add("knowledge_file", file_name=name, file_ext=".txt", kb_name="制度", custom_docs=0)
    old.add_file("制度", "后来.txt", "年假五天。".encode())
    assert await _import(settings, old) == 1
    told = capsys.readouterr().err
    assert "documents: 5 NOT taken" in told
    assert max(map(len, told.splitlines())) < 600
    async with open_services(settings) as services:
        assert [row.file_name for row in await _all(services, Document)] == ["后来.txt"]


async def test_links_and_names_that_differ_by_case(
    settings: Settings, old: OldInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/b.txt", "a_b.txt", "A/c.txt", "a/C.txt"):
        old.add_file("制度", name, name.encode())
    old.add("knowledge_file", file_name="pw.txt", file_ext=".txt", kb_name="制度", custom_docs=0)
    (old.folder / "制度" / "content" / "pw.txt").symlink_to("/etc/passwd")
    for _ in range(2):
        assert await _import(settings, old) == 1
        told = capsys.readouterr().err
        assert "制度/a/C.txt: A/c.txt has this name already, but for case" in told
        assert "制度/pw.txt: a link" in told
        async with open_services(settings) as services:
            names = {row.file_name for row in await _all(services, Document)}
        assert names == {"手册.txt", "2024/补充.md", "a/b.txt", "a_b.txt", "A/c.txt"}


async def test_a_table_without_row_numbers_comes_in_the_order_of_time(
    settings: Settings, old: OldInstallation
) -> None:
    _add_message(old, "f1" * 16, SESSION, query="早", create_time="2023-01-01 08:00:00")
    with closing(sqlite3.connect(old.path)) as connection, connection:
        (statement,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'chat_history'"
        ).fetchone()
        connection.execute("ALTER TABLE chat_history RENAME TO before")
        connection.execute(f"{statement} WITHOUT ROWID")
        connection.execute("INSERT INTO chat_history SELECT * FROM before")
    await _import(settings, old)
    async with open_services(settings) as services:
        rows = sorted(await _all(services, Message), key=lambda row: row.created_at)
    assert (len(rows), rows[0].query, f"{rows[0].created_at:%Y}") == (4, "早", "2023")


async def test_damage_ends_one_table_only(
    settings: Settings, old: OldInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(300):
        _add_session(old, f"{number:032}", param='{"x": "' + "y" * 900 + '"}')
    with closing(sqlite3.connect(old.path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'chat_session'"
        ).fetchone()
    data = bytearray(old.path.read_bytes())
    page = data[(root - 1) * size : root * size]
    # The children of the tree's root, in their order; one in the middle is damaged.
    cells = [
        int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(int.from_bytes(page[3:5], "big"))
    ]
    child = int.from_bytes(page[cells[len(cells) // 2] :][:4], "big")
    data[(child - 1) * size : child * size] = b"\xff" * size
    old.path.write_bytes(data)
    assert await _import(settings, old) == 1
    assert "the rest of table chat_session: it cannot be read: " in capsys.readouterr().err
    async with open_services(settings) as services:
        taken = {row.id for row in await _all(services, Session)}
        assert SESSION in taken
        assert 50 < len(taken) < 300, "up to the damage"
        assert len(await _all(services, Document)) == 2, "and the tables after it"


async def test_an_import_that_was_killed_within_a_conversation_goes_on_in_order(
    settings: Settings, old: OldInstallation
) -> None:
    await _import(settings, old)
    async with open_services(settings) as services:
        before = {row.id: row.created_at for row in await _all(services, Message)}
        async with services.database.write() as session:
            await session.execute(delete(Message).where(Message.id != "2" * 32))  # the first alone was taken
        await maintain(settings, Task(import_db=old.path))
        after = {row.id: row.created_at for row in await _all(services, Message)}
    assert after == before
    assert after["1" * 32] - after["2" * 32] == timedelta(microseconds=1)


async def test_a_database_of_this_server_is_not_taken_for_an_old_one(
    settings: Settings, services: Services, tmp_path: Path, old: OldInstallation
) -> None:
    await prepare(settings, samples=False)
    own = tmp_path / "own.db"
    with closing(sqlite3.connect(own)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE question (id INTEGER, query TEXT)")
    with closing(sqlite3.connect(old.path)) as connection, connection:
        connection.execute("ALTER TABLE knowledge_base RENAME COLUMN kb_name TO name")
    for path in (own, old.path):
        with pytest.raises(Invalid, match="is no database of an old chat2llm"):
            await maintain(settings, Task(import_db=path))
    assert await _all(services, Question) == []


async def test_a_database_that_is_in_use_is_told_so(settings: Settings, old: OldInstallation) -> None:
    await prepare(settings, samples=False)
    with closing(sqlite3.connect(old.path)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Invalid) as caught:
            await maintain(settings, Task(import_db=old.path))
    assert "database is locked; stop the program that uses it" in caught.value.text.en
    assert "is no SQLite database" not in caught.value.text.en


@pytest.mark.parametrize("private", [False, True])
async def test_questions_of_no_knowledge_base_are_for_readers_of_all_as_they_were(
    settings: Settings, old: OldInstallation, callers: Any, private: bool
) -> None:
    old.add("question", query="你是谁？", kb_name=None, answer="小助手", tap_count=0, enable=1)
    await prepare(settings, samples=False)
    await maintain(settings, Task(import_db=old.path, private=private))
    reader, owner = await callers.user("acme", "u1"), await callers.key("0", "chat", "kb:write")
    stranger = await callers.key("acme", "chat", "kb:write")
    offered = await reader.get("/recommend/question", num=9, kb_name="")
    answer = await reader.post("/chat/chat", {"query": "你是谁", "stream": False})
    queries = [row["query"] for row in offered.json()["data"]]
    assert (queries, "小助手" in answer.text) == (([], False) if private else (["你是谁？"], True))
    (mine,) = [row for row in await _listed(owner) if row["query"] == "你是谁？"]
    assert await _listed(stranger) == [], "only its own client's editors change it"
    changed = await stranger.post("/recommend/question", {"question_id": mine["id"], "query": "x"})
    assert changed.status_code == 404
    body = {"question_id": mine["id"], "answer": "一只猫"}
    assert (await owner.post("/recommend/question", body)).status_code == 200
    again = await reader.post("/chat/chat", {"query": "你是谁", "stream": False})
    assert ("一只猫" in again.text) is not private


async def _listed(caller: Caller) -> list[dict[str, Any]]:
    return (await caller.get("/recommend/question/list")).json()["data"]["items"]


class TestTheDemoClientsKey:
    @pytest.fixture
    def old_key(self, old: OldInstallation) -> RSA.RsaKey:
        key = key_pair("demo of old")
        with closing(sqlite3.connect(old.path)) as connection, connection:
            connection.execute("DELETE FROM client WHERE id = 0")
        old.add_client(0, key, description="默认客户端")
        return key

    async def _status(self, settings: Settings, key: RSA.RsaKey) -> int:
        token = make_token("0", "192.168.1.7", "", Clock().now(), key.public_key())
        async with serving(create_app(settings)) as base:
            caller = Caller(base, {"Api-Token": token})
            status = (await caller.get("/session/list")).status_code
            await caller.http.aclose()
        return status

    async def test_its_tokens_stay_good(
        self, settings: Settings, old: OldInstallation, old_key: RSA.RsaKey, capsys: Any
    ) -> None:
        await _import(settings, old)
        assert "client 0: its key of old is taken beside the new one" in capsys.readouterr().out
        assert await self._status(settings, old_key) == 200
        await maintain(settings, Task(import_db=old.path))
        out = capsys.readouterr().out
        assert "clients: 4 there already" in out
        assert "key of old is taken beside" in out

    async def test_not_where_somebody_is_here_already(
        self, settings: Settings, old: OldInstallation, old_key: RSA.RsaKey, callers: Any, capsys: Any
    ) -> None:
        await prepare(settings, samples=False)
        somebody = await callers.user("0", "192.168.1.7")
        assert (await somebody.get("/session/list")).status_code == 200
        await _import(settings, old)
        assert "client 0: it has users here already" in capsys.readouterr().out
        assert await self._status(settings, old_key) == 401

    async def test_a_key_that_is_none_is_told(
        self, settings: Settings, old: OldInstallation, capsys: Any
    ) -> None:
        await _import(settings, old)
        assert "client 0: its key of old is not in the database" in capsys.readouterr().out
