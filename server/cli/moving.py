"""`kb move`: a knowledge base is searched in another store of vectors from now on."""

import argparse
import asyncio
import time

from tqdm import tqdm

from server.auth.audit import CLI
from server.cli.output import say
from server.core.errors import Invalid, KBNotFound
from server.core.i18n import Text
from server.core.settings import Settings
from server.db.session import Database
from server.kb import repository
from server.kb.models import KnowledgeBase
from server.kb.moves import Moves
from server.kb.store_keeper import StoreKeeper
from server.kb.store_servers import check_store
from server.services import open_services


def move(settings: Settings, options: argparse.Namespace) -> int:
    check_store(options.to, settings)
    return asyncio.run(move_kb(settings, options.name, options.client, options.to))


async def move_kb(settings: Settings, name: str, client: str | None, store: str) -> int:
    """Raises KBNotFound, Invalid (several have that name), StoreUnavailable. Returns the exit status."""
    started = time.monotonic()
    async with open_services(settings, engine=False) as services:
        kb = await _find(services.database, name, client)
        runtime = services.runtime
        keeper = StoreKeeper(
            services.database, services.files, runtime, services.slots, settings.vector_store
        )
        moves = Moves(services.database, runtime, services.slots, keeper)
        with tqdm(unit=" vectors", unit_scale=True, desc=name, mininterval=0.5) as bar:

            async def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            moved = await moves.move(kb, store, CLI, progress)
    seconds = round(time.monotonic() - started, 1)
    if moved:
        say(
            f"知识库 {name} 现在由 {store} 检索（用时 {seconds} 秒）；原有向量保留一天",
            f"{name} is searched in {store} now ({seconds} s); what {kb.vector_store} has of it is kept for a day",
        )
    else:
        say(f"知识库 {name} 已经在 {store} 中", f"{name} is in {store} already")
    return 0


async def _find(database: Database, name: str, client: str | None) -> KnowledgeBase:
    async with database.read() as session:
        found = await repository.find_kbs(session, [name], client)
    if not found:
        raise KBNotFound(name)
    if len(found) > 1:
        owners = ", ".join(kb.client_id for kb in found)
        raise Invalid(
            Text(
                f"{owners} 都有这个知识库，请用 --client 指定",
                f"{owners} have one each: choose with --client",
            )
        )
    return found[0]
