"""Start chat2llm: prepare the database, then run and watch its processes until Ctrl-C or SIGTERM.

    python startup.py --lite                          remote models and the quoting answerer; nothing is downloaded
    python startup.py --lite --host 0.0.0.0 --port 8000 --workers 2 --config FILE

A process that dies is started again; when this one ends, all others end.
"""

import argparse
import http.client
import importlib.util
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from server.core.errors import SettingsError
from server.core.settings import ROOT, EmbeddingModelSettings, Settings, child_environment, load_settings

# A process that lives shorter than this died at its start; it is given more and more time before the next try.
_STABLE_SECONDS = 10
_MAX_PAUSE_SECONDS = 30
_STOP_SECONDS = 25
_CONFIG_ERROR = 3


@dataclass
class Child:
    """A process to keep alive."""

    name: str
    command: list[str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


@dataclass
class Supervisor:
    """Starts the children, starts them again, and ends them."""

    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self, child: Child) -> None:
        child.process = subprocess.Popen(
            child.command,
            cwd=ROOT,
            env=self.environment,
            pass_fds=child.pass_fds,
            # Ctrl-C is for this process; the children hear of it once, by `stop`.
            start_new_session=True,
        )
        child.started = time.monotonic()

    def watch(self) -> int:
        """Until told to stop. Returns the exit status: that of a child which found its configuration wrong, or 0."""
        while not self.stopping.wait(0.2):
            for child in self.children:
                status = child.process.poll() if child.process else 0
                if child.process is not None and status is None:
                    continue
                if status == _CONFIG_ERROR:
                    return _CONFIG_ERROR
                self._restart(child, status)
        return 0

    def _restart(self, child: Child, status: int | None) -> None:
        now = time.monotonic()
        if child.process is not None:
            child.process = None
            child.failures = 0 if now - child.started > _STABLE_SECONDS else child.failures + 1
            pause = min(2**child.failures, _MAX_PAUSE_SECONDS) if child.failures else 0
            child.not_before = now + pause
            print(f"{child.name} ended with status {status}; starting it again in {pause} s", file=sys.stderr)
        if now >= child.not_before:
            self.start(child)

    def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that do not listen."""
        alive = [
            child.process
            for child in self.children
            if child.process is not None and child.process.poll() is None
        ]
        for process in alive:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in alive:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main() -> int:
    options = _parser().parse_args()
    overrides = {
        ("server", key): str(value)
        for key, value in vars(options).items()
        if key in ("host", "port", "workers") and value is not None
    }
    try:
        settings = load_settings(options.config, overrides=overrides)
        _check_default_embedding(settings)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return _CONFIG_ERROR
    # Children read the same file; what the command line said reaches them through the environment.
    environment = child_environment(overrides)
    config = ["--config", str(options.config.resolve())] if options.config else []
    if _is_prepared(settings):
        return run(settings, environment, config)
    init = [sys.executable, "init_db.py", *config, *(["--no-samples"] if options.no_samples else [])]
    prepared = subprocess.run(init, cwd=ROOT, env=environment, check=False)
    if prepared.returncode != 0:
        return prepared.returncode
    return run(settings, environment, config)


def _is_prepared(settings: Settings) -> bool:
    """Has init_db.py nothing to do? Asked of SQLite itself, without the second that a full check takes to load."""
    kind, _, path = settings.database_url.partition(":///")
    secrets = settings.server.data_dir / "secrets"
    wanted = [secrets / "master.key"] * (settings.auth.master_key is None) + [
        secrets / "demo_passphrase"
    ] * settings.auth.demo
    if kind != "sqlite" or not all(file.is_file() for file in [Path(path), *wanted]):
        return False
    newest = max(
        file.name.partition("_")[0] for file in (ROOT / "server/db/migrations/versions").glob("[0-9]*.py")
    )
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            (version,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            return bool(version == newest and database.execute("SELECT 1 FROM client").fetchone())
    except (sqlite3.Error, TypeError):
        return False  # then init_db.py finds out what is wrong, and says it


def run(settings: Settings, environment: dict[str, str], config: list[str]) -> int:
    """Run all processes until the end. The listening socket is opened here, so that a restart refuses nobody."""
    try:
        listener = socket.create_server((settings.server.host, settings.server.port), backlog=2048)
    except OSError as error:
        where = f"{settings.server.host}:{settings.server.port}"
        print(
            f"cannot listen on {where}: {error.strerror}; choose another with HOST=… PORT=…", file=sys.stderr
        )
        return 1
    supervisor = Supervisor(environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    python = [sys.executable, "-m", "server", *config]
    api = [*python, "api", "--fd", str(listener.fileno())]
    names = [f"api-{n}" for n in range(1, settings.server.workers + 1)]
    supervisor.children = [Child(name, api, pass_fds=(listener.fileno(),)) for name in names]
    supervisor.children.append(Child("worker", [*python, "worker"]))
    if any(_is_installed(settings, model) for model in settings.embedding.models.values()):
        socket_path = str(settings.server.engine_socket)
        supervisor.children.append(
            Child("embedding engine", [sys.executable, "-m", "embeddings.engine", socket_path])
        )
    threading.Thread(target=_announce, args=(settings, supervisor.stopping), daemon=True).start()
    try:
        return supervisor.watch()
    finally:
        supervisor.stop()


def _check_default_embedding(settings: Settings) -> None:
    """Raises SettingsError when new knowledge bases would get a model that cannot run."""
    name = settings.embedding.default
    model = settings.embedding.models[name]
    if model.kind != "local":
        return
    if not _is_installed(settings, model):
        folder = settings.embedding.models_dir / model.path
        raise SettingsError(
            f"[embedding] default = {name}: no model in {folder}; put its files there, or use e5-small"
        )
    if importlib.util.find_spec("sentence_transformers") is None:
        raise SettingsError(
            f"[embedding] default = {name}: a local model needs the full installation: make run FULL=1; or use e5-small"
        )


def _is_installed(settings: Settings, model: EmbeddingModelSettings) -> bool:
    """Is there a local model for the engine to run?"""
    folder = settings.embedding.models_dir / model.path
    return model.kind == "local" and any(
        (folder / name).is_file() for name in ("config.json", "modules.json")
    )


def _missing_key(settings: Settings) -> str | None:
    """The environment variable that the default model's key is to come in, when its vendor asks for one."""
    name = settings.llm.default
    model = settings.llm.models.get(name)
    if (
        model is None
        or model.api_key
        or model.base_url
        or model.kind == "langchain"
        or model.preset == "ollama"
    ):
        return None
    return f"LLM__{re.sub(r'[^A-Z0-9]', '_', name.upper())}__API_KEY"


def _announce(settings: Settings, stopping: threading.Event) -> None:
    """Say where to go, as soon as there is something to see."""
    host = "127.0.0.1" if settings.server.host in ("0.0.0.0", "") else settings.server.host  # noqa: S104 (compared)
    while not stopping.wait(0.05):
        connection = http.client.HTTPConnection(host, settings.server.port, timeout=2)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                break
        except OSError:
            continue
        finally:
            connection.close()
    else:
        return
    if variable := _missing_key(settings):
        print(
            f"note: [llm] default = {settings.llm.default} has no key yet; give it as {variable}",
            file=sys.stderr,
        )
    passphrase = settings.server.data_dir / "secrets" / "demo_passphrase"
    print(f"\nchat2llm is ready: {settings.server.address}")
    if settings.auth.demo and passphrase.is_file():
        secret = passphrase.read_text(encoding="ascii").strip()
        print(f"  demo    {settings.server.address}/sso?client=0&secret={secret}")
    print(f"  API     {settings.server.address}/docs")
    print("  stop    Ctrl-C\n", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Start chat2llm.")
    parser.add_argument("--lite", action="store_true", help="remote models and the quoting answerer only")
    parser.add_argument("--config", type=Path, metavar="FILE", help="ini file (default: configs/config.ini)")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--workers", type=int, help="number of API processes")
    parser.add_argument(
        "--no-samples", action="store_true", help="without the sample knowledge base at the first start"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
