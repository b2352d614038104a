"""Files with a secret: one line of ASCII that only its owner reads, whole or not there after a crash."""

import logging
import os
import secrets
import stat
from pathlib import Path

from server.core.durable import sync_folder
from server.core.errors import SettingsError

log = logging.getLogger(__name__)


def read_secret_file(path: Path, remedy: str) -> str:
    """The text without the line's end; warns when others may read it too.

    Raises FileNotFoundError, and SettingsError, which ends in `remedy`, when it cannot be read or is no text.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; correct its permissions; {remedy}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not plain ASCII text (a byte-order mark?); {remedy}") from error
    if mode & 0o077:
        log.warning(
            "others may read this secret file: chmod 600", extra={"file": str(path), "mode": f"{mode:04o}"}
        )
    return text


def make_secret_file(path: Path, text: str) -> bool:
    """Write `text` to a new file; return False when the file is there already. It is on disk then."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        return False
    content = text.encode("ascii") + b"\n"
    draft = _write_draft(path, content)
    try:
        os.link(draft, path)  # of two at once the second one fails, as a rename would not
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        _write_new(path, content)
    finally:
        draft.unlink()
    sync_folder(path.parent)
    return True


def write_secret_file(path: Path, content: bytes) -> None:
    """Write a file, in place of one that may be there. It is on disk then."""
    _write_draft(path, content).replace(path)
    sync_folder(path.parent)


def _write_draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write_new(draft, content)
    return draft


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
