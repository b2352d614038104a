"""Start chat2llm: prepare the database, then run and watch its processes until Ctrl-C or SIGTERM.

    python startup.py --lite                          remote models and the quoting answerer; nothing is downloaded
    python startup.py --lite --host 0.0.0.0 --port 8000 --workers 2 --config FILE
    python startup.py                                 local models too: each [llm.NAME] with an engine

A process that dies is started again; when this one ends, all others end. The flags are in server/supervisor/options.py,
how processes are watched in processes.py, and local models in engines.py beside it.
"""

import argparse
import http.client
import importlib.util
import re
import signal
import sqlite3
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path

from server.core import old_embeddings
from server.core.configuration import child_environment, load_settings
from server.core.errors import SettingsError
from server.core.listening import listen
from server.core.setting_kinds import ROOT
from server.core.settings import Settings
from server.supervisor.engines import Engine
from server.supervisor.options import Part, parser, plan
from server.supervisor.processes import CONFIG_ERROR, Child, Supervisor

# As server/db/sqlite_file.py, which takes a second to load.
_LOOKED_THROUGH = 256 * 1024**2


def main() -> int:
    options = parser().parse_args()
    given = {key: getattr(options, key) for key in ("host", "port", "workers")}
    given["log_level"] = "warning" if options.quiet else None
    overrides = {("server", key): str(value) for key, value in given.items() if value is not None}
    notes: list[str] = []
    try:
        settings = load_settings(options.config, overrides=overrides, notes=notes)
        _check_default_embedding(settings)
    except SettingsError as error:
        for note in notes:  # what is wrong may stand under an old name
            print(f"note: {note}", file=sys.stderr)
        print(error, file=sys.stderr)
        return CONFIG_ERROR
    chosen = plan(options)
    for note in [*notes, *chosen.notes, *_notes_about_models(settings, options)]:
        print(f"note: {note}", file=sys.stderr)
    if not chosen.parts:
        print("there is nothing to start", file=sys.stderr)
        return 2
    # Children read the same file; what the command line said reaches them through the environment.
    environment = child_environment(overrides)
    config = ["--config", str(options.config.resolve())] if options.config else []
    supervisor = Supervisor(environment)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stopping.set())
    if chosen.parts != {"engines"} and not _is_prepared(settings):
        status = supervisor.prepare([*config, *(["--no-samples"] if options.no_samples else [])])
        if status != 0 or supervisor.stopping.is_set():
            return status
    wanted = options.model_name or list(settings.llm.engines)
    return run(settings, supervisor, chosen.parts, config, wanted)


def _notes_about_models(settings: Settings, options: argparse.Namespace) -> Iterator[str]:
    """What of -n and of the default model does not come about."""
    for name in options.model_name or []:
        if name not in settings.llm.engines:
            known = name == "quote" or (name in settings.llm.models and not settings.llm.models[name].engine)
            reason = (
                "needs no start" if known else "no such local model in the configuration; it is not started"
            )
            yield f"-n {name}: {reason}"
    if options.lite and settings.llm.default in settings.llm.engines:
        yield f"--lite: [llm] default = {settings.llm.default} is a local model and is not started; it cannot answer"


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
            is_small = Path(path).stat().st_size <= _LOOKED_THROUGH
            is_sound = not is_small or database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            has_client = database.execute("SELECT 1 FROM client").fetchone() is not None
            return bool(is_sound and version == newest and has_client)
    except (sqlite3.Error, TypeError):
        return False  # then init_db.py finds out what is wrong, and says it


def run(
    settings: Settings,
    supervisor: Supervisor,
    parts: Collection[Part],
    config: list[str],
    wanted: Collection[str],
) -> int:
    """Run all processes until the end. The listening socket is opened here, so that a restart refuses nobody.

    `wanted`: the local models to begin with; the others can be started later by an operator.
    """
    python = [sys.executable, "-m", "server", *config]
    if "api" in parts:
        try:
            listener = listen(settings.server.host, settings.server.port)
        except OSError as error:
            where = f"{settings.server.host}:{settings.server.port}"
            print(
                f"cannot listen on {where}: {error.strerror}; choose another with --host and --port (make run HOST=… PORT=…)",
                file=sys.stderr,
            )
            return 1
        api = [*python, "api", "--fd", str(listener.fileno())]
        names = [f"api-{n}" for n in range(1, settings.server.workers + 1)]
        supervisor.children = [Child(name, api, pass_fds=(listener.fileno(),)) for name in names]
    if "worker" in parts:
        supervisor.children.append(Child("worker", [*python, "worker"]))
    local = [model.path for model in settings.embedding.models.values() if model.kind == "local"]
    local += [model.path for model in settings.rerank.models.values() if model.kind == "cross-encoder"]
    installed = any(_is_installed(settings, path) for path in local)
    if installed and supervisor.children:
        socket_path = str(settings.server.engine_socket)
        supervisor.children.append(
            Child("embedding engine", [sys.executable, "-m", "embeddings.engine", socket_path])
        )
    if "engines" in parts and settings.llm.engines:
        try:
            supervisor.engines = _open_engines(settings, wanted)
        except OSError as error:
            print(f"local models cannot be started: {error}", file=sys.stderr)
            return 1
    if "api" in parts:
        threading.Thread(target=_announce, args=(settings, supervisor.stopping), daemon=True).start()
    try:
        return supervisor.watch()
    finally:
        supervisor.stop()


def _open_engines(settings: Settings, wanted: Collection[str]) -> list[Engine]:
    """The engines of the local models, and the socket where the API asks about them. Raises OSError."""
    from server.supervisor.control import serve_orders

    loud = settings.server.log_level == "debug"
    engines = {name: Engine(name, model, _say, loud=loud) for name, model in settings.llm.engines.items()}
    for name, engine in engines.items():
        engine.order(wanted=name in wanted)
    serve_orders(settings.server.supervisor_socket, engines)
    return list(engines.values())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_default_embedding(settings: Settings) -> None:
    """Raises SettingsError when new knowledge bases would get a model that cannot run."""
    name = settings.embedding.default
    model = settings.embedding.models[name]
    if model.kind != "local":
        return
    if not _is_installed(settings, model.path):
        folder = settings.embedding.models_dir / model.path
        files = f"the files of {old_embeddings.LOCAL[name]}" if name in old_embeddings.LOCAL else "its files"
        raise SettingsError(
            f"[embedding] default = {name}: no model in {folder}; put {files} there, or use e5-small"
        )
    if importlib.util.find_spec("sentence_transformers") is None:
        raise SettingsError(
            f"[embedding] default = {name}: a local model needs the full installation: make run FULL=1; or use e5-small"
        )


def _is_installed(settings: Settings, path: str) -> bool:
    """Is there a local model for the engine to run?"""
    folder = settings.embedding.models_dir / path
    return any((folder / name).is_file() for name in ("config.json", "modules.json"))


def _missing_key(settings: Settings) -> str | None:
    """The environment variable that the default model's key is to come in, when its vendor asks for one."""
    name = settings.llm.default
    model = settings.llm.models.get(name)
    if model is None or model.is_keyed:
        return None
    return f"LLM__{re.sub(r'[^A-Z0-9]', '_', name.upper())}__API_KEY"


def _announce(settings: Settings, stopping: threading.Event) -> None:
    """Say where to go, as soon as there is something to see."""
    everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 (looked up)
    host = everywhere.get(settings.server.host, settings.server.host)
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


if __name__ == "__main__":
    sys.exit(main())
