"""The schema is brought up to date, by Alembic."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from server.db.schema import MIGRATIONS, explained
from server.db.session import Database


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def is_of_the_tables(_object: object, name: str | None, *_: object) -> bool:
    """For Alembic's comparison: the text index of each database is made by migration 0012 and described by no table."""
    return not (name or "").startswith("chunk_fts")


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def upgrade_schema(database: Database) -> None:
    """Create or upgrade every table. Raises Busy when the database is away, SettingsError when it cannot be used."""
    with explained(database):
        async with database.engine.begin() as connection:
            await connection.run_sync(_upgrade)
