"""Create or upgrade the database and the first things in it; import, rebuild and tidy up knowledge bases.

    python init_db.py                    everything that is missing; harmless to repeat
    python init_db.py --no-samples       the same without the sample knowledge base
    python init_db.py --samples          make the sample knowledge base again, after it was deleted
    python init_db.py --import-db FILE   take over what a chat2llm of old has in SQLite
    python init_db.py -i                 take in what lies in DATA_DIR/import/<knowledge base>/ and is not there yet
    python init_db.py -r -n handbook     read all its documents again

Clients, users and chats that are there are never touched, but by --clear-tables --yes-really.
The exit status is 0, 1 when something was refused or not taken, 2 for a wrong command line, 3 for a wrong configuration.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from server.cli.prepare import prepare
from server.cli.task import Task
from server.core.configuration import load_settings
from server.core.errors import AppError, SettingsError
from server.core.logging import configure_logging
from server.core.settings import Settings


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Create or upgrade the database; import, rebuild and tidy up knowledge bases.",
        epilog="Several may be given; their order: clear, import, take in new files, update, recreate, prune.",
    )
    add = parser.add_argument
    add("-f", "--config", type=Path, metavar="FILE", help="ini file (default: configs/config.ini)")
    words = "make the sample knowledge base (default: with the first start only)"
    add("--samples", action=argparse.BooleanOptionalAction, default=None, help=words)
    add(
        "--create-tables",
        action="store_true",
        help="create or upgrade the tables and the first secrets, no samples",
    )
    add(
        "--clear-tables",
        action="store_true",
        help="delete all knowledge bases, documents and recommended questions",
    )
    add(
        "--yes-really",
        action="store_true",
        help="with --clear-tables: clients, users, chats and everything else too",
    )
    add(
        "--import-db", type=Path, metavar="FILE", help="take over chat2llm's SQLite database; may be repeated"
    )
    add("-r", "--recreate-vs", action="store_true", help="take in new files and read every document again")
    add("-u", "--update-in-db", action="store_true", help="read the documents again, changed files anew")
    add("-i", "--increment", "--increament", action="store_true", help="take in files that are not there yet")
    add("--prune-db", action="store_true", help="delete documents whose file is gone")
    add("--prune-folder", action="store_true", help="set files aside that no document is of, for a week")
    add("-n", "--kb-name", nargs="+", metavar="NAME", help="these knowledge bases only")
    add("-e", "--embed-model", metavar="NAME", help="embedding model of new and of rebuilt knowledge bases")
    add("--content", type=Path, metavar="FOLDER", help="where the files are: FOLDER/<knowledge base>/…")
    add("--client", metavar="ID", help="whose knowledge bases (default: all; new ones the demo client's)")
    add("--private", action="store_true", help="new knowledge bases for readers of their client only")
    options = parser.parse_args(arguments)
    if options.yes_really and not options.clear_tables:
        parser.error("--yes-really goes with --clear-tables")
    return options


def main() -> int:
    options = parse()
    try:
        settings = load_settings(options.config)
        return run(settings, Task.of(options), samples=options.samples)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 3
    except AppError as error:
        print(f"{error.text.zh}\n{error.text.en}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def run(settings: Settings, task: Task, *, samples: bool | None) -> int:
    """Returns the exit status. Raises SettingsError, AppError."""
    configure_logging("warning", settings.server.log_format)
    try:
        asyncio.run(prepare(settings, samples=False if samples is None and task.is_any else samples))
        print("tables, first secrets and the demo client: ready")
        for note in task.idle:
            print(f"note: {note}")
        if not task.is_any:
            return 0
        from server.cli.maintenance import maintain  # and with it the whole server, for a second

        return asyncio.run(maintain(settings, task))
    except OSError as error:
        where = "[server] data_dir: " if _is_in(settings.server.data_dir, error.filename) else ""
        print(f"{where}{error.filename}: {error.strerror}; correct it, or its permissions", file=sys.stderr)
        return 3


def _is_in(folder: Path, name: object) -> bool:
    return isinstance(name, str) and Path(name).absolute().is_relative_to(folder.absolute())


if __name__ == "__main__":
    sys.exit(main())
