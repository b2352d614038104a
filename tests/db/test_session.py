"""Sessions: reads beside writes, writes one after the other, and a busy database is 503, never 500."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from server.auth.models import Client
from server.chat.models import Message, Session
from server.core.clock import Clock
from server.core.errors import Busy, Conflict, StorageFull
from server.core.logging import JSONFormatter, TextFormatter
from server.core.settings import DatabaseSettings
from server.db.session import Database
from server.db.upgrading import upgrade_schema


@pytest.fixture
async def database(database_url: str):
    opened = Database(database_url, DatabaseSettings(lock_timeout=timedelta(seconds=1)))
    yield opened
    await opened.close()


def _client(name: str, description: str = "") -> Client:
    return Client(id=name, description=description, enabled=True, created_at=Clock().now())


async def _count(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(Client)) or 0


async def test_a_unit_of_work_commits_or_leaves_no_trace(database: Database) -> None:
    async with database.write() as session:
        session.add(_client("a"))

    async def fail() -> None:
        async with database.write() as session:
            session.add(_client("b"))
            await session.flush()
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        await fail()
    assert await _count(database) == 1


async def test_a_reading_session_never_commits(database: Database) -> None:
    async with database.read() as session:
        session.add(_client("a"))
        await session.flush()
    assert await _count(database) == 0


async def test_increments_side_by_side_are_all_counted(database: Database) -> None:
    async with database.write() as session:
        session.add(_client("a", "0"))

    async def increment() -> None:
        async with database.write() as session:
            row = await session.get_one(Client, "a", with_for_update=True)
            row.description = str(int(row.description) + 1)

    await asyncio.gather(*(increment() for _ in range(20)))
    async with database.read() as session:
        assert (await session.get_one(Client, "a")).description == "20"


async def test_a_reader_is_not_stopped_by_a_writer(database: Database) -> None:
    async with database.write() as session:
        session.add(_client("a"))
        await session.flush()
        assert await asyncio.wait_for(_count(database), 30) == 0


async def test_a_locked_database_is_busy(database: Database) -> None:
    async with database.write() as session:
        session.add(_client("a"))
    async with database.write() as holder:
        await holder.execute(update(Client).values(description="mine"))
        with pytest.raises(Busy) as caught:
            async with database.write() as session:
                await session.execute(update(Client).values(description="no, mine"))
    assert (caught.value.status, caught.value.code) == (503, "busy")
    assert caught.value.retry_after


async def test_other_faults_are_not_hidden(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.write() as session:
            await session.execute(text("INSERT INTO client (id) VALUES ('a')"))


@pytest.mark.parametrize("fault", ["null", "twice", "syntax"])
async def test_a_fault_does_not_show_what_people_wrote(
    database: Database, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "年假几天"

    row = {"id": "m", "client_id": "a", "user_id": "u", "model": "m", "docs": [], "trace": {}, "position": 1}
    row |= {"query": secret, "response": secret, "state": "done", "feedback_reason": secret}
    row |= {"chat_type": None if fault == "null" else "llm_chat", "created_at": Clock().now()}

    async def fail() -> None:
        async with database.write() as session:
            if fault == "syntax":
                await session.execute(text("SELECT :words FROM nowhere"), {"words": secret})
            await session.execute(insert(Message), [row] * 2)

    try:
        await fail()
    except (SQLAlchemyError, Conflict):
        logging.getLogger("test").exception("failed")
    assert "Error" in caplog.text
    for handler in (logging.Formatter(), JSONFormatter(), TextFormatter()):
        for record in caplog.records:
            record.request_id = record.caller = "-"
            assert secret not in handler.format(record)


async def test_whoever_comes_second_is_refused(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The last net: what no lock holds and no savepoint catches is a conflict, never a fault."""
    async with database.write() as session:
        session.add_all([_client("a"), _client("b")])

    async def twice() -> None:
        async with database.write() as session:
            session.add(_client("a"))

    async def of_nobody() -> None:
        async with database.write() as session:
            session.add(Session(id="s", client_id="none", user_id="u", param={}, created_at=Clock().now()))

    async def gone() -> None:
        async with database.read() as session:
            row = await session.get_one(Client, "b")
        async with database.write() as session:
            await session.execute(delete(Client).where(Client.id == "b"))
        async with database.write() as session:
            session.add(row)
            row.description = "changed"

    for write in (twice, of_nobody, gone):
        with pytest.raises(Conflict) as caught:
            await write()
        assert caught.value.status == 409
    told = [vars(record) for record in caplog.records if record.name == "server.db.session"]
    assert [record["exc_info"] for record in told] == [None] * 3
    duplicate, orphan, stale = told
    assert str(duplicate["constraint"]).lower() in ("pk_client", "client_pkey", "client.id", "primary")
    assert orphan["reason"]
    assert stale["reason"] == "stale"


async def test_times_come_back_as_they_went(database: Database) -> None:
    now = Clock().now()
    async with database.write() as session:
        session.add(Client(id="a", description="", enabled=True, created_at=now))
    async with database.read() as session:
        found = (await session.get_one(Client, "a")).created_at
    assert found == now
    assert found.tzinfo is not None


async def test_names_that_differ_only_in_case_or_accent_are_two(database: Database) -> None:
    async with database.write() as session:
        session.add_all([_client("bob"), _client("Bob"), _client("bób"), _client("张三"), _client("張三")])
    assert await _count(database) == 5


@pytest.mark.parametrize(
    ("pragma", "code"), [("max_page_count=1", "disk_full"), ("query_only=ON", "database_read_only")]
)
async def test_a_database_that_cannot_grow_or_be_written(tmp_path: Path, pragma: str, code: str) -> None:
    """SQLite refuses with the same words as on a full disk and on a file without permission."""
    database = Database(f"sqlite:///{tmp_path / 'x.db'}", DatabaseSettings(pool_size=1))
    try:
        await upgrade_schema(database)
        async with database.engine.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA {pragma}")

        async def fill() -> None:
            async with database.write() as session:
                session.add_all(_client(str(n), "x" * 200) for n in range(500))

        with pytest.raises(StorageFull) as caught:
            await fill()
        assert caught.value.code == code
        assert await _count(database) == 0
    finally:
        await database.close()


@pytest.mark.parametrize("url", ["postgresql://u:p@127.0.0.1:1/x", "mysql://u:p@127.0.0.1:1/x"])
async def test_a_database_that_is_away_is_busy(url: str) -> None:
    database = Database(url, DatabaseSettings())
    try:
        with pytest.raises(Busy) as caught:
            await _count(database)
        assert caught.value.code == "database_unreachable"
        assert caught.value.retry_after
    finally:
        await database.close()
