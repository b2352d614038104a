"""`python -m server …`: what an operator and the supervisor run. `python -m server --help` lists everything."""

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from server.core.errors import AlreadyExists, AppError, SettingsError
from server.core.i18n import Text
from server.core.logging import configure_logging
from server.core.processes import die_with_parent
from server.core.settings import Settings, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for a refusal, 3 for a wrong configuration."""
    options = _parser().parse_args(arguments)
    try:
        settings = load_settings(options.config)
        configure_logging(settings.server.log_level, settings.server.log_format)
        run: Callable[[Settings, argparse.Namespace], int] = options.run
        return run(settings, options)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 3
    except AppError as error:
        print(f"{error.text.zh}\n{error.text.en}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or '-'}: {error.strerror}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server", description="chat2llm")
    parser.add_argument("--config", type=Path, metavar="FILE", help="ini file (default: configs/config.ini)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    api = commands.add_parser("api", help="serve HTTP (startup.py runs this)")
    api.add_argument("--fd", type=int, metavar="N", help="a listening socket that the parent opened")
    api.set_defaults(run=run_api)
    commands.add_parser("worker", help="read uploaded documents (startup.py runs this)").set_defaults(
        run=run_worker
    )

    client = commands.add_parser("client", help="systems that vouch for their users").add_subparsers(
        required=True
    )
    add = client.add_parser("add", help="add a client; prints the public key for its issuer")
    add.add_argument("--id", required=True)
    add.add_argument("--description", default="")
    add.add_argument("--out", type=Path, metavar="FILE", help="write the public key to a new file")
    add.add_argument(
        "--policy",
        default="exchange",
        choices=["exchange", "strict", "compat"],
        help="what its tokens are good for: an exchange for a session (default; strict: once, within two minutes), "
        "or every call (compat, for issuers and pages that exist already)",
    )
    add.set_defaults(run=add_client)

    key = commands.add_parser("api-key", help="keys for programs").add_subparsers(required=True)
    add = key.add_parser("add", help="add a key; prints it once")
    add.add_argument("--client", required=True)
    add.add_argument(
        "--scopes", default="chat,kb:read", help="of chat, kb:read, kb:write, usage, vouch, admin; by commas"
    )
    add.set_defaults(run=add_api_key)

    token = commands.add_parser(
        "token", help="api_tokens, as a client's own system makes them"
    ).add_subparsers(required=True)
    make = token.add_parser("make", help="make a token for a user; prints it")
    make.add_argument("--client", required=True)
    make.add_argument("--user", required=True)
    make.add_argument("--name", default="", help="the name that is shown")
    make.set_defaults(run=make_token)
    return parser


def run_api(settings: Settings, options: argparse.Namespace) -> int:
    import uvicorn

    from server.app import create_app
    from server.core.connections import ImpatientProtocol

    asyncio.run(_check(settings))
    if options.fd is not None:
        die_with_parent()
        listener = socket.socket(fileno=options.fd)
    else:
        listener = socket.create_server((settings.server.host, settings.server.port), backlog=2048)
    config = uvicorn.Config(
        create_app(settings),
        http=ImpatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.server.trusted_proxies,
        # Streams get this long to end before they are cut.
        timeout_graceful_shutdown=20,
        timeout_keep_alive=30,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else 3


async def _check(settings: Settings) -> None:
    """What is not ready is told here in one line, before a server is there to fail with a trace."""
    from server.services import open_services

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


def add_client(settings: Settings, options: argparse.Namespace) -> int:
    from server.auth.policy import Policy
    from server.auth.service import add_client
    from server.services import open_services

    async def run() -> str:
        async with open_services(settings) as services, services.database.write() as session:
            return await add_client(
                session,
                services.vault,
                options.id,
                options.description,
                services.runtime.clock.now(),
                policy=Policy(options.policy),
            )

    if options.out is not None and options.out.exists():
        raise AlreadyExists(Text(f"文件 {options.out} 已存在", f"{options.out} exists already"))
    public_key = asyncio.run(run())
    if options.out is None:
        print(public_key)
    else:
        options.out.write_text(f"{public_key}\n", encoding="ascii")
    print(
        f"客户端 {options.id} 已添加。公钥只交给它的服务端保管 / keep the public key on the issuer's server only",
        file=sys.stderr,
    )
    return 0


def add_api_key(settings: Settings, options: argparse.Namespace) -> int:
    from server.auth.service import add_api_key
    from server.services import open_services

    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]

    async def run() -> str:
        async with open_services(settings) as services, services.database.write() as session:
            return await add_api_key(
                session, services.vault, options.client, scopes, services.runtime.clock.now()
            )

    print(asyncio.run(run()))
    print("请立即保存，之后不再显示 / save it now, it is not shown again", file=sys.stderr)
    return 0


def make_token(settings: Settings, options: argparse.Namespace) -> int:
    from server.auth.service import make_token
    from server.services import open_services

    async def run() -> str:
        async with open_services(settings) as services, services.database.read() as session:
            return await make_token(
                session, options.client, options.user, options.name, services.runtime.clock.now()
            )

    print(asyncio.run(run()))
    return 0
