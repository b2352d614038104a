"""The database, the first secrets, the demo client and the sample knowledge base: whatever of these is missing."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from server.auth.demo import DEMO_DESCRIPTION, make_passphrase
from server.auth.foundation import Foundation, open_foundation
from server.auth.master_key import master_key_file
from server.auth.policy import Policy
from server.auth.repository import find_client
from server.auth.sealed import list_sealed
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_client
from server.auth.users import DEMO_CLIENT
from server.core.errors import SettingsError
from server.core.settings import Settings
from server.db.session import Database
from server.db.sqlite_file import LOOKED_THROUGH, file_of, find_damage
from server.db.upgrading import upgrade_schema


async def prepare(settings: Settings, *, samples: bool | None) -> None:
    """Bring everything up to date, in the order in which it depends on each other.

    `samples` None: the sample knowledge base only with the first start.
    """
    data_dir = settings.server.data_dir
    # Chats and documents are in there: for whoever runs the server, and nobody else of this machine.
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database_url, settings.database)
    _check_not_lost(database, data_dir)
    _check_sound(database)
    _make_private(database)
    try:
        await upgrade_schema(database)
        async with database.read() as session:
            is_sealed = bool(await list_sealed(session))
    finally:
        await database.close()
    if settings.auth.master_key is None and not is_sealed:
        key = master_key_file(data_dir)
        if make_secret_file(key, secrets.token_hex(32)):
            print(f"master key made: {key} (back it up)")
    if settings.auth.demo:
        make_passphrase(data_dir)
    async with open_foundation(settings) as foundation:
        is_first = await make_demo_client(foundation)
    if samples or (samples is None and is_first):
        # Here, as it loads the whole server, which later starts need not wait for.
        from server.cli.samples import make_sample_kb

        await make_sample_kb(settings)


def _check_not_lost(database: Database, data_dir: Path) -> None:
    """Raises SettingsError where a new, empty database would hide that the old one is missing."""
    path = Path(database.url.database or "")
    if database.url.get_backend_name() == "sqlite" and not path.exists() and any(data_dir.glob("kb_*")):
        raise SettingsError(
            f"{path}: the database is gone, but documents are still in {data_dir}; restore it from your backup, "
            "or move the kb_* folders away to start anew"
        )


def _check_sound(database: Database) -> None:
    """Raises SettingsError for a file with damage inside, which SQLite itself notices only when it comes across it."""
    path = file_of(database)
    if path is None or not path.exists() or path.stat().st_size > LOOKED_THROUGH:
        return
    if damage := find_damage(path, quick=True):
        raise SettingsError(
            f"{path}: the database is damaged ({damage[0]}); restore your backup: move {path.parent} away, then "
            "`python -m server kb restore BACKUP`"
        )


def _make_private(database: Database) -> None:
    """Make SQLite's file before it does, for its owner alone; what it puts beside it later follows the file."""
    path = database.url.database
    if database.url.get_backend_name() == "sqlite" and path and path != ":memory:":
        with suppress(FileExistsError, FileNotFoundError):  # without a folder SQLite tells it better
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


async def make_demo_client(foundation: Foundation) -> bool:
    """The client of the demo link; False when it is there already."""
    async with foundation.database.write() as session:
        if await find_client(session, DEMO_CLIENT) is not None:
            return False
        now = foundation.runtime.clock.now()
        await add_client(
            session, foundation.vault, NewClient(DEMO_CLIENT, DEMO_DESCRIPTION, Policy.COMPAT), now
        )
    print("database ready, demo client made")
    return True
