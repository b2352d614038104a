"""The master keys that there are, and the one that opens what is sealed.

It comes from `[auth] master_key`, or from the file `master.key` that the first start makes. `rekey` leaves two more kinds
of files: `master.key.new` is on disk before anything is sealed with it, and takes the place of `master.key` after the
commit that sealed everything again (of a configured key, the operator puts it there); `master.key.DATE` is an earlier
one, which older backups of the database need. So there is always one that opens everything, whenever a crash comes:
whichever does is the right one. No file is ever written over or deleted.
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from server.auth.sealed import Sealed, list_sealed
from server.auth.secret_files import read_secret_file, write_secret_file
from server.auth.vault import Vault
from server.core.durable import sync_folder
from server.core.errors import SettingsError
from server.db.session import Database

log = logging.getLogger(__name__)

# Rows that a message names.
_NAMED = 5
_RULE = "a master key is 64 hexadecimal characters (openssl rand -hex 32)"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A master key, right or not."""

    vault: Vault
    # None: it is `[auth] master_key`.
    file: Path | None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All master keys that there are, the one that should be right first, then the newest first."""

    keys: list[KnownKey]
    data_dir: Path
    # Why the one that should be right is not among them, and whether it is just not there.
    problem: str | None
    is_missing: bool
    # Why other files are not among them.
    passed_over: list[str]

    def find_for(self, rows: Sequence[Sealed]) -> KnownKey | None:
        """The key that opens all of these; any where there are none, unless the one that should be right is broken."""
        if not rows and self.problem:
            return None
        return next((key for key in self.keys if all(row.opens_with(key.vault) for row in rows)), None)

    def refusal(self, rows: Sequence[Sealed]) -> SettingsError:
        """Why `find_for` found none, with the remedy."""
        if not rows:
            return SettingsError(self.problem or "")
        lost = [row for row in rows if self.find_for([row]) is None]
        if not lost:
            return SettingsError(
                f"{_names(rows)}: sealed with more than one master key; `python -m server rekey` seals all with a new one"
            )
        problems = [self.problem] if self.problem and not self.is_missing else []
        told = f" ({'; '.join([*problems, *self.passed_over])})" if problems or self.passed_over else ""
        path = master_key_file(self.data_dir)
        if len(lost) < len(rows):
            what = "were sealed with another master key that is gone, or are damaged"
            remedy = f"Put that key beside the other one as {path}.old and run `python -m server rekey`"
        else:
            what = "were sealed with a master key that is gone"
            remedy = f"Restore {path} (or AUTH__MASTER_KEY) from your backup"
        return SettingsError(
            f"{len(lost)} of {len(rows)} keys in the database {what}{told}: {_names(lost)}. {remedy}. "
            "Without a backup: `python -m server rekey --lost` gives new keys to these clients"
        )


def master_key_file(data_dir: Path) -> Path:
    return data_dir / "secrets" / "master.key"


def successor_file(data_dir: Path) -> Path:
    return master_key_file(data_dir).with_suffix(".key.new")


def parse_master_key(text: str, where: str) -> bytes:
    """The 32 bytes of a master key. Raises SettingsError that names `where`."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"{where}: {_RULE}")
    return key


def read_ring(configured: str | None, data_dir: Path) -> KeyRing:
    """`configured`: `[auth] master_key`, which comes first where there is one."""
    keys: list[KnownKey] = []
    passed_over: list[str] = []
    path, new = master_key_file(data_dir), successor_file(data_dir)
    problem, is_missing = None, False
    try:
        if configured is not None:
            keys.append(KnownKey(Vault(parse_master_key(configured, "[auth] master_key")), None))
        else:
            keys.append(_read(path))
    except FileNotFoundError:
        problem, is_missing = f"{path}: no master key yet; run `python init_db.py`, which makes it", True
    except SettingsError as error:
        problem = str(error)
    earlier = sorted(set(path.parent.glob(f"{path.name}.*")) - {new}, reverse=True)
    for file in (new, *earlier):
        try:
            keys.append(_read(file))
        except FileNotFoundError:
            continue
        except SettingsError as error:
            passed_over.append(str(error))
    return KeyRing(keys, data_dir, problem, is_missing, passed_over)


def _read(file: Path) -> KnownKey:
    return KnownKey(Vault(parse_master_key(read_secret_file(file, _RULE), str(file))), file)


async def open_vault(database: Database, configured: str | None, data_dir: Path) -> Vault:
    """Return the vault of the master key that sealed everything in the database.

    Raises SettingsError with the remedy when the key is missing, malformed or another one, or some rows do not open.
    """
    async with database.read() as session:
        rows = await list_sealed(session)
    found, ring = _find(rows, configured, data_dir)
    if found is None:
        # Another process may have finished a rekey that was cut short between our looks at two files.
        found, ring = _find(rows, configured, data_dir)
    if found is None:
        raise ring.refusal(rows)
    if found.file is not None and (configured is not None or found.file != master_key_file(data_dir)):
        _settle(found.file, configured, data_dir)
    for row in rows:
        if row.is_pepper:
            found.vault.use_pepper(row.open(found.vault))
    return found.vault


def _find(rows: Sequence[Sealed], configured: str | None, data_dir: Path) -> tuple[KnownKey | None, KeyRing]:
    ring = read_ring(configured, data_dir)
    return ring.find_for(rows), ring


def _settle(file: Path, configured: str | None, data_dir: Path) -> None:
    """Another key than the one that should be right is in force: put it there, or say who must."""
    if configured is not None:
        log.warning(
            "another master key is in force: set AUTH__MASTER_KEY to this file's content",
            extra={"file": str(file)},
        )
    elif file == successor_file(data_dir):
        try:
            take_over(data_dir, datetime.now(UTC))
        except FileNotFoundError:  # another process that starts did
            return
        except OSError as error:
            log.warning(
                "cannot move the master key in force", extra={"file": str(file), "reason": error.strerror}
            )
    else:
        log.warning(
            "an earlier master key is in force; `rekey` seals all with a new one", extra={"file": str(file)}
        )


def take_over(data_dir: Path, now: datetime) -> Path | None:
    """Put the successor in the place of `master.key`; returns where that is kept. Raises FileNotFoundError, OSError.

    Several processes may do so at once: at every moment the key in force is in one of the two files.
    """
    path, new = master_key_file(data_dir), successor_file(data_dir)
    kept = keep_copy(path, now) if new.exists() else None
    new.replace(path)
    sync_folder(path.parent)
    return kept


def keep_copy(file: Path, now: datetime) -> Path | None:
    """Copy a key to a file with the date in its name; returns it, None when there is nothing to copy."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    base = f"{master_key_file(file.parent.parent).name}.{now:%Y%m%d-%H%M%S}"
    for number in itertools.count(1):
        kept = file.with_name(base if number == 1 else f"{base}-{number}")
        if not kept.exists():
            write_secret_file(kept, content)
            return kept
        if kept.read_bytes() == content:
            return kept
    raise AssertionError


def _names(rows: Sequence[Sealed]) -> str:
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return ", ".join(row.name for row in rows[:_NAMED]) + more
