"""The commands about identities, as an operator types them beside a running server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from Crypto.PublicKey import RSA

from server.auth.api_token import new_key_pair, private_pem, public_pem
from tests.conftest import ROOT
from tests.support.live import Server, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("identity"), "--no-samples") as running:
        running.cli("client", "add", "--id", "oa", "--policy", "compat", "--description", "办公系统")
        yield running


def _run(server: Server, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        env=server.environ,
        capture_output=True,
        text=True,
        input=text,
    )


def _status(server: Server, token: str) -> int:
    headers = {"Api-Token": token}
    return httpx2.get(f"{server.base}/knowledge_base/list_knowledge_bases", headers=headers).status_code


def _token(server: Server, user: str) -> str:
    return server.cli("token", "make", "--client", "oa", "--user", user).strip()


def test_clients_and_their_keys(server: Server, tmp_path: Path) -> None:
    old = _token(server, "u1")
    assert _status(server, old) == 200
    out = tmp_path / "new.pem"
    server.cli("client", "rotate", "--client", "oa", "--overlap-days", "1", "--out", str(out))
    assert server.cli("client", "show-key", "--client", "oa").strip() == out.read_text("ascii").strip()
    listed = server.cli("client", "list")
    assert "k1 (rsa, retiring), k2 (rsa, active)" in listed
    assert "办公系统" in listed
    assert _status(server, _token(server, "u2")) == 200
    server.cli("client", "revoke", "--client", "oa", "--key", "k1")
    # Made with the old key, and not seen before by the server.
    assert "✗" in _run(server, "token", "inspect", old).stdout
    server.cli("client", "disable", "--client", "oa")
    assert _status(server, _token(server, "u3")) == 401
    server.cli("client", "enable", "--client", "oa")
    allowed = _token(server, "u4")
    wait_until(lambda: _status(server, allowed) == 200, seconds=20)  # within five seconds
    server.cli("client", "frame-ancestors", "--client", "oa", "https://oa.example.com")
    assert "https://oa.example.com" in server.cli("client", "list")
    server.cli("client", "option", "--client", "oa", "max_blocks=2", "pct_fields=on")
    assert "max_blocks=2 pct_fields=on" in server.cli("client", "list")
    assert _status(server, _token(server, "50%")) == 200
    server.cli("client", "option", "--client", "oa", "max_blocks=1", "pct_fields=off")
    assert "max_blocks" not in server.cli("client", "list")


def test_a_key_that_an_issuer_has_already(server: Server, tmp_path: Path) -> None:
    pem = tmp_path / "old.pem"
    pem.write_text(private_pem(new_key_pair(1024)))
    add = ("client", "add", "--id", "old", "--key", str(pem))
    refused = _run(server, *add)
    assert (refused.returncode, "--allow-weak-key" in refused.stderr) == (1, True)
    done = _run(server, *add, "--allow-weak-key")
    assert done.returncode == 0, done.stderr
    assert "this key is weak and ends on 20" in done.stderr
    assert done.stdout == public_pem(RSA.import_key(pem.read_text())) + "\n"
    token = server.cli("token", "make", "--client", "old", "--user", "u").strip()
    assert _status(server, token) == 200
    assert "k1 (rsa, retiring)" in server.cli("client", "list")


def test_users_and_sessions(server: Server) -> None:
    token = _token(server, "zhang")
    login = httpx2.post(f"{server.base}/auth/session", headers={"Api-Token": token}).json()["data"]
    assert _status(server, login["session_token"]) == 200
    assert "zhang" in server.cli("user", "list", "--client", "oa")
    server.cli("user", "role", "--client", "oa", "--user", "zhang", "manager")
    assert "manager" in server.cli("user", "list", "--client", "oa")
    sessions = server.cli("session", "list", "--client", "oa", "--user", "zhang")
    assert len(sessions.splitlines()) == 2
    assert login["session_token"] not in sessions
    server.cli("session", "end", "--client", "oa", "--user", "zhang")
    assert len(server.cli("session", "list", "--client", "oa", "--user", "zhang").splitlines()) == 1
    server.cli("user", "disable", "--client", "oa", "--user", "zhang")
    assert _status(server, _token(server, "zhang")) == 401


def test_api_keys(server: Server) -> None:
    secret = server.cli("api-key", "add", "--client", "oa").strip()
    listed = server.cli("api-key", "list", "--client", "oa")
    assert secret not in listed
    (line,) = [line for line in listed.splitlines() if secret[-4:] in line]
    server.cli("api-key", "revoke", line.split()[0])
    assert _status(server, secret) == 401


def test_a_token_is_explained(server: Server) -> None:
    good = _run(server, "token", "inspect", "-", text=_token(server, "li"))
    assert good.returncode == 0
    assert "✗" not in good.stdout
    bad = _run(server, "token", "inspect", "bm9ib2R5fHg=")
    assert bad.returncode == 1
    assert bad.stdout.splitlines()[-1].startswith("✗")


def test_everything_stands_in_the_audit(server: Server) -> None:
    server.cli("client", "policy", "--client", "oa", "exchange")
    audit = server.cli("audit", "--client", "oa", "--limit", "3")
    assert "client.policy" in audit
    assert len(audit.splitlines()) == 4
    server.cli("client", "policy", "--client", "oa", "compat")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["client", "rotate", "--client", "nobody"], "there are: 0"),
        (["client", "revoke", "--client", "oa", "--key", "k9"], "no key k9"),
        (["client", "rotate", "--client", "oa", "--overlap-days", "-1"], "between 0 and 365"),
        (["user", "role", "--client", "oa", "--user", "nobody", "admin"], "no user nobody"),
        (["api-key", "revoke", "ak_none"], "no such api key"),
        (["session", "end", "--client", "oa", "--session", "none"], "no such session"),
        (["client", "frame-ancestors", "--client", "oa", "javascript:x"], "https://HOST"),
        (["client", "option", "--client", "oa", "max_blocks=5"], "1 to 4"),
        (["client", "option", "--client", "oa", "pct_fields=yes"], "pct_fields=on|off"),
        (["client", "option", "--client", "nobody", "pct_fields=on"], "no client nobody"),
        (["client", "add-signing-key", "--client", "oa", "/nonexistent.pem"], "/nonexistent.pem"),
    ],
)
def test_what_is_wrong_is_told(server: Server, arguments: list[str], words: str) -> None:
    done = _run(server, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_master_key(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        server.cli("client", "add", "--id", "oa", "--policy", "compat")
        secret = server.cli("api-key", "add", "--client", "oa").strip()
        key = tmp_path / "data" / "secrets" / "master.key"
        before = key.read_text("ascii")
        refused = _run(server, "rekey")
        assert (refused.returncode, key.read_text("ascii")) == (1, before)
        assert "stop the server" in refused.stderr
        server.stop()
        server.cli("rekey")
        assert key.read_text("ascii") != before
        server.start()
        assert _status(server, _token(server, "u1")) == 200
        assert _status(server, secret) == 200
        server.stop()
        # And without any backup of it.
        for file in (key, *key.parent.glob("master.key.*")):
            file.unlink()
        warned = _run(server, "rekey", "--lost")
        assert (warned.returncode, key.exists()) == (1, False)
        assert "add --yes-really" in warned.stderr
        done = _run(server, "rekey", "--lost", "--yes-really")
        assert done.returncode == 0, done.stderr
        for words in ("client oa: new key k2", "client 0: new key k2", "1 api keys ended", f"is in {key}"):
            assert words in done.stderr
        server.start()
        assert _status(server, _token(server, "u1")) == 200
        assert _status(server, secret) == 401


def test_a_new_master_key_for_the_secret_store(tmp_path: Path) -> None:
    data, old = tmp_path / "data", "ab" * 32
    environ = {"PATH": os.environ["PATH"], "SERVER__DATA_DIR": str(data), "SERVER__LOG_LEVEL": "warning"}

    def run(key: str, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environ | {"AUTH__MASTER_KEY": key},
            capture_output=True,
            text=True,
        )

    assert run(old, "init_db.py", "--no-samples").returncode == 0
    done = run(old, "-m", "server", "rekey")
    assert done.returncode == 0, done.stderr
    new = data / "secrets" / "master.key.new"
    assert str(new) in done.stderr
    assert "put this file's content in place of AUTH__MASTER_KEY" in done.stderr
    stale = run(old, "-m", "server", "client", "list")
    assert stale.returncode == 0
    assert "set AUTH__MASTER_KEY to this file's content" in stale.stderr
    fresh = run(new.read_text("ascii").strip(), "-m", "server", "client", "list")
    assert (fresh.returncode, fresh.stderr) == (0, "")
