"""`python -m server …`: what an operator and the supervisor run. `python -m server --help` lists everything."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from server.cli import (
    api_keys,
    audit,
    clients,
    console,
    evaluation,
    knowledge_bases,
    master_key,
    serve,
    tokens,
    users,
)
from server.core.configuration import load_settings
from server.core.errors import AppError, SettingsError
from server.core.logging import configure_logging
from server.core.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a refusal, 2 for wrong arguments, 3 for a wrong configuration."""
    console.prepare()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        console.check_arguments(given)
        options = _parser().parse_args(given)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server", description="chat2llm")
    parser.add_argument(
        "-f", "--config", type=Path, metavar="FILE", help="ini file (default: configs/config.ini)"
    )
    parser.set_defaults(prints=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (serve, clients, users, api_keys, knowledge_bases, evaluation, tokens, master_key, audit):
        module.add_commands(commands)
    return parser
