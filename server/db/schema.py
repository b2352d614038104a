"""The schema's version: bring it up to date, or find out that it is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from server.core.errors import Busy, SettingsError
from server.core.i18n import Text
from server.db.session import Database, refusals


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def is_of_the_tables(_object: object, name: str | None, *_: object) -> bool:
    """For Alembic's comparison: the text index of each database is made by migration 0012 and described by no table."""
    return not (name or "").startswith("chunk_fts")


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _explained(database: Database) -> Iterator[None]:
    """Faults of a database that cannot be used at all, each with its remedy. The URL's password is not shown."""
    url = database.url.set(drivername=database.url.get_backend_name(), query={})
    where = url.render_as_string(hide_password=True)
    try:
        with refusals():
            yield
    except Busy as error:
        reason = str(getattr(error.__cause__, "orig", "")).strip().splitlines()[-1:]
        told = " · ".join([f"[database] url = {where}", *reason])
        raise Busy(Text(f"{error.text.zh}\n{told}", f"{error.text.en}\n{told}"), code=error.code) from error
    except DatabaseError as error:
        raise SettingsError(
            f"[database] url: {where} cannot be used ({error.orig}); correct it, or restore the database from your backup"
        ) from error


@cache
def _head() -> str | None:
    """The revision that this program needs."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def is_known(revision: str) -> bool:
    """Can this program bring a database of that revision up to its own?"""
    return any(
        script.revision == revision
        for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    )


async def find_revision(database: Database) -> str | None:
    """The version that a database is of; None when it has no tables."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(_revision)


async def upgrade_schema(database: Database) -> None:
    """Create or upgrade every table. Raises Busy when the database is away, SettingsError when it cannot be used."""
    with _explained(database):
        async with database.engine.begin() as connection:
            await connection.run_sync(_upgrade)


async def check_schema(database: Database) -> None:
    """Raises SettingsError that names the remedy when the tables are missing or of another version.

    Busy when the database is away.
    """
    head = _head()
    with _explained(database):
        async with database.engine.connect() as connection:
            found = await connection.run_sync(_revision)
    if found != head:
        raise SettingsError(
            f"the database is at version {found or 'none'}, this program needs {head}: run `python init_db.py`"
        )
