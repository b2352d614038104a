"""The worker process: the services it needs, the loop over waiting documents, and the housekeeping."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.chat.housekeeping import Housekeeping
from server.core.settings import Settings
from server.kb.ingest import Ingest
from server.kb.loaders.base import LoadLimits
from server.kb.parsing import Parser
from server.kb.rebuild import Rebuilds
from server.kb.sweep import sweep
from server.kb.worker import Worker
from server.services import Services, open_services

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_worker(services: Services) -> AsyncIterator[Worker]:
    """A worker over the services, with a parser of its own."""
    settings = services.settings.ingest
    limits = LoadLimits(settings.max_pages, settings.max_chars, settings.max_unpacked_size)
    parser = Parser(limits, timeout=settings.parse_timeout, memory=settings.parse_memory)
    ingest = Ingest(services.database, services.files, parser, services.embedders, services.runtime)
    try:
        rebuilds = Rebuilds(services.database, services.files, services.runtime)
        yield Worker(services.database, ingest, settings, services.runtime.clock, rebuilds)
    finally:
        await parser.close()


async def run(settings: Settings) -> None:
    """Work until cancelled."""
    async with open_services(settings) as services, open_worker(services) as worker:
        await sweep(services.database, services.files, services.runtime.lanes)
        log.info("worker ready", extra={"owner": worker.owner})
        housekeeping = Housekeeping(services.database, services.attachments, services.runtime.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(housekeeping.run())
            group.create_task(worker.run())
