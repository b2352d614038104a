"""What identities stand on: the database, the vault that opens their keys, the clock and the threads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.auth.key_lock import working_with_key
from server.auth.master_key import open_vault
from server.auth.service import check_pkcs1v15
from server.auth.vault import Vault
from server.core.clock import Clock
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.schema import check_schema
from server.db.session import Database


@dataclass(frozen=True, slots=True)
class Foundation:
    """Commands about identities need nothing else; a server builds the rest of its services on it."""

    runtime: Runtime
    database: Database
    vault: Vault


@asynccontextmanager
async def open_foundation(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[Foundation]:
    """Open the database and the vault, and close them at the end. Raises SettingsError with the remedy when one is not ready."""
    runtime = Runtime(clock or Clock())
    master_key = settings.auth.master_key
    database = Database(settings.database_url, settings.database)
    try:
        await check_schema(database)
        async with working_with_key(settings.server.data_dir):
            configured = master_key.get_secret_value() if master_key else None
            vault = await open_vault(database, configured, settings.server.data_dir)
            async with database.read() as session:
                await check_pkcs1v15(session, vault)
            yield Foundation(runtime, database, vault)
            await runtime.tasks.drain()
    finally:
        await database.close()
