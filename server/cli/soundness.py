"""`kb verify` and `kb repair`: does everything agree that must, and what can be done where it does not."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tqdm import tqdm

from server.auth.foundation import Foundation
from server.cli.arguments import command
from server.cli.console import printable
from server.cli.existing import open_existing
from server.cli.output import say
from server.core.settings import Settings
from server.kb.faults import Finding
from server.kb.files import FileStore
from server.kb.mending import DONE, Mender
from server.kb.verify import Progress, Verifier


def add_commands(group: Any) -> None:
    """`group`: of `kb`."""
    for name, words, run in (
        ("verify", "read everything that is kept and compare it: rows, files, vectors, words, jobs", verify),
        ("repair", "the same, and mend what can be mended without loss", repair),
    ):
        parser = command(group, name, words, run)
        parser.add_argument("--quick", action="store_true", help="only look whether files are there")
        parser.add_argument("--json", action="store_true", help="print one JSON object")


def verify(settings: Settings, options: argparse.Namespace) -> int:
    """0 when all is well, 1 otherwise."""
    return asyncio.run(check(settings, quick=options.quick, as_json=options.json))


async def check(settings: Settings, *, quick: bool, as_json: bool = False) -> int:
    """The same, while something else goes on."""
    async with _opened(settings) as (foundation, files):
        found, seen = await _look(foundation, files, quick=quick)
    faults = [one for one in found if one.is_fault]
    if as_json:
        print(json.dumps({"documents": seen, "faults": len(faults), "findings": list(map(_object, found))}))
    else:
        for one in found:
            print(_line(one))
        if faults:
            say(f"共 {seen} 个文档，发现 {len(faults)} 个问题", f"{seen} documents, {len(faults)} faults")
        else:
            say(f"共 {seen} 个文档，一切正常", f"{seen} documents, all is well")
    return 1 if faults else 0


def repair(settings: Settings, options: argparse.Namespace) -> int:
    """0 when nothing is left to do for people, 1 otherwise."""
    return asyncio.run(_repair(settings, options))


async def _repair(settings: Settings, options: argparse.Namespace) -> int:
    async with _opened(settings) as (foundation, files):
        found, seen = await _look(foundation, files, quick=options.quick)
        mended = await Mender(foundation.database, files, foundation.runtime).mend(found)
    left = [one for one, is_done in mended if not is_done]
    if options.json:
        told = [_object(one) | {"done": is_done} for one, is_done in mended]
        print(json.dumps({"documents": seen, "left": len(left), "findings": told}))
    else:
        for one, is_done in mended:
            done = DONE.get(one.mend) if is_done else None
            print(
                f"{_line(one)} → {done.zh} / {done.en}"
                if done
                else f"{_line(one)} → 需人工处理 / left to you"
            )
        say(
            f"共 {seen} 个文档，{len(mended) - len(left)} 个问题已处理，{len(left)} 个需人工处理；"
            "排队的由运行中的服务处理",
            f"{seen} documents, {len(mended) - len(left)} faults dealt with, {len(left)} left to you; the running server does "
            "what is queued",
        )
    return 1 if left else 0


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Foundation, FileStore]]:
    async with open_existing(settings) as foundation:
        yield foundation, FileStore(settings.server.data_dir)


async def _look(foundation: Foundation, files: FileStore, *, quick: bool) -> tuple[list[Finding], int]:
    """All that is found, with a bar to look at, and how many documents were looked at."""
    progress = Progress()
    with tqdm(unit="file", desc="verify", disable=None) as bar:

        def show(now: Progress) -> None:
            nonlocal progress
            progress, bar.total = now, now.total
            bar.update(now.done - bar.n)

        verifier = Verifier(foundation.database, files, foundation.runtime)
        found = [one async for one in verifier.run(show, quick=quick)]
    return found, progress.done


def _line(one: Finding) -> str:
    where = "/".join(filter(None, (one.kb, one.file))) or one.path
    return printable(f"{one.code}  {where}  {one.text.zh} / {one.text.en}")


def _object(one: Finding) -> dict[str, Any]:
    return {
        "code": one.code,
        "fault": one.is_fault,
        "repair": str(one.mend),
        "knowledge_base": one.kb,
        "kb_id": one.kb_id,
        "file_name": one.file,
        "document_id": one.document_id,
        "path": one.path,
        "text": one.text.to_json(),
    }
