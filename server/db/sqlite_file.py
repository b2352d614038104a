"""SQLite's file as a whole: is it sound, and a copy of it while others write. Both block."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from server.core.durable import sync_folder
from server.db.session import Database

# Bytes of a file that is looked through at each start: half a second. Of larger ones `kb verify` does it.
LOOKED_THROUGH = 256 * 1024**2
# Faults that are looked for at most.
_MOST = 20


def file_of(database: Database) -> Path | None:
    """Where the database is; None when it is none in a file."""
    name = database.url.database
    is_file = database.url.get_backend_name() == "sqlite" and name and name != ":memory:"
    return Path(name) if is_file and name else None


def find_damage(path: Path, *, quick: bool = False) -> list[str]:
    """What SQLite says is wrong with a file; reads all of it. `quick`: without comparing indexes with their tables."""
    try:
        with closing(_open(path)) as connection:
            check = "quick_check" if quick else "integrity_check"
            rows = connection.execute(f"PRAGMA {check}({_MOST})").fetchall()
            found = [str(row[0]) for row in rows if row[0] != "ok"]
            if not quick:
                found += [f"{row[0]}: {row[1]}" for row in connection.execute("PRAGMA foreign_key_check")]
            return found[:_MOST]
    except sqlite3.OperationalError:  # held, away: nothing is said of its soundness
        raise
    except sqlite3.DatabaseError as error:
        return [str(error)]


def copy_database(source: Path, target: Path) -> None:
    """A copy as of one moment, safe on disk; whoever writes meanwhile does not wait."""
    target.unlink(missing_ok=True)
    with closing(_open(source)) as reading, closing(sqlite3.connect(target)) as writing:
        # All pages in one step: in steps it would begin anew with each commit of others.
        reading.backup(writing, pages=-1)
        # One file, with nothing beside it.
        writing.execute("PRAGMA journal_mode=DELETE")
    with target.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(target.parent)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)
