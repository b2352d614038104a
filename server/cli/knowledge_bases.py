"""`kb …`: which knowledge bases a client has, and who sees them."""

import argparse
from typing import Any

from server.cli.arguments import group_of, of_client
from server.cli.operation import change
from server.cli.output import say, table
from server.core.settings import Settings
from server.kb import sharing


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


def list_knowledge_bases(settings: Settings, options: argparse.Namespace) -> int:
    rows = change(settings, lambda do: sharing.list_own(do.session, options.client))
    table(
        ("name", "documents", "seen by", "model", "title"),
        [
            (kb.name, count, "everybody" if kb.shared else "its client", kb.embed_model, kb.zh_name)
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
