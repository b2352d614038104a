"""The database, the first secrets, the demo client and the sample knowledge base: whatever of these is missing."""

import csv
import os
import secrets
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from server.auth.demo import DEMO_DESCRIPTION, make_passphrase
from server.auth.master_key import master_key_file
from server.auth.policy import Policy
from server.auth.principal import Principal, Scope
from server.auth.repository import find_client
from server.auth.sealed import list_sealed
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_client
from server.auth.users import DEMO_CLIENT
from server.core.errors import SettingsError
from server.core.setting_kinds import ROOT
from server.core.settings import Settings
from server.db.schema import upgrade_schema
from server.db.session import Database
from server.db.sqlite_file import LOOKED_THROUGH, file_of, find_damage
from server.kb.models import DocumentState, KnowledgeBase, Question
from server.kb.uploads import Upload
from server.services import Services, open_services
from server.worker import open_worker

SAMPLES = ROOT / "knowledge_base" / "samples" / "handbook"
SAMPLE_KB = "handbook"


async def prepare(settings: Settings, *, samples: bool | None) -> None:
    """Bring everything up to date, in the order in which it depends on each other.

    `samples` None: the sample knowledge base only with the first start.
    """
    data_dir = settings.server.data_dir
    # Chats and documents are in there: for whoever runs the server, and nobody else of this machine.
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(settings.database_url, settings.database)
    _check_not_lost(database, data_dir)
    _check_sound(database)
    _make_private(database)
    try:
        await upgrade_schema(database)
        async with database.read() as session:
            is_sealed = bool(await list_sealed(session))
    finally:
        await database.close()
    if settings.auth.master_key is None and not is_sealed:
        key = master_key_file(data_dir)
        if make_secret_file(key, secrets.token_hex(32)):
            print(f"master key made: {key} (back it up)")
    if settings.auth.demo:
        make_passphrase(data_dir)
    async with open_services(settings, engine=False) as services:
        is_first = await make_demo_client(services)
        if samples or (samples is None and is_first):
            await make_sample_kb(services)


def _check_not_lost(database: Database, data_dir: Path) -> None:
    """Raises SettingsError where a new, empty database would hide that the old one is missing."""
    path = Path(database.url.database or "")
    if database.url.get_backend_name() == "sqlite" and not path.exists() and any(data_dir.glob("kb_*")):
        raise SettingsError(
            f"{path}: the database is gone, but documents are still in {data_dir}; restore it from your backup, "
            "or move the kb_* folders away to start anew"
        )


def _check_sound(database: Database) -> None:
    """Raises SettingsError for a file with damage inside, which SQLite itself notices only when it comes across it."""
    path = file_of(database)
    if path is None or not path.exists() or path.stat().st_size > LOOKED_THROUGH:
        return
    if damage := find_damage(path, quick=True):
        raise SettingsError(
            f"{path}: the database is damaged ({damage[0]}); restore your backup: move {path.parent} away, then "
            "`python -m server kb restore BACKUP`"
        )


def _make_private(database: Database) -> None:
    """Make SQLite's file before it does, for its owner alone; what it puts beside it later follows the file."""
    path = database.url.database
    if database.url.get_backend_name() == "sqlite" and path and path != ":memory:":
        with suppress(FileExistsError, FileNotFoundError):  # without a folder SQLite tells it better
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


async def make_demo_client(services: Services) -> bool:
    """The client of the demo link; False when it is there already."""
    async with services.database.write() as session:
        if await find_client(session, DEMO_CLIENT) is not None:
            return False
        now = services.runtime.clock.now()
        await add_client(
            session, services.vault, NewClient(DEMO_CLIENT, DEMO_DESCRIPTION, Policy.COMPAT), now
        )
    print("database ready, demo client made")
    return True


async def make_sample_kb(services: Services) -> None:
    """Upload the sample documents as any caller would, and read them with a bar to look at."""
    operator = Principal(DEMO_CLIENT, "init_db", "", frozenset(Scope))
    kb = await services.kb.create(
        operator,
        SAMPLE_KB,
        zh_name="示例：员工手册",
        info="一家虚构公司的员工手册、报销制度、资产通讯录和信息安全须知",
    )
    async with services.database.write() as session:
        row = await session.get_one(KnowledgeBase, kb.id)
        row.shared = True
        session.add_all(_questions(kb.id, services))
    paths = sorted(path for path in SAMPLES.iterdir() if path.suffix != ".csv")
    for path in paths:
        with path.open("rb") as file:
            upload = Upload(path.name, path.stat().st_size, file)
            await services.kb.uploads.take(kb, upload, services.kb.choose_chunking())
    with tqdm(total=len(paths), desc="sample documents", unit="file", disable=None) as bar:
        async with open_worker(services) as worker:
            while await worker.step():
                bar.update()
    documents, total = await services.kb.list_documents(operator, SAMPLE_KB)
    ready = sum(document.state == DocumentState.READY for document in documents)
    print(f"sample knowledge base '{SAMPLE_KB}': {ready} of {total} documents ready")


def _questions(kb_id: str, services: Services) -> list[Question]:
    with (SAMPLES / "questions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Question(kb_id=kb_id, query=row["query"], created_at=services.runtime.clock.now()) for row in rows
    ]
