"""The terminal: what may come from it, and how things are shown there whatever they hold."""

import contextlib
import io
import os
import sys
import unicodedata
from pathlib import Path

from server.auth.api_token import FORBIDDEN_CATEGORIES
from server.core.errors import Invalid
from server.core.i18n import Text


def prepare() -> None:
    """Let no character of an output be one too many, also where the terminal has no Chinese, and none of an input."""
    if sys.stderr is None:  # `2>&-`
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (to the end of the process)
    for stream, errors in (
        (sys.stdin, "replace"),
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def check_arguments(arguments: list[str]) -> None:
    """Raises Invalid for bytes that are no UTF-8, as a GBK terminal sends them."""
    try:
        "".join(arguments).encode()
    except UnicodeEncodeError:
        raise Invalid(
            Text(
                "参数不是 UTF-8：请把终端的编码设为 UTF-8",
                "an argument is not UTF-8: set the terminal to UTF-8",
            )
        ) from None


def check_output() -> None:
    """Raises Invalid where nobody would see what a command prints: some things are shown once only."""
    if sys.stdout is None:  # `>&-`
        raise Invalid(Text("标准输出已关闭，命令没有执行", "the standard output is closed; nothing was done"))


def give_up_output() -> None:
    """The other end is gone or full: what is left goes nowhere, without a word at the end of the process."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    """One line, in which a terminal finds nothing to obey: `\\x1b` for an escape, `\\n` for a new line."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in FORBIDDEN_CATEGORIES
        else character
        for character in text
    )


def printable_lines(text: str) -> str:
    """The same for several lines."""
    return "\n".join(map(printable, text.split("\n")))
