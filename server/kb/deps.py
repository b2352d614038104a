"""What the routes of knowledge bases take from the application."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from server.core.bare import read_bare
from server.core.errors import BadKBName
from server.core.settings import CompatSettings, Settings
from server.core.tasks import BackgroundTasks
from server.kb.files import MAX_KB_NAME
from server.kb.history import History
from server.kb.jobs import Jobs
from server.kb.package_export import Exports
from server.kb.package_import import Imports
from server.kb.service import KBService
from server.kb.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class StreamContext:
    """How this request wants a stream."""

    tasks: BackgroundTasks
    # `Accept` names text/event-stream: real server-sent events instead of the contract's objects.
    sse: bool
    # Seconds of silence before a sign of life.
    heartbeat: float


async def _service(request: Request) -> KBService:
    return cast("KBService", request.app.state.kb)


async def _upkeep(request: Request) -> Upkeep:
    return cast("Upkeep", request.app.state.upkeep)


async def _jobs(request: Request) -> Jobs:
    return cast("Jobs", request.app.state.jobs)


async def _history(request: Request) -> History:
    return cast("History", request.app.state.history)


async def _exports(request: Request) -> Exports:
    return cast("Exports", request.app.state.exports)


async def _imports(request: Request) -> Imports:
    return cast("Imports", request.app.state.imports)


async def _stream(request: Request) -> StreamContext:
    state = request.app.state
    return StreamContext(
        tasks=cast("BackgroundTasks", state.tasks),
        sse="text/event-stream" in request.headers.get("accept", ""),
        heartbeat=cast("Settings", state.settings).chat.heartbeat.total_seconds(),
    )


async def _bare_name(request: Request) -> str:
    """A body that is a knowledge base's name: a JSON string, an object with `knowledge_base_name`, or else raw text."""
    name = await read_bare(request, "knowledge_base_name")
    if not 1 <= len(name) <= MAX_KB_NAME:
        raise BadKBName(name)
    return name


async def _compat(request: Request) -> CompatSettings:
    return cast("Settings", request.app.state.settings).compat


KB = Annotated[KBService, Depends(_service)]
UpkeepDep = Annotated[Upkeep, Depends(_upkeep)]
JobsDep = Annotated[Jobs, Depends(_jobs)]
HistoryDep = Annotated[History, Depends(_history)]
ExportsDep = Annotated[Exports, Depends(_exports)]
ImportsDep = Annotated[Imports, Depends(_imports)]
Streaming = Annotated[StreamContext, Depends(_stream)]
Compat = Annotated[CompatSettings, Depends(_compat)]
BareName = Annotated[str, Depends(_bare_name)]
