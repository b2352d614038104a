"""The schema's version: bring it up to date, or find out that it is not."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from server.core.errors import SettingsError
from server.db.session import Database


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def upgrade_schema(database: Database) -> None:
    """Create or upgrade every table."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade)


async def check_schema(database: Database) -> None:
    """Raises SettingsError that names the remedy when the tables are missing or of another version."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    async with database.engine.connect() as connection:
        found = await connection.run_sync(_revision)
    if found != head:
        raise SettingsError(
            f"the database is at version {found or 'none'}, this program needs {head}: run `python init_db.py`"
        )
