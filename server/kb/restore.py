"""A backup (backup.py) becomes a data folder again, one that is empty so far. The database comes last: without it nothing starts."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from server.core.errors import Invalid
from server.core.i18n import Text
from server.db.schema import is_known
from server.kb.backup import Manifest, copy_secrets, read_manifest
from server.kb.files import write_file


def restore(folder: Path, data_dir: Path, database: Path, tell: Callable[[int, int], object]) -> Manifest:
    """Blocks. Raises Invalid with the reason when it cannot be, before anything is written; OSError."""
    manifest = _check(folder, data_dir, database)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if (folder / "secrets").is_dir():
        copy_secrets(folder / "secrets", data_dir / "secrets")
    root, done = folder / "files", 0
    for path in sorted(root.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                write_file(data_dir / path.relative_to(root), file)
            done += 1
            tell(done, manifest.files)
    with (folder / manifest.database).open("rb") as file:
        write_file(database, file)
    database.chmod(0o600)
    return manifest


def _check(folder: Path, data_dir: Path, database: Path) -> Manifest:
    manifest = read_manifest(folder)
    copy = folder / manifest.database
    if not is_known(manifest.revision):
        raise Invalid(
            Text(
                f"该备份来自更新的版本 {manifest.version}，请用那个版本恢复",
                f"this backup is of a newer version, {manifest.version}: restore it with that one",
            )
        )
    if not copy.is_file() or _hash(copy) != manifest.database_sha256:
        raise Invalid(
            Text(
                f"备份里的数据库 {copy} 丢失或损坏，请用另一份备份",
                f"the backup's database {copy} is missing or damaged: use another backup",
            )
        )
    if database.exists() or (data_dir.exists() and any(data_dir.iterdir())):
        raise Invalid(
            Text(
                f"{data_dir} 正在使用或不是空文件夹：停止服务，把它移走，再恢复",
                f"{data_dir} is in use or not empty: stop the server, move it away, then restore",
            )
        )
    needed = manifest.bytes + copy.stat().st_size
    there = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if shutil.disk_usage(there).free < needed:
        raise Invalid(
            Text(
                f"磁盘空间不足：恢复需要 {needed // 1024**2 + 1} MB",
                f"not enough disk: the restore takes {needed // 1024**2 + 1} MB",
            )
        )
    return manifest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
