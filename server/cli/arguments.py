"""What the parsers of commands share."""

import argparse
import re
from collections.abc import Callable
from typing import Any

from server.core.settings import Settings

Run = Callable[[Settings, argparse.Namespace], int]


def group_of(commands: Any, name: str, words: str) -> Any:
    return commands.add_parser(name, help=words).add_subparsers(required=True, metavar="COMMAND")


def command(group: Any, name: str, words: str, run: Run) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=words, description=words)
    parser.set_defaults(run=run, prints=True)
    return parser


def of_client(group: Any, name: str, words: str, run: Run) -> argparse.ArgumentParser:
    parser = command(group, name, words, run)
    parser.add_argument("--client", required=True)
    return parser


def count(text: str) -> int:
    if not (re.fullmatch("[0-9]{1,7}", text) and int(text)):
        raise argparse.ArgumentTypeError("write a whole number from 1 to 9999999")
    return int(text)
