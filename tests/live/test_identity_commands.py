"""The commands about identities, as an operator types them beside a running server."""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from Crypto.PublicKey import RSA

from server.auth.api_token import new_key_pair, private_pem, public_pem
from server.core.tls import tls_context
from tests.conftest import ROOT
from tests.support.commands import run_command
from tests.support.live import Server, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("identity"), "--no-samples") as running:
        running.cli("client", "add", "--id", "oa", "--policy", "compat", "--description", "办公系统")
        yield running


def _run(server: Server, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return run_command(arguments, server.environ, text)


def _shell(server: Server, line: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The same through a shell, with what it does to inputs and outputs."""
    line = f"{sys.executable} -m server {line}"
    environ = server.environ | environ
    return subprocess.run(["bash", "-c", line], cwd=ROOT, env=environ, capture_output=True, text=True)


def _status(server: Server, token: str) -> int:
    url, headers = f"{server.base}/knowledge_base/list_knowledge_bases", {"Api-Token": token}
    return httpx2.get(url, headers=headers, timeout=60, verify=tls_context()).status_code


def _token(server: Server, user: str) -> str:
    return server.cli("token", "make", "--client", "oa", "--user", user).strip()


def _answers(server: Server, user: str, status: int) -> None:
    """What a command changed is seen by a running server within five seconds."""
    token = _token(server, user)
    wait_until(lambda: _status(server, token) == status, 20)


@pytest.mark.timeout(400)  # some eighteen commands, each a process
def test_clients_and_their_keys(server: Server, tmp_path: Path) -> None:
    old = _token(server, "u1")
    assert _status(server, old) == 200
    out = tmp_path / "new.pem"
    server.cli("client", "rotate", "--client", "oa", "--overlap-days", "1", "--out", str(out))
    assert server.cli("client", "show-key", "--client", "oa").strip() == out.read_text("ascii").strip()
    listed = server.cli("client", "list")
    assert re.search(r"k1 \(rsa, retiring until 20[0-9: -]+ UTC\), k2 \(rsa, active\)", listed)
    assert "办公系统" in listed
    _answers(server, "u2", 200)
    server.cli("client", "revoke", "--client", "oa", "--key", "k1")
    # Made with the old key, and not seen before by the server.
    assert "✗" in _run(server, "token", "inspect", old).stdout
    server.cli("client", "disable", "--client", "oa")
    _answers(server, "u3", 401)
    server.cli("client", "enable", "--client", "oa")
    _answers(server, "u4", 200)
    server.cli("client", "frame-ancestors", "--client", "oa", "https://oa.example.com")
    assert "https://oa.example.com" in server.cli("client", "list")
    server.cli("client", "option", "--client", "oa", "max_blocks=2", "pct_fields=on")
    assert "max_blocks=2 pct_fields=on" in server.cli("client", "list")
    _answers(server, "50%", 200)
    option = ("client", "option", "--client", "oa")
    server.cli(*option, "max_blocks=1", "pct_fields=off", "networks=10.0.0.0/8,192.168.1.5")
    assert "networks=10.0.0.0/8,192.168.1.5/32" in server.cli("client", "list")
    _answers(server, "u5", 401)
    server.cli(*option, "networks=127.0.0.0/8")
    _answers(server, "u6", 200)
    server.cli(*option, "networks=")
    assert "networks" not in server.cli("client", "list")
    assert "max_blocks" not in server.cli("client", "list")


def test_what_is_made_is_for_its_owner_only(server: Server) -> None:
    data = server.folder / "data"
    assert data.stat().st_mode & 0o777 == 0o700
    files = list(data.glob("info.db*"))
    assert len(files) > 1, "the database and its log"
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_what_a_rotation_says_of_the_old_key(server: Server) -> None:
    server.cli("client", "add", "--id", "turn")
    rotate = ("client", "rotate", "--client", "turn")
    week = datetime.now(UTC) + timedelta(days=7)
    assert f"the old one, k1, is good until {week:%F}" in _run(server, *rotate).stderr
    refused = _run(server, *rotate)
    assert (refused.returncode, f"k1 of the rotation before is good until {week:%F}" in refused.stderr) == (
        1,
        True,
    )
    now = _run(server, *rotate, "--force", "--overlap-days", "0").stderr
    assert "new key k3\n" in now
    assert "k1 (rsa, ended), k2 (rsa, ended), k3 (rsa, active)" in server.cli("client", "list")
    server.cli("client", "revoke", "--client", "turn", "--key", "k3")
    assert (
        "no session was ended" in _run(server, "client", "revoke", "--client", "turn", "--key", "k3").stderr
    )
    assert "old" not in _run(server, *rotate).stderr


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
    assert "k1 (rsa, retiring until 20" in server.cli("client", "list")


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
    assert "sessions ended: 0" in _run(server, "session", "end", "--client", "oa", "--all").stderr
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
        (["client", "rotate", "--client", "oa", "--overlap-days", "nan"], "between 0 and 365"),
        (["user", "role", "--client", "oa", "--user", "nobody", "admin"], "no user nobody"),
        (["user", "disable", "--client", "oa", "--user", "nobody"], "they must come in once first"),
        (["api-key", "revoke", "ak_none"], "no such api key"),
        (["session", "end", "--client", "oa", "--session", "none"], "no such session"),
        (["session", "end", "--client", "oa"], "--all"),
        (["client", "frame-ancestors", "--client", "oa", "javascript:x"], "https://HOST"),
        (["client", "frame-ancestors", "--client", "oa", "https://*.example.com"], "wildcard"),
        (["client", "add", "--id", "x1", "--out", "/nonexistent/k.pem"], "/nonexistent cannot be written"),
        (["client", "add", "--id", "x1", "--description", "a\x1b[2Jb"], "without invisible characters"),
        (["client", "show-key", "--client", "\x1b[2J"], "no client \\x1b[2J"),
        (["token", "make", "--client", "nobody", "--user", "u"], "no client nobody"),
        (["token", "make", "--client", "oa", "--user", "u", "--name", "a|b"], "a name holds no |"),
        (["token", "make", "--client", "oa", "--user", ".."], "a user_id has 1 to 64 bytes"),
        (["token", "make", "--client", "oa", "--user", "u", "--name", "n" * 300], "too long"),
        (["client", "option", "--client", "oa", "max_blocks=" + "9" * 5000], "there are: max_blocks"),
        (["user", "list", "--client", os.fsdecode("张".encode("gbk"))], "is not UTF-8"),
        (["client", "option", "--client", "oa", "max_blocks=5"], "1 to 4"),
        (["client", "option", "--client", "oa", "pct_fields=yes"], "pct_fields=on|off"),
        (["client", "option", "--client", "oa", "networks=10.0.0.1/8"], "10.0.0.1/8 has host bits set"),
        (["client", "option", "--client", "oa", "networks"], "no option networks"),
        (["client", "option", "--client", "nobody", "pct_fields=on"], "no client nobody"),
        (["client", "add-signing-key", "--client", "oa", "/nonexistent.pem"], "/nonexistent.pem"),
    ],
)
def test_what_is_wrong_is_told(server: Server, arguments: list[str], words: str) -> None:
    done = _run(server, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_numbers_beyond_all_bounds(server: Server) -> None:
    for number in ("99999999999999999999", "0", "-5", "９"):
        done = _run(server, "audit", "--limit", number)
        assert (done.returncode, "from 1 to 9999999" in done.stderr) == (2, True), done.stderr


def test_an_output_that_is_closed_or_full(server: Server) -> None:
    for line, words in (
        ("client add --id x2 >&-", "nothing was done"),
        ("client list >/dev/full", "No space left"),
        ("client show-key --client oa 2>&- >/dev/full", ""),
        ("client list 2>&-", ""),
        ("token inspect - <&-", ""),
    ):
        done = _shell(server, line)
        assert done.returncode == (0 if line == "client list 2>&-" else 1), (line, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
    assert "x2" not in server.cli("client", "list")


def test_a_terminal_without_chinese(server: Server) -> None:
    done = _shell(server, "client list", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0, done.stderr
    assert "\\u529e\\u516c" in done.stdout
    assert _shell(server, r"token inspect - <<< $'\xff\xfe'").returncode == 1


def test_what_others_wrote_does_nothing_to_a_terminal(server: Server) -> None:
    with closing(sqlite3.connect(server.folder / "data" / "info.db")) as database, database:
        database.execute("UPDATE client SET description = ? WHERE id = '0'", ("a\x1b[2J\nb\u202ec",))
    assert "a\\x1b[2J\\nb\\u202ec" in server.cli("client", "list")


def test_a_client_that_cannot_make_tokens_is_told_of_exactly(server: Server) -> None:
    server.cli("client", "add", "--id", "mute")
    server.cli("client", "disable", "--client", "mute")
    for command in (["client", "show-key"], ["token", "make", "--user", "u"]):
        done = _run(server, *command, "--client", "mute")
        assert (done.returncode, "mute is disabled and its tokens are refused" in done.stderr) == (0, True)
    server.cli("client", "revoke", "--client", "mute", "--key", "k1")
    for command in (["client", "show-key"], ["token", "make", "--user", "u"]):
        done = _run(server, *command, "--client", "mute")
        assert (done.returncode, "mute has no RSA key that is good" in done.stderr) == (1, True)


def test_a_key_is_written_for_its_owner_only_and_over_nothing(server: Server, tmp_path: Path) -> None:
    out, link = tmp_path / "key.pem", tmp_path / "link.pem"
    server.cli("client", "add", "--id", "filed", "--out", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    assert "BEGIN PUBLIC KEY" in out.read_text()
    link.symlink_to(tmp_path / "nowhere.pem")
    for path in (out, link, out / "below.pem"):
        done = _run(server, "client", "add", "--id", "unfiled", "--out", str(path))
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
    assert "unfiled" not in server.cli("client", "list")
    assert not (tmp_path / "nowhere.pem").exists()


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


def test_a_knowledge_base_is_shared_and_taken_back(server: Server) -> None:
    server.cli("client", "add", "--id", "law")
    server.cli("client", "add", "--id", "shop")
    editor = server.cli("api-key", "add", "--client", "law", "--scopes", "chat,kb:read,kb:write").strip()
    reader = server.cli("api-key", "add", "--client", "shop").strip()
    made = httpx2.post(
        f"{server.base}/knowledge_base/create_knowledge_base",
        headers={"Authorization": f"Bearer {editor}"},
        json={"knowledge_base_name": "rules", "kb_zh_name": "制度", "kb_info": ""},
    )
    assert made.status_code == 200, made.text

    def seen() -> bool:
        headers = {"Authorization": f"Bearer {reader}"}
        answer = httpx2.get(f"{server.base}/knowledge_base/list_knowledge_bases", headers=headers)
        return "rules" in answer.json()["data"]

    assert not seen()
    server.cli("kb", "share", "--client", "law", "rules")
    assert seen()
    assert re.search(
        r"rules +0 +everybody +e5-small +faiss +制度", server.cli("kb", "list", "--client", "law")
    )
    assert "rules" not in server.cli("kb", "list", "--client", "shop"), "it is not theirs"
    refused = _run(server, "kb", "unshare", "--client", "shop", "rules")
    assert (refused.returncode, seen()) == (1, True), "not theirs to take back"
    server.cli("kb", "unshare", "--client", "law", "rules")
    assert not seen()
    assert "its client" in server.cli("kb", "list", "--client", "law")
    audit = server.cli("audit", "--client", "law")
    assert ("kb.share" in audit, "kb.unshare" in audit) == (True, True)
