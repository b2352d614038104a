"""What an operator is told when the start cannot go on: one or two lines with a remedy, never a trace."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.support.live import Server, children, wait_until


def _startup(data_dir: Path, **environ: str) -> tuple[int, str]:
    known = {"PATH": os.environ["PATH"], "SERVER__DATA_DIR": str(data_dir)}
    done = subprocess.run(
        [sys.executable, "startup.py", "--lite", "--no-samples"],
        cwd=ROOT,
        env=known | environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 6, said
    return done.returncode, said


@pytest.mark.parametrize(
    "url", ["postgresql://u:pw-canary@127.0.0.1:1/x", "mysql://u:pw-canary@127.0.0.1:1/x"]
)
def test_a_database_that_is_away(tmp_path: Path, url: str) -> None:
    status, said = _startup(tmp_path, DATABASE__URL=url)
    assert status == 1
    assert "cannot be reached" in said
    assert "127.0.0.1:1/x" in said
    assert "pw-canary" not in said


@pytest.mark.parametrize("where", ["/nonexistent/folder/x.db", "/proc/version"])
def test_a_database_file_that_cannot_be_used(tmp_path: Path, where: str) -> None:
    status, said = _startup(tmp_path, DATABASE__URL=f"sqlite:///{where}")
    assert status == 3
    assert where in said


def test_a_damaged_database_file(tmp_path: Path) -> None:
    (tmp_path / "info.db").write_bytes(b"no database at all" * 1000)
    status, said = _startup(tmp_path)
    assert status == 3
    assert "restore" in said


def test_a_page_of_the_database_that_is_lost(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        server.cli("client", "add", "--id", "acme")
    path = tmp_path / "data" / "info.db"
    data = bytearray(path.read_bytes())
    data[4096 * 4 : 4096 * 5] = bytes(4096)
    path.write_bytes(data)
    status, said = _startup(tmp_path / "data")
    assert status == 3
    assert "kb restore" in said


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x", encoding="ascii")
    status, said = _startup(tmp_path / "data")
    assert status == 3
    assert "[server] data_dir" in said


def test_a_default_model_that_is_not_there(tmp_path: Path) -> None:
    status, said = _startup(
        tmp_path, EMBEDDING__DEFAULT="m3e-base", EMBEDDING__MODELS_DIR=str(tmp_path / "none")
    )
    assert status == 3
    assert f"no model in {tmp_path}/none/m3e-base; put the files of moka-ai/m3e-base there" in said
    assert not (tmp_path / "info.db").exists()


def test_what_is_lost_is_not_replaced_by_something_empty(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        server.cli("client", "add", "--id", "acme")
    data = tmp_path / "data"
    key = data / "secrets" / "master.key"
    key.rename(tmp_path / "key")
    status, said = _startup(data)
    assert status == 3
    assert "master key" in said
    assert not key.exists()
    (tmp_path / "key").rename(key)
    shutil.move(data / "info.db", tmp_path / "info.db")
    (data / "kb_something").mkdir()
    status, said = _startup(data)
    assert status == 3
    assert "restore it from your backup" in said
    assert not (data / "info.db").exists()


def test_damaged_secrets(tmp_path: Path) -> None:
    """One line and a status that the supervisor does not start again after."""
    with Server(tmp_path, "--no-samples"):
        pass
    for name, words in (("master.key", "rekey --lost"), ("demo_passphrase", "delete the file")):
        path = tmp_path / "data" / "secrets" / name
        good = path.read_bytes()
        for bad in (b"\xef\xbb\xbf" + good, b"\xff\xfe\xff"):
            path.write_bytes(bad)
            status, said = _startup(tmp_path / "data")
            assert (status, words in said, str(path) in said) == (3, True, True), said
            assert "starting it again" not in said
        path.write_bytes(good)


def test_the_command_line_does_not_write_over_a_file(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        out = tmp_path / "acme.pem"
        server.cli("client", "add", "--id", "acme", "--out", str(out))
        key = out.read_text("ascii")
        assert key.startswith("-----BEGIN PUBLIC KEY-----")
        with pytest.raises(AssertionError, match="exists already"):
            server.cli("client", "add", "--id", "other", "--out", str(out))
        with pytest.raises(AssertionError, match="exists already"):
            server.cli("client", "add", "--id", "acme", "--out", str(tmp_path / "new.pem"))
        assert not (tmp_path / "new.pem").exists()
        assert out.read_text("ascii") == key


def test_ctrl_c_in_a_terminal_ends_everything_in_silence(tmp_path: Path) -> None:
    """A terminal sends SIGINT to all processes of the group, not to the first alone."""
    with Server(tmp_path, "--no-samples") as server:
        assert server.process is not None
        pids = [server.process.pid, *server.children("api"), *server.children("worker")]
        group = os.getpgid(server.process.pid)
        for pid in pids:
            if os.getpgid(pid) == group:
                os.kill(pid, signal.SIGINT)
        assert server.process.wait(40) == 0
        assert "Traceback" not in server.log()
        assert "ERROR" not in server.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_first_start_that_is_ended_leaves_nothing_running(tmp_path: Path, number: int) -> None:
    """Samples are being read then; the next start goes on with them."""
    environ = {"PATH": os.environ["PATH"], "SERVER__DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "startup.py", "--lite"]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (tmp_path / "data" / "info.db").exists())
        (init,) = children(process.pid)
        process.send_signal(number)
        wait_until(lambda: not Path(f"/proc/{init}").exists())
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        assert process.wait(40) == (-number if number == signal.SIGKILL else 0)


def test_an_ipv6_address(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples", "--host", "::1") as server:
        assert f"chat2llm is ready: http://[::1]:{server.port}" in server.log()
        assert httpx2.get(f"http://[::1]:{server.port}/health").status_code == 200
