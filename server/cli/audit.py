"""`audit`: what was changed about identities."""

import argparse
from typing import Any

from server.auth import management
from server.cli.arguments import command, count
from server.cli.operation import change
from server.cli.output import table
from server.core.settings import Settings


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    audit = command(commands, "audit", "what was changed about identities, the newest first", list_audit)
    audit.add_argument("--client")
    audit.add_argument("--limit", type=count, default=50)


def list_audit(settings: Settings, options: argparse.Namespace) -> int:
    rows = change(
        settings,
        lambda do: management.list_audit(do.session, options.client, offset=0, limit=options.limit),
    )
    table(
        ("at", "actor", "action", "client", "target", "detail"),
        [
            (
                f"{row.at:%F %T}",
                row.actor,
                row.action,
                row.client_id or "",
                row.target,
                " ".join(f"{key}={value}" for key, value in row.detail.items()),
            )
            for row in rows
        ],
    )
    return 0
