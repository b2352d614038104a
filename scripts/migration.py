"""Write the migration for what changed in the tables: `python scripts/migration.py 0002 "feedback on messages"`.

Compares the tables in the code with a fresh SQLite database at the newest migration. Read what it wrote before you
commit it; a test compares the result with the tables on every database.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import Connection

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from server.core.settings import DatabaseSettings
from server.db.session import Database
from server.db.upgrading import alembic_config, upgrade_schema
from server.tables import Base


async def write(revision: str, message: str) -> None:
    """Write server/db/migrations/versions/<revision>_<message>.py."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/schema.db", DatabaseSettings())
        await upgrade_schema(database)
        async with database.engine.begin() as connection:
            await connection.run_sync(_revision, revision, message)
        await database.close()


def _revision(connection: Connection, revision: str, message: str) -> None:
    config = alembic_config()
    config.attributes.update(connection=connection, metadata=Base.metadata)
    command.revision(config, message=message, autogenerate=True, rev_id=revision)


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:3]))
