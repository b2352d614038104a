"""How commands speak: tables, notices in both languages, secrets handed out once."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import east_asian_width

from server.auth.models import Client
from server.auth.secret_files import make_secret_file
from server.cli.console import printable
from server.core.errors import AlreadyExists, Invalid
from server.core.i18n import Text


def say(zh: str, en: str) -> None:
    sys.stderr.write(printable(f"{zh} / {en}") + "\n")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns side by side; a Chinese character is two wide."""
    lines = [[printable(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def check_new(path: Path | None) -> None:
    """Before there is a key to put there. Raises AlreadyExists, Invalid where no file can be made."""
    if path is None:
        return
    if path.is_symlink() or path.exists():
        raise _there_already(path)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        raise Invalid(Text(f"文件夹 {path.parent} 不可写", f"the folder {path.parent} cannot be written"))


def _there_already(path: Path) -> AlreadyExists:
    return AlreadyExists(Text(f"文件 {path} 已存在", f"{path} exists already"))


def hand_out(text: str, path: Path | None) -> None:
    """Print a public key, or write it where nobody else reads it: whoever has it can be any user of its client."""
    if path is None:
        sys.stdout.write(text.rstrip() + "\n")
    elif not make_secret_file(path, text.rstrip()):
        raise _there_already(path)


def warn_if_disabled(client: Client) -> None:
    if not client.enabled:
        say(
            f"客户端 {client.id} 已停用，它的 token 会被拒绝（client enable 启用）",
            f"client {client.id} is disabled and its tokens are refused (client enable)",
        )


def read_stdin() -> str:
    return sys.stdin.read() if sys.stdin is not None else ""  # `<&-`
