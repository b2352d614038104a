"""Migrations and tables say the same, on every database."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from server.core.errors import SettingsError
from server.core.settings import DatabaseSettings
from server.db.schema import check_schema, is_known, newest_revision
from server.db.session import Database, async_url
from server.db.upgrading import alembic_config, is_of_the_tables, upgrade_schema
from server.tables import Base


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "include_object": is_of_the_tables}
    )
    return compare_metadata(context, Base.metadata)


async def test_the_migrations_make_the_tables(database_url: str) -> None:
    database = Database(database_url, DatabaseSettings())
    async with database.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


def test_the_newest_migration_is_known_without_alembic() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert newest_revision() == scripts.get_current_head()
    assert all(is_known(script.revision) for script in scripts.walk_revisions())
    assert not is_known("9999")


async def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    database = Database(database_url, DatabaseSettings())
    await upgrade_schema(database)
    await check_schema(database)
    await database.close()


async def test_a_database_of_another_version_stops_the_start(database_url: str) -> None:
    database = Database(database_url, DatabaseSettings())
    async with database.engine.begin() as connection:
        (version,) = (await connection.execute(text("SELECT version_num FROM alembic_version"))).one()
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with pytest.raises(SettingsError, match=r"init_db\.py"):
            await check_schema(database)
    finally:
        async with database.engine.begin() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
        await database.close()


async def test_an_empty_database_stops_the_start(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}", DatabaseSettings())
    with pytest.raises(SettingsError, match="version none"):
        await check_schema(database)
    await database.close()


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///x.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@h/n", "postgresql+psycopg"),
        ("postgres://u:p@h/n", "postgresql+psycopg"),
        ("mysql://u:p@h/n", "mysql+aiomysql"),
        ("mariadb://u:p@h/n", "mariadb+aiomysql"),
        ("mysql+pymysql://u:p@h/n", "mysql+aiomysql"),
    ],
)
def test_plain_urls_get_their_driver(given: str, driver: str) -> None:
    assert async_url(given).drivername == driver


@pytest.mark.parametrize("url", ["oracle://u:p@h/n", "nonsense", ""])
def test_other_urls_are_refused_with_the_list(url: str) -> None:
    with pytest.raises(SettingsError, match="sqlite"):
        async_url(url)
