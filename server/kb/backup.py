"""A copy of all that a server with SQLite keeps, made while it writes.

    FOLDER/backup.json               what this is; written last, so that a backup is whole or not there
    FOLDER/info-<time>.db            the database as of one moment
    FOLDER/files/<kb id>/…           uploaded files and vectors, as in the data folder
    FOLDER/secrets/                  the master key and the demo's passphrase

Files are written once, before the row that names them, and go after the commit that deletes it. So neither order is right by itself:
files that come after they were copied lack in a copy of the database that is made later, and files that go lack in one made before. Here
files are copied first, which takes long, then the database, then what that names and is not there yet, which is little. If one of these
has gone in between, the last two steps are done again. A later backup into the same folder copies what is new.
"""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from server import VERSION
from server.core.durable import sync_folder
from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.runtime import Runtime
from server.core.settings import DatabaseSettings
from server.db.schema import find_revision
from server.db.session import Database
from server.db.sqlite_file import copy_database, file_of
from server.kb import verify_repository
from server.kb.files import FileStore, write_file
from server.kb.models import Document, DocumentState

FORMAT = 1
_MANIFEST, _MARK = "backup.json", ".chat2llm-backup"
_TRIES = 5
_PAGE = 500
_UNREAD = (
    DocumentState.WAITING,
    DocumentState.PARSING,
    DocumentState.EMBEDDING,
    DocumentState.FAILED,
    DocumentState.STORED,
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    version: str
    revision: str
    made_at: str
    database: str
    database_sha256: str
    documents: int
    files: int
    bytes: int
    format: int = FORMAT


@dataclass
class Made:
    """What was done, and which files were not as they should be: relative paths."""

    documents: int = 0
    files: int = 0
    bytes: int = 0
    copied: int = 0
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Named:
    """A file that a document's row names."""

    path: str
    sha256: str
    # Can the document do without?
    is_needed: bool


Tell = Callable[[int, int], object]


class Backups:
    """Makes them."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime) -> None:
        self._database, self._files = database, files
        self._lanes, self._clock = runtime.lanes, runtime.clock

    async def make(
        self, folder: Path, tell: Tell = lambda *_: None, *, link: bool = False, keys: bool = True
    ) -> Made:
        """Back up into a folder that is empty, or has a backup of ours. `link`: files stand under a second name instead of being copied.

        Raises Invalid, OSError.
        """
        source = file_of(self._database)
        if source is None:
            raise Invalid(OTHER_DATABASES)
        await self._lanes.run("io", _check_folder, folder, self._files.data_dir)
        copier = _Copier(self._files.data_dir, folder / "files", link=link)
        made = Made()
        await self._copy(copier, self._database, made, tell)
        for _ in range(_TRIES):
            copied = made.copied
            made = Made(copied=copied, damaged=made.damaged)
            copy = folder / f"info-{self._clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}.db"
            await self._lanes.run("io", copy_database, source, copy)
            await self._lanes.run("io", copy.chmod, 0o600)
            revision = await self._of_copy(copier, copy, made, tell)
            if not made.missing:
                break
            await asyncio.sleep(0.2)
        if keys:
            secret = self._files.data_dir / "secrets"
            await self._lanes.run("io", copy_secrets, secret, folder / "secrets")
        await self._lanes.run("io", self._finish, copy, revision, made)
        await self._lanes.run("io", copier.remove_others)
        return made

    async def _of_copy(self, copier: "_Copier", copy: Path, made: Made, tell: Tell) -> str:
        database = Database(f"sqlite:///{copy}", DatabaseSettings())
        try:
            await self._copy(copier, database, made, tell)
            return await find_revision(database) or ""
        finally:
            await database.close()

    async def _copy(self, copier: "_Copier", database: Database, made: Made, tell: Tell) -> None:
        """Copy what a database names."""
        async with database.read() as session:
            kbs = [kb.id for kb in await verify_repository.list_all_kbs(session)]
            total = await verify_repository.count_documents(session)
        for kb_id in kbs:
            after = ""
            while True:
                async with database.read() as session:
                    page = await verify_repository.list_documents_from(session, kb_id, after, _PAGE)
                if not page:
                    break
                after = page[-1].id
                await self._lanes.run("io", copier.copy_all, page, made)
                made.documents += len(page)
                tell(made.documents, total)

    def _finish(self, copy: Path, revision: str, made: Made) -> None:
        """From here on this is the backup, and not the one before."""
        manifest = Manifest(
            version=VERSION,
            revision=revision,
            made_at=self._clock.now().isoformat(timespec="seconds"),
            database=copy.name,
            database_sha256=self._files.hash_file(copy),
            documents=made.documents,
            files=made.files,
            bytes=made.bytes,
        )
        write_manifest(copy.parent, manifest)
        for old in copy.parent.glob("info-*.db*"):
            if old.name != copy.name:
                old.unlink(missing_ok=True)


class _Copier:
    """Copies files of documents that are not in the backup yet. Blocks."""

    def __init__(self, source: Path, target: Path, *, link: bool) -> None:
        self._source, self._target, self._link = source, target, link
        self._named: set[str] = set()

    def copy_all(self, documents: list[Document], made: Made) -> None:
        for document in documents:
            for named in self._names(document):
                self._copy(named, made)

    def _names(self, document: Document) -> Iterator[Named]:
        kb_id, is_read = document.kb_id, document.state not in _UNREAD
        yield Named(f"{kb_id}/content/{document.id}{document.suffix}", document.sha256, is_needed=True)
        if document.segment:
            # Whatever model's it is.
            places = [
                path.parent.name
                for root in (self._source, self._target)
                for path in (root / kb_id / "vector_store").glob(f"*/{document.segment}")
            ]
            place = places[0] if places else "unknown"
            path = f"{kb_id}/vector_store/{place}/{document.segment}"
            yield Named(path, document.segment_sha256 or "", is_needed=is_read)

    def _copy(self, named: Named, made: Made) -> None:
        target = self._target / named.path
        try:
            if not target.exists():
                self._bring(self._source / named.path, target, named, made)
            made.bytes += target.stat().st_size
        except FileNotFoundError:
            if named.is_needed:
                made.missing.append(named.path)
            return
        made.files += 1
        self._named.add(named.path)

    def _bring(self, source: Path, target: Path, named: Named, made: Made) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            if self._link and _linked(source, target):
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            else:
                sha256, _ = write_file(target, file)
        made.copied += 1
        if sha256 != named.sha256:
            made.damaged.append(named.path)

    def remove_others(self) -> None:
        """What only earlier backups had."""
        for path in self._target.rglob("*"):
            if path.is_file() and path.relative_to(self._target).as_posix() not in self._named:
                path.unlink()


def _linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or a file system without
        return False
    sync_folder(target.parent)
    return True


def _check_folder(folder: Path, data_dir: Path) -> None:
    if folder.resolve().is_relative_to(data_dir.resolve()):
        raise Invalid(
            Text(
                f"备份不能放在数据目录 {data_dir} 里面",
                f"a backup cannot be inside of what it is of, {data_dir}",
            )
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()) and not (folder / _MARK).exists():
        raise Invalid(
            Text(
                f"{folder} 不是空文件夹，也不是以前的备份；请换一个",
                f"{folder} is neither empty nor an earlier backup; choose another",
            )
        )
    (folder / _MARK).touch()


def copy_secrets(source: Path, target: Path) -> None:
    """The files of a folder of secrets, for their owner alone."""
    target.mkdir(exist_ok=True, mode=0o700)
    for path in sorted(source.glob("*")):
        if path.is_file() and path.suffix != ".tmp":
            temporary = target / f"{path.name}.tmp"
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as writing, path.open("rb") as reading:  # noqa: PTH123
                shutil.copyfileobj(reading, writing)
                writing.flush()
                os.fsync(writing.fileno())
            temporary.replace(target / path.name)
    sync_folder(target)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    temporary = folder / f"{_MANIFEST}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(asdict(manifest), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / _MANIFEST)
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """Raises Invalid where there is no backup, or none that we understand."""
    try:
        told: dict[str, Any] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if told.get("format") == FORMAT:
            return Manifest(**told)
    except (OSError, ValueError, TypeError, AttributeError):
        pass
    raise Invalid(
        Text(
            f"{folder} 里没有完整的备份（backup.json）",
            f"there is no whole backup in {folder} (its backup.json is missing or of another version)",
        )
    )


OTHER_DATABASES = Text(
    "kb backup 只备份 SQLite。PostgreSQL、MariaDB 请按此顺序：先复制数据目录（rsync -a），再用 pg_dump 或 mariadb-dump --single-transaction "
    "导出数据库，然后再 rsync -a 一次（不带 --delete）；恢复后运行 kb verify",
    "`kb backup` is for SQLite. With PostgreSQL or MariaDB, in this order: copy the data folder (rsync -a), dump the database (pg_dump, or "
    "mariadb-dump --single-transaction), copy the folder once more (rsync -a, without --delete); after a restore run `kb verify`",
)
