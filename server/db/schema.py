"""Of what version the schema is, and whether that is the one that this program needs. Every process looks at its start: without
Alembic, which takes longer to read than the look does. See upgrading.py for how it is brought up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DatabaseError

from server.core.errors import Busy, SettingsError
from server.core.i18n import Text
from server.db.session import Database, refusals

MIGRATIONS = Path(__file__).parent / "migrations"


@contextmanager
def explained(database: Database) -> Iterator[None]:
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
def _revisions() -> list[str]:
    """All that this program knows, in order: each migration's file begins with its own."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("0*.py"))


def newest_revision() -> str:
    """The one that this program needs."""
    return _revisions()[-1]


def is_known(revision: str) -> bool:
    """Can this program bring a database of that revision up to its own?"""
    return revision in _revisions()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


async def find_revision(database: Database) -> str | None:
    """The version that a database is of; None when it has no tables."""
    async with database.engine.connect() as connection:
        return await connection.run_sync(_revision)


async def check_schema(database: Database) -> None:
    """Raises SettingsError that names the remedy when the tables are missing or of another version.

    Busy when the database is away.
    """
    needed = newest_revision()
    with explained(database):
        found = await find_revision(database)
    if found != needed:
        raise SettingsError(
            f"the database is at version {found or 'none'}, this program needs {needed}: run `python init_db.py`"
        )
