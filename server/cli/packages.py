"""`kb export` and `kb import`: a knowledge base as one file, to be kept or taken elsewhere."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from tqdm import tqdm

from server.auth.audit import CLI, audit
from server.auth.management import get_client
from server.cli.arguments import of_client
from server.cli.intake import operator
from server.cli.output import check_new, say
from server.core.settings import Settings
from server.kb.package_import import Imported
from server.services import Services, open_services


def add_commands(group: Any) -> None:
    """`group`: that of `kb`."""
    parser = of_client(
        group, "export", "write it into one file: documents, passages, vectors, questions", export
    )
    parser.add_argument("name", help="see `kb list`")
    parser.add_argument("file", type=Path, help="a new zip")
    parser = of_client(group, "import", "make a knowledge base of such a file", import_package)
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", help="another name than it had")


def export(settings: Settings, options: argparse.Namespace) -> int:
    check_new(options.file)
    asyncio.run(_export(settings, options.client, options.name, options.file))
    say(f"知识库 {options.name} 已导出到 {options.file}", f"exported to {options.file}")
    return 0


async def _export(settings: Settings, client: str, name: str, target: Path) -> None:
    async with open_services(settings, engine=False) as services:
        await _note(services, client, "kb.export", name)
        snapshot = await services.exports.begin(operator(client), name)
        # Under its name only when it is whole.
        unfinished = target.with_name(target.name + ".part")
        try:
            with (
                unfinished.open("wb") as file,
                tqdm(unit="B", unit_scale=True, desc=name, disable=None) as bar,
            ):
                async for piece in services.exports.stream(snapshot):
                    await services.runtime.lanes.run("io", file.write, piece)
                    bar.update(len(piece))
            unfinished.rename(target)
        finally:
            unfinished.unlink(missing_ok=True)
            await services.exports.drop(snapshot)


def import_package(settings: Settings, options: argparse.Namespace) -> int:
    imported = asyncio.run(_import(settings, options.client, options.file, options.name))
    name, number = imported.kb.name, imported.documents
    if imported.waiting:
        waiting = len(imported.waiting)
        say(
            f"已导入知识库 {name}（{number} 个文件），其中 {waiting} 个由后台重新处理",
            f"imported {name}, {number} documents; {waiting} of them are read again by the worker",
        )
    else:
        say(
            f"已导入知识库 {name}（{number} 个文件），无需重新向量化",
            f"imported {name}, {number} documents, as they were",
        )
    return 0


async def _import(settings: Settings, client: str, path: Path, name: str | None) -> Imported:
    async with open_services(settings, engine=False) as services:
        await _note(services, client, "kb.import", path.name)
        with path.open("rb") as file:
            return await services.imports.take(operator(client), file, name)


async def _note(services: Services, client: str, action: str, name: str) -> None:
    async with services.database.write() as session:
        await get_client(session, client)
        audit(session, services.runtime.clock.now(), CLI, action, client, name)
