"""The product as operators run it: started by its own command, killed, restarted, asked from outside."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.support.live import Server, wait_until

pytestmark = pytest.mark.live
LEAVE = "员工年假规定：满十年不满二十年的，年休假十天。"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with two API processes for the tests that do not break it."""
    with Server(tmp_path_factory.mktemp("live"), "--workers", "2") as running:
        yield running


def _upload(http: httpx2.Client, kb: str, name: str, text: str) -> str:
    answer = http.post(
        "/knowledge_base/upload_docs",
        data={"knowledge_base_name": kb},
        files=[("files", (name, text.encode()))],
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["documents"][0]["job_id"]


def _create(http: httpx2.Client, kb: str) -> None:
    body = {"knowledge_base_name": kb, "kb_zh_name": kb, "kb_info": ""}
    assert http.post("/knowledge_base/create_knowledge_base", json=body).status_code == 200


def test_the_first_start_says_where_to_go_and_the_demo_works(server: Server) -> None:
    log = server.log()
    assert "4 of 4 documents ready" in log
    link = re.search(r"demo\s+(http\S+)", log)
    assert link is not None
    answer = httpx2.get(link[1])
    assert answer.status_code == 307
    ticket = answer.headers["location"].partition("#tk=")[2]
    login = httpx2.post(f"{server.base}/auth/session", json={"ticket": ticket}).json()["data"]
    http = server.http(Authorization=f"Bearer {login['session_token']}")
    assert http.get("/recommend/question", params={"num": 20, "kb_name": "handbook"}).json()["data"][9][
        "query"
    ]
    body = {"query": "今年没休完的年假能留到明年吗？", "knowledge_base_name": "handbook"}
    assert "次年3月31日" in http.post("/chat/knowledge_base_chat", json=body, timeout=60).json()["answer"]
    page = httpx2.get(f"{server.base}/", follow_redirects=True)
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assets = re.findall(r'(?:src|href)="(/h5/[^"]+)"', page.text)
    assert assets
    for asset in assets:
        assert httpx2.get(f"{server.base}{asset}").status_code == 200, asset
    assert httpx2.get(f"{server.base}/h5/none.js").status_code == 404
    assert httpx2.get(f"{server.base}/h5/..%2f..%2fpyproject.toml").status_code in (200, 404)
    assert "requires-python" not in httpx2.get(f"{server.base}/h5/..%2f..%2fpyproject.toml").text


def test_a_user_made_by_the_command_line_asks(server: Server) -> None:
    http = server.caller("shop")
    _create(http, "制度")
    _upload(http, "制度", "a.txt", LEAVE)
    token = server.cli("token", "make", "--client", "shop", "--user", "u1", "--name", "张三").strip()
    login = httpx2.post(f"{server.base}/auth/session", json={"api_token": token}).json()["data"]
    user = server.http(Authorization=f"Bearer {login['session_token']}")
    wait_until(
        lambda: user.post(
            "/knowledge_base/search_docs", json={"query": "年假", "knowledge_base_name": "制度"}
        ).json()
    )
    answer = user.post(
        "/chat/knowledge_base_chat", json={"query": "工作满十年有几天年假？", "knowledge_base_name": "制度"}
    )
    assert "十天" in answer.json()["answer"]
    assert user.post("/knowledge_base/delete_knowledge_base", json="制度").status_code == 403


def test_every_api_process_sees_what_another_did(server: Server) -> None:
    """New connections reach either of the two processes."""
    assert len(server.children("api")) == 2
    http = server.caller("both")
    _create(http, "kb")
    body = {"query": "年假", "knowledge_base_name": "kb"}

    def ask() -> list[str]:
        answer = httpx2.post(
            f"{server.base}/knowledge_base/search_docs", json=body, headers=dict(http.headers)
        )
        assert answer.status_code == 200
        return [hit["metadata"]["source"] for hit in answer.json()]

    for _ in range(20):
        assert ask() == []
    _upload(http, "kb", "a.txt", LEAVE)
    wait_until(lambda: ask() == ["a.txt"])
    for _ in range(30):
        assert ask() == ["a.txt"]
    http.post(
        "/knowledge_base/delete_docs",
        json={"knowledge_base_name": "kb", "file_names": ["a.txt"], "delete_content": True},
    )
    for _ in range(30):
        assert ask() == []


def test_secrets_are_not_in_the_log(server: Server) -> None:
    http = server.caller("quiet")
    token = server.cli("token", "make", "--client", "quiet", "--user", "u1").strip()
    passphrase = (server.folder / "data" / "secrets" / "demo_passphrase").read_text().strip()
    httpx2.get(f"{server.base}/sso", params={"client": "0", "secret": passphrase})
    httpx2.get(f"{server.base}/knowledge_base/list_knowledge_bases", headers={"Api-Token": token})
    login = httpx2.post(f"{server.base}/auth/session", json={"api_token": token}).json()["data"][
        "session_token"
    ]
    httpx2.get(f"{server.base}/nowhere", params={"api_token": token, "secret": passphrase})
    httpx2.post(
        f"{server.base}/chat/chat", json={"query": "我的秘密问题 canary"}, headers={"Api-Token": token}
    )
    log = server.log()
    announced = log.count(f"secret={passphrase}")
    assert announced == 1, "only where the start announces it"
    for secret in (
        token,
        login,
        http.headers["authorization"].removeprefix("Bearer "),
        "canary",
        "PRIVATE KEY",
    ):
        assert secret not in log
    assert log.replace(f"secret={passphrase}", "").count(passphrase) == 0


def test_secret_files_are_for_their_owner_only(server: Server) -> None:
    folder = server.folder / "data" / "secrets"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, *sorted(folder.iterdir()))] == [
        "0o700",
        *["0o600"] * 3,
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["client", "add", "--id", "a b"], "a client id is"),
        (["client", "add", "--id", "0"], "exists already"),
        (["api-key", "add", "--client", "nobody"], "no client nobody"),
        (["api-key", "add", "--client", "0", "--scopes", "chat,fly"], "fly"),
        (["token", "make", "--client", "nobody", "--user", "u"], "no client nobody"),
        (["token", "make", "--client", "0", "--user", ""], "user_id"),
        (["token", "make", "--client", "0", "--user", "u", "--name", "名" * 100], "shorten"),
    ],
)
def test_the_command_line_says_what_is_wrong(server: Server, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        env=server.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_killed_processes_come_back_and_nothing_is_lost(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples", INGEST__LEASE="2s") as server:
        http = server.caller("acme")
        _create(http, "kb")
        text = "\n".join(f"第{n}条：凡是第{n}类的员工都要遵守第{n}项规定，不得有误。" for n in range(250))
        job = _upload(http, "kb", "long.txt", text)
        wait_until(lambda: http.get(f"/jobs/{job}").json()["data"]["done"] > 0)
        for name in ("worker", "api"):
            (pid,) = server.children(name)
            os.kill(pid, signal.SIGKILL)
        server.wait_for("starting it again", times=2)

        def finished() -> bool:
            try:
                return http.get(f"/jobs/{job}").json()["data"]["state"] == "done"
            except httpx2.TransportError:
                return False

        wait_until(finished)
        data = http.get(f"/jobs/{job}").json()["data"]
        assert data["attempts"] == 2
        assert data["done"] == data["total"]
        body = {"query": "第77类员工", "knowledge_base_name": "kb", "top_k": 5}
        hits = http.post("/knowledge_base/search_docs", json=body).json()
        assert len({hit["metadata"]["chunk_id"] for hit in hits}) == 5


def test_a_restart_keeps_everything_and_makes_nothing_twice(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        http = server.caller("acme")
        _create(http, "kb")
        _upload(http, "kb", "a.txt", LEAVE)
        found = {"query": "年假", "knowledge_base_name": "kb"}
        wait_until(lambda: http.post("/knowledge_base/search_docs", json=found).json())
        folder = tmp_path / "data" / "secrets"
        secrets = {path.name: path.read_text() for path in folder.iterdir()}
        assert server.stop(signal.SIGINT) == 0
        assert server.children("api") == server.children("worker") == []
        server.start()
        hits = http.post("/knowledge_base/search_docs", json=found).json()
        assert [hit["metadata"]["source"] for hit in hits] == ["a.txt"]
        assert {path.name: path.read_text() for path in folder.iterdir()} == secrets
        assert server.log().count("demo client made") == 1


def test_a_worker_in_the_middle_of_a_huge_record_ends_when_it_is_told(tmp_path: Path) -> None:
    columns = range(6_000)
    table = ",".join(f"列{n}" for n in columns) + "\n" + ",".join(f"值{n}" for n in columns)
    with Server(tmp_path, "--no-samples") as server:
        http = server.caller()
        _create(http, "kb")
        job = _upload(http, "kb", "wide.csv", table)
        wait_until(lambda: http.get(f"/jobs/{job}").json()["data"]["done"] > 0)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 22, "the supervisor kills what has not ended after 25 seconds"


def test_children_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        pids = server.children("api") + server.children("worker")
        assert len(pids) == 2
        server.stop(signal.SIGKILL)
        wait_until(lambda: not any(_alive(pid) for pid in pids))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _startup(tmp_path: Path, *options: str, **environ: str) -> tuple[int, str]:
    known = {"PATH": os.environ["PATH"], "SERVER__DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "startup.py", "--lite", *options],
        cwd=ROOT,
        env=known | environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_wrong_configuration_stops_the_start(tmp_path: Path) -> None:
    status, said = _startup(tmp_path, SERVER__PROT="1")
    assert (status, "[server] prot" in said, "Traceback" in said) == (3, True, False)
    status, said = _startup(tmp_path, "--config", str(tmp_path / "none.ini"))
    assert (status, "none.ini" in said) == (3, True)
    status, said = _startup(tmp_path, LLM__OPENAI_API__PRESET="nobody")
    assert (status, "preset" in said, "Traceback" in said) == (3, True, False)


def test_another_master_key_stops_the_start(tmp_path: Path) -> None:
    with Server(tmp_path, "--no-samples") as server:
        pass
    (tmp_path / "data" / "secrets" / "master.key").write_text("ab" * 32 + "\n")
    status, said = _startup(tmp_path, "--port", str(server.port))
    assert status == 3
    assert "master key" in said
    assert "Traceback" not in said


def test_a_port_in_use_is_named(server: Server, tmp_path: Path) -> None:
    status, said = _startup(tmp_path, "--no-samples", "--port", str(server.port))
    assert status == 1
    assert f"cannot listen on 127.0.0.1:{server.port}" in said
    assert "PORT=" in said
