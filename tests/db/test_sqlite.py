"""SQLite: writers in turn, and one trip to its thread per statement."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from server.auth.models import Client
from server.core.clock import Clock
from server.core.errors import Busy, Conflict
from server.core.settings import DatabaseSettings
from server.db.session import Database
from server.db.sqlite import Connection
from server.db.upgrading import upgrade_schema
from server.db.upsert import upsert


@pytest.fixture
async def database(tmp_path: Path):
    """Whoever waits for its turn is sent away soon."""
    async with _opened(tmp_path, DatabaseSettings(lock_timeout=timedelta(seconds=0.3))) as opened:
        yield opened


@asynccontextmanager
async def _opened(folder: Path, settings: DatabaseSettings) -> AsyncIterator[Database]:
    opened = Database(f"sqlite:///{folder / 'info.db'}", settings)
    await upgrade_schema(opened)
    yield opened
    await opened.close()


def _row(client_id: str) -> dict[str, object]:
    return {
        "id": client_id,
        "description": "",
        "enabled": True,
        "policy": "compat",
        "created_at": Clock().now(),
    }


async def test_writers_take_turns_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    order: list[int] = []

    async def write(database: Database, number: int) -> None:
        async with database.write() as session:
            order.append(number)
            await session.execute(insert(Client), [_row(f"c{number}")])
            await asyncio.sleep(0.001)

    async with _opened(tmp_path, DatabaseSettings(lock_timeout=timedelta(minutes=1))) as database:
        await asyncio.gather(*(write(database, number) for number in range(50)))
    assert order == list(range(50))


async def test_who_waits_too_long_for_a_turn_is_sent_away_and_the_next_one_is_not(database: Database) -> None:
    async with database.write():
        with pytest.raises(Busy) as caught:
            async with database.write():
                raise AssertionError("two writers")
    assert caught.value.retry_after == 2
    async with database.write() as session:
        await session.execute(insert(Client), [_row("later")])


async def test_nobody_is_sent_away_from_a_queue_that_moves(database: Database) -> None:
    """Each turn is short, but all of them together take longer than one may wait for a lock."""
    order: list[int] = []

    async def write(number: int) -> None:
        async with database.write():
            order.append(number)
            await asyncio.sleep(0.03)

    await asyncio.gather(*(write(number) for number in range(30)))
    assert order == list(range(30))


async def test_a_queue_does_not_move_while_another_process_holds_the_database(
    database: Database, tmp_path: Path
) -> None:
    """Otherwise each would be kept until all before it had waited for the lock in vain, one after the other."""
    other = sqlite3.connect(tmp_path / "info.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def write() -> float:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(Busy):
            async with database.write() as session:
                await session.execute(insert(Client), [_row("a")])
        return asyncio.get_running_loop().time() - begun

    try:
        waited = await asyncio.gather(*(write() for _ in range(10)))
    finally:
        other.close()
    assert max(waited) < 1.5


async def test_a_writer_that_is_cancelled_while_it_waits_does_not_keep_its_turn(database: Database) -> None:
    async def write() -> None:
        async with database.write():
            pass

    async with database.write():
        waiting = asyncio.ensure_future(write())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait({waiting})
    await write()


async def test_a_statement_is_one_trip(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    trips: list[str] = []
    execute = Connection._execute

    async def counted(self: Connection, function, *args):
        trips.append(getattr(function, "__name__", ""))
        return await execute(self, function, *args)  # type: ignore[no-untyped-call]

    async with database.read() as session:
        await session.execute(select(Client))  # connected, begun, compiled
        monkeypatch.setattr(Connection, "_execute", counted)
        await session.execute(select(Client))
    assert trips == ["_run", "rollback"]


async def test_what_a_cursor_tells(database: Database) -> None:
    async with database.write() as session:
        await session.execute(insert(Client), [_row("a"), _row("b"), _row("c")])
        changed = await session.execute(text("UPDATE client SET description = 'x' WHERE id < 'c'"))
        assert changed.rowcount == 2  # type: ignore[attr-defined]
    async with database.read() as session:
        rows = await session.execute(text("SELECT id, description FROM client ORDER BY id"))
        assert list(rows.keys()) == ["id", "description"]
        assert [tuple(row) for row in rows] == [("a", "x"), ("b", "x"), ("c", "")]
    with pytest.raises(Conflict):
        async with database.write() as session:
            await session.execute(insert(Client), [_row("a")])


async def test_upsert_inserts_or_sets(database: Database) -> None:
    async with database.write() as session:
        assert await upsert(session, _row("a"), {"description": "again"}, Client.description) == ""
        assert await upsert(session, _row("a"), {"description": "again"}, Client.description) == "again"
        found = await upsert(session, _row("b"), {"description": "again"}, Client)
        assert (found.id, found.description) == ("b", "")
