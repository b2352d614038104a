"""The database of a server that has run before: who looks after what it keeps must not begin with an empty one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.auth.foundation import Foundation, open_foundation
from server.core.errors import SettingsError
from server.core.settings import Settings
from server.db.session import Database
from server.db.sqlite_file import file_of


@asynccontextmanager
async def open_existing(settings: Settings) -> AsyncIterator[Foundation]:
    """As open_foundation. Raises SettingsError where that would make a new database file: the data folder is another one."""
    database = Database(settings.database_url, settings.database)
    path = file_of(database)
    await database.close()
    if path is not None and not path.is_file():
        raise SettingsError(
            f"{path} is not there, so nothing is kept here: look at [server] data_dir and [database] url"
        )
    async with open_foundation(settings) as foundation:
        yield foundation
