"""The worker process: the services it needs, the loops over waiting documents and evaluations, and the housekeeping."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.chat.aside import Asides
from server.chat.housekeeping import Housekeeping
from server.core.settings import Settings
from server.evaluation.asking import Asking
from server.evaluation.runner import Runner
from server.kb.ingest import Ingest
from server.kb.parsing import Parser
from server.kb.rebuild import Rebuilds
from server.kb.reconcile import Reconciling
from server.kb.store_keeper import StoreKeeper
from server.kb.word_indexing import WordIndexing
from server.kb.worker import Worker
from server.services import Services, open_services

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_worker(services: Services, shared: Parser | None = None) -> AsyncIterator[Worker]:
    """A worker over the services, with a parser of its own, or a `shared` one that others use after it."""
    settings = services.settings.ingest
    parser = shared or Parser.of(settings)
    keep = services.settings.kb.keep_versions
    ingest = Ingest(services.database, services.files, parser, services.embedders, services.runtime, keep)
    try:
        rebuilds = Rebuilds(services.database, services.files, services.runtime)
        words = WordIndexing(services.database, services.runtime)
        keeper = open_keeper(services)
        yield Worker(services.database, ingest, settings, services.runtime.clock, rebuilds, words, keeper)
    finally:
        if shared is None:
            await parser.close()


def open_keeper(services: Services) -> StoreKeeper:
    return StoreKeeper(
        services.database, services.files, services.runtime, services.slots, services.settings.vector_store
    )


def evaluations(services: Services) -> Runner:
    """What does runs over question sets, beside the worker."""
    runtime = services.runtime
    asking = Asking(services.database, services.kb, Asides(services.chat, runtime.clock))
    return Runner(services.database, asking, services.settings, runtime.clock, runtime.lanes)


def reconciling(services: Services) -> Reconciling:
    return Reconciling(services.database, services.files, services.runtime, services.history)


async def run(settings: Settings) -> None:
    """Work until cancelled."""
    async with open_services(settings) as services, open_worker(services) as worker:
        log.info("worker ready", extra={"owner": worker.owner})
        housekeeping = Housekeeping(services.database, services.attachments, services.runtime.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(reconciling(services).run())
            group.create_task(housekeeping.run())
            group.create_task(worker.run())
            group.create_task(open_keeper(services).run())
            group.create_task(evaluations(services).run())
