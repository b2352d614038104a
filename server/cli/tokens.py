"""`token …`: api_tokens, as a client's own system makes them."""

import argparse
import sys
from typing import Any

from server.auth import inspection, management, service
from server.auth.models import Client
from server.cli.arguments import command, group_of, of_client
from server.cli.console import printable
from server.cli.operation import Do, change
from server.cli.output import read_stdin, warn_if_disabled
from server.core.settings import Settings


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    group = group_of(commands, "token", "api_tokens, as a client's own system makes them")
    make = of_client(group, "make", "make a token for a user; prints it", make_token)
    make.add_argument("--user", required=True)
    make.add_argument("--name", default="", help="the name that is shown")
    inspect = command(
        group, "inspect", "say step by step what a token is and why it would be refused", inspect_token
    )
    inspect.add_argument("token", help="the token, or - to read it from the standard input")


def make_token(settings: Settings, options: argparse.Namespace) -> int:
    async def make(do: Do) -> tuple[str, Client]:
        made = await service.make_token(do.session, options.client, options.user, options.name, do.now)
        return made, await management.get_client(do.session, options.client)

    token, client = change(settings, make)
    sys.stdout.write(token + "\n")
    warn_if_disabled(client)
    return 0


def inspect_token(settings: Settings, options: argparse.Namespace) -> int:
    token = (read_stdin() if options.token == "-" else options.token).strip()  # noqa: S105 (no secret: "read stdin")
    steps = change(
        settings,
        lambda do: inspection.inspect_token(do.session, do.vault, do.lanes, token, settings.auth, do.now),
    )
    for step in steps:
        found = printable(f"{step.found.zh} / {step.found.en}")
        sys.stdout.write(f"{'✓' if step.passed else '✗'} {step.name:<10} {found}\n")
    return 0 if all(step.passed for step in steps) else 1
