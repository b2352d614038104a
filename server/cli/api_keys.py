"""`api-key …`: keys for programs."""

import argparse
import sys
from typing import Any

from server.auth import management, service
from server.cli.arguments import command, group_of, of_client
from server.cli.operation import change
from server.cli.output import say, table
from server.core.settings import Settings


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    group = group_of(commands, "api-key", "keys for programs")
    add = of_client(group, "add", "add a key; prints it once", add_api_key)
    add.add_argument(
        "--scopes", default="chat,kb:read", help="of chat, kb:read, kb:write, usage, vouch, admin; by commas"
    )
    command(group, "list", "api keys, without their secrets", list_api_keys).add_argument("--client")
    command(group, "revoke", "end a key", revoke_api_key).add_argument("id", help="see `api-key list`")


def add_api_key(settings: Settings, options: argparse.Namespace) -> int:
    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    sys.stdout.write(
        change(settings, lambda do: service.add_api_key(do.session, do.vault, options.client, scopes, do.now))
        + "\n"
    )
    say("请立即保存，之后不再显示", "save it now, it is not shown again")
    return 0


def list_api_keys(settings: Settings, options: argparse.Namespace) -> int:
    keys = change(settings, lambda do: management.list_api_keys(do.session, options.client))
    table(
        ("id", "client", "ends in", "scopes", "state", "since"),
        [
            (
                key.id,
                key.client_id,
                f"…{key.last4}",
                ",".join(key.scopes),
                "enabled" if key.enabled else "revoked",
                f"{key.created_at:%F %R}",
            )
            for key in keys
        ],
    )
    return 0


def revoke_api_key(settings: Settings, options: argparse.Namespace) -> int:
    change(settings, lambda do: management.revoke_api_key(do.session, do.actor, options.id, do.now))
    say(f"API 密钥 {options.id} 已作废", f"api key {options.id} is revoked")
    return 0
