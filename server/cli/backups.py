"""`kb backup` and `kb restore`: all that the server keeps, in a folder, and back."""

import argparse
import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from server.cli.arguments import command
from server.cli.console import printable
from server.cli.existing import open_existing
from server.cli.output import say
from server.cli.soundness import check
from server.core.errors import Invalid
from server.core.settings import Settings
from server.db.session import Database
from server.db.sqlite_file import file_of
from server.db.upgrading import upgrade_schema
from server.kb.backup import OTHER_DATABASES, Backups, Made
from server.kb.files import FileStore
from server.kb.restore import restore


def add_commands(group: Any) -> None:
    """`group`: of `kb`."""
    parser = command(
        group, "backup", "copy everything to a folder while the server runs; what is there is kept", backup
    )
    parser.add_argument("folder", type=Path, help="empty, or with an earlier backup")
    parser.add_argument(
        "--link",
        action="store_true",
        help="on the same disk: second names for files instead of copies (quick; copy the folder elsewhere then)",
    )
    parser.add_argument(
        "--without-secrets", action="store_true", help="leave the master key out; keep it elsewhere"
    )
    parser = command(
        group, "restore", "make an empty data folder what a backup says, and check it", bring_back
    )
    parser.add_argument("folder", type=Path, help="what `kb backup` made")


def backup(settings: Settings, options: argparse.Namespace) -> int:
    """0 when the backup is whole, 1 when files lack that lack in the server as well."""
    made = asyncio.run(_backup(settings, options))
    for code, paths in (("missing", made.missing), ("damaged", made.damaged)):
        for path in paths:
            print(printable(f"{code}  {path}"))
    megabytes = round(made.bytes / 1024**2)
    say(
        f"已备份到 {options.folder}：{made.documents} 个文档，{made.files} 个文件共 {megabytes} MB，其中新复制 {made.copied} 个",
        f"backed up to {options.folder}: {made.documents} documents, {made.files} files of {megabytes} MB, {made.copied} of them new",
    )
    if made.missing or made.damaged:
        say(
            "有文件在服务器上就已丢失或损坏：运行 kb verify 查看",
            "files are missing or damaged in the server itself: see `kb verify`",
        )
        return 1
    return 0


async def _backup(settings: Settings, options: argparse.Namespace) -> Made:
    async with open_existing(settings) as foundation:
        files = FileStore(settings.server.data_dir)
        with _bar("backup") as show:
            return await Backups(foundation.database, files, foundation.runtime).make(
                options.folder, show, link=options.link, keys=not options.without_secrets
            )


def bring_back(settings: Settings, options: argparse.Namespace) -> int:
    """0 when what came back is sound."""
    return asyncio.run(_bring_back(settings, options.folder))


async def _bring_back(settings: Settings, folder: Path) -> int:
    database = Database(settings.database_url, settings.database)
    try:
        path = file_of(database)
        if path is None:
            raise Invalid(OTHER_DATABASES)
        with _bar("restore") as show:
            manifest = await asyncio.to_thread(restore, folder, settings.server.data_dir, path, show)
        await upgrade_schema(database)
    finally:
        await database.close()
    say(
        f"已恢复 {manifest.made_at} 的备份，正在检查",
        f"the backup of {manifest.made_at} is back; it is checked now",
    )
    return await check(settings, quick=False)


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], object]]:
    with tqdm(unit="file", desc=words, disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
