"""A chat2llm of old moves in: people come with the tokens they have and find what they said."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from Crypto.PublicKey import RSA
from sqlalchemy import select

from server.app import create_app
from server.auth.api_token import make_token
from server.auth.models import Client, ClientKey, User
from server.chat.models import Message, Session
from server.cli.maintenance import maintain
from server.cli.prepare import prepare
from server.cli.task import Task
from server.core.clock import Clock
from server.core.errors import Invalid
from server.core.settings import Settings
from server.db.base import Base
from server.kb.models import Document, KnowledgeBase, Question
from server.services import Services, open_services
from tests.conftest import key_pair
from tests.support.api import Caller, serving
from tests.support.old_chat2llm import PARAM, SESSION, OldInstallation

WEAK_KEY = RSA.generate(1024)


@pytest.fixture
def old(tmp_path: Path) -> OldInstallation:
    return OldInstallation(tmp_path / "old", WEAK_KEY, key_pair("portal"))


@pytest.fixture
async def moved(settings: Settings, old: OldInstallation) -> AsyncIterator[Services]:
    """After the first run."""
    await prepare(settings, samples=False)
    assert await maintain(settings, Task(import_db=old.path)) == 1, "some of it cannot be taken"
    async with open_services(settings) as services:
        yield services


async def _all(services: Services, table: type[Base]) -> list[Any]:
    async with services.database.read() as session:
        return list(await session.scalars(select(table)))


async def test_clients_keep_their_keys(moved: Services, capsys: pytest.CaptureFixture[str]) -> None:
    clients = {row.id: row for row in await _all(moved, Client)}
    assert {name: row.enabled for name, row in clients.items()} == {
        "0": True,
        "1": True,
        "2": False,
        "3": True,
    }
    assert clients["1"].description == "企业微信"
    assert (f"{clients['1'].created_at:%F %T}", clients["1"].policy) == ("2024-02-21 08:30:00", "compat")
    keys = {row.client_id: row for row in await _all(moved, ClientKey)}
    assert keys["1"].public_pem.split() == WEAK_KEY.public_key().export_key().decode().split()
    assert (keys["1"].state, keys["2"].state) == ("retiring", "active")
    assert keys["1"].retire_at is not None
    assert keys["3"].public_pem, "a client whose key cannot be used has a new one"


async def test_people_find_what_they_said(moved: Services, settings: Settings) -> None:
    token = make_token("1", "zhang3", "张三", Clock().now(), WEAK_KEY.public_key())
    async with serving(create_app(settings)) as base:
        caller = Caller(base, {"Api-Token": token})
        names = (await caller.get("/knowledge_base/list_knowledge_bases")).json()["data"]
        hits = await caller.search("制度", "婚假几天")
        await caller.http.aclose()
    assert names == ["制度"]
    assert hits[0]["page_content"].endswith("婚假十天。")
    users = {(row.client_id, row.id): row for row in await _all(moved, User)}
    assert set(users) == {("1", "zhang3"), ("1", "li4"), ("0", "192.168.1.7")}
    assert (users["1", "zhang3"].username, users["1", "li4"].enabled) == ("张三", False)
    sessions = {row.id: row for row in await _all(moved, Session)}
    assert (sessions[SESSION].name, sessions[SESSION].mode, sessions[SESSION].param) == (
        "年假怎么休",
        "Knowledge",
        PARAM,
    )
    messages = sorted(await _all(moved, Message), key=lambda row: row.created_at)
    assert [row.query for row in messages] == ["第0问", "第1问", "第2问"], "in their order, within one second"
    assert len({row.created_at for row in messages}) == 3
    assert [row.state for row in messages] == ["done", "done", "cut"]
    assert {(row.client_id, row.user_id, row.session_id) for row in messages} == {("1", "zhang3", SESSION)}
    assert len(messages[0].response) > 5000
    assert messages[0].docs[0].startswith("出处 [1] [手册.txt]")


async def test_knowledge_bases_files_and_questions(moved: Services) -> None:
    (kb,) = await _all(moved, KnowledgeBase)
    assert (kb.name, kb.zh_name, kb.info, kb.client_id, kb.shared) == (
        "制度",
        "公司制度",
        "各种制度",
        "0",
        True,
    )
    assert f"{kb.created_at:%F %T}" == "2024-02-21 08:30:00"
    assert kb.embed_model == "e5-small", "there are no weights of m3e-base here"
    documents = {row.file_name: row.state for row in await _all(moved, Document)}
    assert documents == {"手册.txt": "ready", "2024/补充.md": "ready"}
    questions = {row.query: row for row in await _all(moved, Question)}
    assert set(questions) == {"年假有几天？", "你好"}
    first = questions["年假有几天？"]
    assert (first.kb_id, first.answer, first.tap_count, first.enabled) == (kb.id, "五天", 7, True)
    assert (questions["你好"].kb_id, questions["你好"].enabled) == (None, False)


async def test_what_was_not_taken_is_told_with_its_reason(
    moved: Services, settings: Settings, old: OldInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert await maintain(settings, Task(import_db=old.path)) == 1
    out, err = capsys.readouterr()
    for words in (
        "9/nobody: its client was not taken",
        "../坏: ",
        "制度/没了.txt: there is no such file",
        "制度/照片.heic: unsupported file type .heic",
        "哪里的？: knowledge base 没有的 was not taken",
    ):
        assert words in err
    assert "clients: 4 there already" in out
    assert "messages: 1 left out, as they are of no session and so nobody's" in out
    assert "messages: 3 there already" in out


async def test_a_second_run_doubles_nothing(
    moved: Services, settings: Settings, old: OldInstallation
) -> None:
    async def state() -> dict[str, list[str]]:
        async with moved.database.read() as session:
            return {
                table.name: sorted(map(repr, await session.execute(select(table))))
                for table in Base.metadata.sorted_tables
            }

    before = await state()
    await maintain(settings, Task(import_db=old.path))
    assert await state() == before
    old.add("user", client_id="2", user_id="new", username="新来的", enable=1)
    await maintain(settings, Task(import_db=old.path))
    after = await state()
    assert {name for name in after if after[name] != before[name]} == {"user"}, "and what is new comes along"


async def test_what_is_there_already_is_no_failure(
    settings: Settings, old: OldInstallation, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(old.path)) as connection, connection:
        for statement in (
            "DELETE FROM user WHERE client_id = '9'",
            "DELETE FROM knowledge_base WHERE kb_name = '../坏'",
            "DELETE FROM knowledge_file WHERE file_name IN ('没了.txt', '照片.heic')",
            "DELETE FROM question WHERE kb_name = '没有的'",
            "DELETE FROM file_doc",
        ):
            connection.execute(statement)
    await prepare(settings, samples=False)
    for outcome in ("taken", "there already"):
        assert await maintain(settings, Task(import_db=old.path)) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert f"documents: 2 {outcome}" in out
        assert "messages: 1 left out" in out
        assert ("new knowledge bases belong to client 0" in out) == (outcome == "taken")


async def test_another_client_under_the_id_is_left_alone(
    settings: Settings, old: OldInstallation, services: Services, callers: Any
) -> None:
    await prepare(settings, samples=False)
    await callers.client("1")
    await maintain(settings, Task(import_db=old.path))
    assert not [row for row in await _all(services, User) if row.client_id == "1"]
    assert await _all(services, Session) == []
    (key,) = [row for row in await _all(services, ClientKey) if row.client_id == "1"]
    assert key.public_pem.split() != WEAK_KEY.public_key().export_key().decode().split()


async def test_for_a_client_of_its_own_and_from_another_folder(
    settings: Settings, old: OldInstallation, tmp_path: Path
) -> None:
    await prepare(settings, samples=False)
    (old.folder / "制度").rename(tmp_path / "制度")
    task = Task(import_db=old.path, client="2", private=True, content=tmp_path, kb_name=["制度"])
    await maintain(settings, task)
    async with open_services(settings) as services:
        (kb,) = await _all(services, KnowledgeBase)
        assert (kb.client_id, kb.shared) == ("2", False)
        assert len(await _all(services, Document)) == 2


async def test_a_path_out_of_the_folder_is_not_followed(settings: Settings, old: OldInstallation) -> None:
    (old.folder / "secret.txt").write_text("geheim", "utf-8")
    old.add("knowledge_file", file_name="../../secret.txt", file_ext=".txt", kb_name="制度", custom_docs=0)
    await prepare(settings, samples=False)
    await maintain(settings, Task(import_db=old.path))
    async with open_services(settings) as services:
        assert "secret" not in " ".join(row.file_name for row in await _all(services, Document))


async def test_odd_rows(settings: Settings, old: OldInstallation) -> None:
    """What programs of old left, each told or put right, and none the end of the others."""
    long = "c" * 32
    old.add(
        "chat_session",
        id=long,
        client_id="1",
        user_id="zhang3",
        mode="LLM" * 20,
        session_name="长" * 30,
        param="{oops",
    )
    old.add(
        "chat_history",
        id="e" * 32,
        chat_type="x" * 80,
        query="a\0b",
        response="好",
        session_id=long,
        docs="{",
        create_time="?",
    )
    old.add(
        "chat_session",
        id="d" * 40,
        client_id="1",
        user_id="zhang3",
        mode="LLM",
        session_name="",
        param="null",
    )
    old.add("user", client_id="1", user_id="", username="空", enable=1)
    old.add("question", query=" ", kb_name=None, answer=None, tap_count=None, enable=1)
    await prepare(settings, samples=False)
    assert await maintain(settings, Task(import_db=old.path)) == 1
    async with open_services(settings) as services:
        sessions = {row.id: row for row in await _all(services, Session)}
        assert (sessions[long].name, sessions[long].param) == ("长" * 20, {})
        (message,) = [row for row in await _all(services, Message) if row.session_id == long]
        assert (message.query, message.docs, len(message.chat_type)) == ("ab", [], 50)
        assert len(await _all(services, Question)) == 2


@pytest.mark.parametrize("content", [None, b"not a database" * 100, b""])
async def test_what_is_no_database(settings: Settings, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    await prepare(settings, samples=False)
    with pytest.raises(Invalid):
        await maintain(settings, Task(import_db=path))
    assert content is None or path.read_bytes() == content


async def test_one_of_chatchat_without_clients(settings: Settings, old: OldInstallation) -> None:
    with closing(sqlite3.connect(old.path)) as connection, connection:
        for table in ("client", "user", "chat_session", "question"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("ALTER TABLE knowledge_base DROP COLUMN kb_zh_name")
    await prepare(settings, samples=False)
    await maintain(settings, Task(import_db=old.path))
    async with open_services(settings) as services:
        (kb,) = await _all(services, KnowledgeBase)
        assert (kb.name, kb.zh_name) == ("制度", "制度")
        assert len(await _all(services, Document)) == 2
