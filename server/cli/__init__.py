"""`python -m server …`: what an operator and the supervisor run. `python -m server --help` lists everything."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from server.cli import console
from server.core.configuration import load_settings
from server.core.errors import AppError, SettingsError
from server.core.logging import configure_logging
from server.core.settings import Settings

# Each command, and the module here that has it. To load them all takes longer than most commands do.
_MODULES = {
    "api": "serve",
    "worker": "serve",
    "client": "clients",
    "user": "users",
    "session": "users",
    "api-key": "api_keys",
    "kb": "knowledge_bases",
    "eval": "evaluation",
    "token": "tokens",
    "rekey": "master_key",
    "audit": "audit",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a refusal, 2 for wrong arguments, 3 for a wrong configuration."""
    console.prepare()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        console.check_arguments(given)
        options = parser_for(given).parse_args(given)
        if options.prints:
            console.check_output()
        settings = load_settings(options.config)
        configure_logging(settings.server.log_level, settings.server.log_format)
        run: Callable[[Settings, argparse.Namespace], int] = options.run
        status = run(settings, options)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where it is told when it fails
    except SettingsError as error:
        print(console.printable_lines(str(error)), file=sys.stderr)
        return 3
    except AppError as error:
        print(console.printable_lines(f"{error.text.zh}\n{error.text.en}"), file=sys.stderr)
        return 1
    except OSError as error:
        console.give_up_output()
        print(console.printable(f"{error.filename or '-'}: {error.strerror}"), file=sys.stderr)
        return 1
    return status


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """With the command that is given; with all of them where none is, so that help and errors name them."""
    parser = argparse.ArgumentParser(prog="python -m server", description="chat2llm")
    parser.add_argument(
        "-f", "--config", type=Path, metavar="FILE", help="ini file (default: configs/config.ini)"
    )
    parser.set_defaults(prints=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in load_commands(command_in(arguments)):
        module.add_commands(commands)
    return parser


def load_commands(name: str | None = None) -> list[ModuleType]:
    """The module of one command, or all."""
    names = [_MODULES[name]] if name in _MODULES else dict.fromkeys(_MODULES.values())
    return [importlib.import_module(f"server.cli.{name}") for name in names]


def command_in(arguments: Sequence[str]) -> str | None:
    """The first argument that is no option."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-f", "--config"):
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None
