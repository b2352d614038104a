"""The application with its worker, started over a data folder that may have been somewhere else before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.app import create_app
from server.core.settings import Settings
from server.services import open_services
from server.worker import open_worker
from tests.conftest import Callers
from tests.support.api import Caller, serving


@asynccontextmanager
async def started(settings: Settings, authorization: str = "") -> AsyncIterator[Caller]:
    """Its editor; with the header of one who was made at an earlier start."""
    async with (
        open_services(settings) as services,
        open_worker(services) as worker,
        serving(create_app(settings)) as address,
    ):
        callers = Callers(services, address, worker)
        if not authorization:
            await callers.client("acme")
            editor = await callers.key("acme", "chat", "kb:read", "kb:write")
        else:
            editor = Caller(address, {"Authorization": authorization}, worker)
        yield editor
        await editor.http.aclose()
