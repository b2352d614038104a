"""The processes that the supervisor starts: `api` and `worker`."""

import argparse
import asyncio
import signal
import socket
from collections.abc import Awaitable
from typing import Any

from server.core.listening import listen
from server.core.processes import die_with_parent
from server.core.settings import Settings


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    api = commands.add_parser("api", help="serve HTTP (startup.py runs this)")
    api.add_argument("--fd", type=int, metavar="N", help="a listening socket that the parent opened")
    api.set_defaults(run=run_api)
    worker = commands.add_parser("worker", help="read uploaded documents (startup.py runs this)")
    worker.set_defaults(run=run_worker)


def run_api(settings: Settings, options: argparse.Namespace) -> int:
    import uvicorn

    from server.app import create_app
    from server.core.connections import ImpatientProtocol

    asyncio.run(_check(settings))
    if options.fd is not None:
        die_with_parent()
        listener = socket.socket(fileno=options.fd)
    else:
        listener = listen(settings.server.host, settings.server.port)
    app = create_app(settings)

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # A page that watches jobs would be waited for.
            app.state.jobs.watch.close()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.server.trusted_proxies,
        # Streams get this long to end before they are cut.
        timeout_graceful_shutdown=20,
        timeout_keep_alive=30,
    )
    server = Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else 3


async def _check(settings: Settings) -> None:
    """What is not ready is told here in one line, before a server is there to fail with a trace."""
    from server.auth.demo import read_passphrase
    from server.services import open_services

    if settings.auth.demo:
        read_passphrase(settings.server.data_dir)
    async with open_services(settings):
        pass


def run_worker(settings: Settings, _options: argparse.Namespace) -> int:
    from server.worker import run

    die_with_parent()
    asyncio.run(_until_terminated(run(settings)))
    return 0


async def _until_terminated(work: Awaitable[None]) -> None:
    """Run until SIGTERM or SIGINT, then cancel and wait: what was being done is taken up again after the restart."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # Once: a second cancellation would hit what is being put away.
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        return
