"""`kb …`: which knowledge bases a client has, who sees them, their index of words, what counts as found; and all that soundness.py and
backups.py do."""

import argparse
import asyncio
from typing import Any

from tqdm import tqdm

from server.auth.audit import CLI, audit
from server.auth.management import get_client
from server.cli import backups, packages, soundness
from server.cli.arguments import command, count, group_of, of_client
from server.cli.intake import operator
from server.cli.moving import move
from server.cli.operation import change
from server.cli.output import say, table
from server.core.settings import Settings
from server.kb import sharing
from server.kb.vectorstores import VECTOR_STORES
from server.kb.word_indexing import begin_again
from server.services import open_services


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    group = group_of(commands, "kb", "knowledge bases, and who sees them")
    of_client(group, "list", "a client's own knowledge bases", list_knowledge_bases)
    for name, words, shared in (
        ("share", "let readers of every client search and download it, the demo's visitors too", True),
        ("unshare", "only its own client's readers again", False),
    ):
        parser = of_client(group, name, words, share)
        parser.set_defaults(shared=shared)
        parser.add_argument("name", help="see `kb list`")
    parser = command(
        group,
        "move",
        "search it in another store of vectors; goes on where an earlier attempt broke off",
        move,
    )
    parser.add_argument("name", help="see `kb list`")
    parser.add_argument("--to", required=True, choices=VECTOR_STORES)
    parser.add_argument("--client", help="whose it is, where several have one of this name")
    parser = of_client(group, "reindex", "find its passages' words anew; the worker does it", reindex)
    parser.add_argument("name", help="see `kb list`")
    parser = of_client(
        group, "calibrate", "measure from its own passages what counts as found; takes minutes", calibrate
    )
    parser.add_argument("name", help="see `kb list`")
    parser.add_argument(
        "--count", type=count, default=200, help="questions to make of passages (default 200)"
    )
    soundness.add_commands(group)
    backups.add_commands(group)
    packages.add_commands(group)


def list_knowledge_bases(settings: Settings, options: argparse.Namespace) -> int:
    rows = change(settings, lambda do: sharing.list_own(do.session, options.client))
    table(
        ("name", "documents", "seen by", "model", "store", "title"),
        [
            (
                kb.name,
                count,
                "everybody" if kb.shared else "its client",
                kb.embed_model,
                kb.vector_store,
                kb.zh_name,
            )
            for kb, count in rows
        ],
    )
    return 0


def share(settings: Settings, options: argparse.Namespace) -> int:
    change(
        settings,
        lambda do: sharing.set_shared(
            do.session, do.actor, options.client, options.name, do.now, shared=options.shared
        ),
    )
    say(
        f"知识库 {options.name} {'已共享给所有客户端的读者' if options.shared else '只给自己客户端的读者'}",
        "shared with the readers of all clients" if options.shared else "for its own client's readers only",
    )
    return 0


def reindex(settings: Settings, options: argparse.Namespace) -> int:
    change(settings, lambda do: begin_again(do.session, do.actor, options.client, options.name, do.now))
    say(
        f"知识库 {options.name} 的词语索引将由后台重建；在此之前仍可按语义搜索",
        "the worker builds the index of words again; until then passages are found by their meaning",
    )
    return 0


def calibrate(settings: Settings, options: argparse.Namespace) -> int:
    kept = asyncio.run(_calibrate(settings, options))
    refused = kept["refused"]
    share_zh = "" if refused is None else f"；拿别的文件的句子来问，{refused:.0%} 不再有命中"
    share_en = "" if refused is None else f"; of sentences from other files, {refused:.0%} find nothing now"
    say(
        f"知识库 {options.name} 已校准：匹配程度低于 {kept['floor']:g} 的段落不算命中{share_zh}",
        f"calibrated by {kept['by']}: what is worth less than {kept['floor']:g} does not count{share_en}",
    )
    return 0


async def _calibrate(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    async with open_services(settings, engine=False) as services:
        async with services.database.write() as session:
            await get_client(session, options.client)
            audit(session, services.runtime.clock.now(), CLI, "kb.calibrate", options.client, options.name)
        with tqdm(total=options.count, unit="question", disable=None) as bar:
            return await services.kb.calibrator.calibrate(
                operator(options.client), options.name, options.count, bar.update
            )
