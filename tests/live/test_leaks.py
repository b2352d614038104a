"""Secrets and texts as canaries: after good calls and bad ones they are nowhere but where they belong."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.support.live import Server, wait_until
from tests.support.provider import KEY, provider_server

pytestmark = pytest.mark.live
QUESTION = "金丝雀问题"
TEXT = "金丝雀正文"
DOCUMENT = f"{TEXT}：员工每年有十天年假。\n"
Call = tuple[str, str, dict[str, Any]]
# What a vendor may answer with; the first repeats the key that it was given.

MODELS = ("wrong-key", "error-in-stream", "html", "echo")


@dataclass
class Planted:
    """A server, its secrets by name, and what it said when something was wrong."""

    server: Server
    secrets: dict[str, str]
    http: httpx2.Client
    refusals: list[httpx2.Response] = field(default_factory=list)

    def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = self.http.request(method, path, **options)
        if answer.status_code >= 400:
            self.refusals.append(answer)
        return answer


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    with provider_server() as provider:
        environ = {"SERVER__LOG_LEVEL": "debug", "LLM__DEFAULT": "quote"}
        for name in MODELS:
            section = f"LLM__{name.upper().replace('-', '_')}"
            environ |= {f"{section}__BASE_URL": provider.openai, f"{section}__MODEL": name}
            environ |= {f"{section}__API_KEY": KEY, f"{section}__RETRIES": "0"}
        with Server(tmp_path_factory.mktemp("leaks"), "--no-samples", **environ) as server:
            planted = Planted(server, _secrets(server), server.http())
            _use_rightly(planted)
            _use_wrongly(planted)
            yield planted


def _secrets(server: Server) -> dict[str, str]:
    scopes = ("chat", "kb:read", "kb:write", "vouch", "admin")
    key = server.caller("acme", *scopes).headers["authorization"].removeprefix("Bearer ")

    def token(user: str) -> str:
        return server.cli("token", "make", "--client", "acme", "--user", user).strip()

    def data(path: str, body: dict[str, Any]) -> dict[str, str]:
        answer = httpx2.post(f"{server.base}/auth/{path}", json=body, headers={"Api-Token": key})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    exchanged, folder = token("u1"), server.folder / "data" / "secrets"
    return {
        "api key": key,
        "used token": exchanged,
        "unused token": token("u2"),
        "session": data("session", {"api_token": exchanged})["session_token"],
        "used ticket": _used(data("ticket", {"user_id": "u3"})["ticket"], data),
        "unused ticket": data("ticket", {"user_id": "u3"})["ticket"],
        "passphrase": (folder / "demo_passphrase").read_text().strip(),
        "master key": (folder / "master.key").read_text().strip(),
        "provider's key": KEY,
    }


def _used(ticket: str, data: Callable[[str, dict[str, Any]], Any]) -> str:
    data("session", {"ticket": ticket})
    return ticket


def _use_rightly(planted: Planted) -> None:
    key = {"Authorization": f"Bearer {planted.secrets['api key']}"}
    session = {"Api-Token": planted.secrets["session"]}
    body = {"knowledge_base_name": "kb", "kb_zh_name": "kb", "kb_info": ""}
    assert planted.send("POST", "/knowledge_base/create_knowledge_base", json=body, headers=key).is_success
    sent = planted.send(
        "POST",
        "/knowledge_base/upload_docs",
        data={"knowledge_base_name": "kb"},
        files=[("files", ("a.txt", DOCUMENT.encode())), ("files", ("b.pdf", DOCUMENT.encode()))],
        headers=key,
    )
    assert sent.is_success, sent.text
    ask = {"query": QUESTION, "knowledge_base_name": "kb"}
    search = "/knowledge_base/search_docs"
    wait_until(lambda: TEXT in planted.send("POST", search, json=ask, headers=session).text)
    for model in ("quote", *MODELS):
        for path in ("/chat/knowledge_base_chat", "/chat/chat"):
            for stream in (False, True):
                chat = ask | {"model_name": model, "stream": stream}
                answer = planted.send("POST", path, json=chat, headers=session)
                assert KEY not in answer.text
    for client in ("0", "1"):
        planted.send("GET", "/sso", params={"client": client, "secret": planted.secrets["passphrase"]})
        planted.send("POST", "/sso", data={"client": client, "secret": planted.secrets["passphrase"]})
    inspected = planted.send(
        "POST", "/admin/tokens/inspect", json={"token": planted.secrets["used token"]}, headers=key
    )
    assert inspected.is_success


def _use_wrongly(planted: Planted) -> None:
    """Each secret wherever somebody may put it by mistake."""
    key = {"Authorization": f"Bearer {planted.secrets['api key']}"}
    for secret in [*planted.secrets.values(), QUESTION, TEXT]:
        for method, path, options in (*_in_addresses(secret), *_in_bodies(secret)):
            headers = key | options.pop("headers", {})
            planted.send(method, path, headers=headers, **options)
        for name in ("Api-Token", "X-Api-Key", "Cookie", "X-Forwarded-For", "Accept-Language"):
            if secret.isascii():
                planted.send("GET", "/auth/sessions", headers={name: secret})
                planted.send("GET", "/nowhere", headers={name: secret[:-2]})


def _in_addresses(secret: str) -> Iterator[Call]:
    quoted = quote(secret, safe="")
    places = ("/nowhere/", "/auth/sessions/", "/jobs/", "/h5/", "/api/", "/admin/clients/acme/api-keys/")
    yield from ((method, place + quoted, {}) for place in places for method in ("GET", "DELETE"))
    paths = ("/nowhere", "/ent-wechat-sso", "/jobs", "/recommend/question", "/sso", "/chat/chat")
    names = ("api_token", "secret", "token", "code", "state", "page", "num", "client")
    yield from (("GET", path, {"params": dict.fromkeys(names, secret)}) for path in paths)


def _in_bodies(secret: str) -> Iterator[Call]:
    """With fields of wrong kinds, with unknown fields, broken, and of the wrong type."""
    bodies = (
        {"query": secret, "temperature": secret},
        {"query": [secret], "session_id": secret, "unknown": secret},
        {"query": "年假", "session_id": secret, "chat_history_id": secret},
        {"user_id": "u1", "api_token": [secret], "ticket": {"a": secret}},
        {"api_token": secret[:-2], "public_key": secret, "token": secret},
        [secret],
    )
    paths = [
        *("/chat/chat", "/auth/session", "/auth/ticket", "/admin/tokens/inspect"),
        *("/admin/clients/acme/keys/signing", "/admin/clients/acme/api-keys"),
    ]
    yield from (("POST", path, {"json": body}) for path in paths for body in bodies)
    texts = (f'{{"query": "{secret}", "query": 1}}', f'{{"query": "{secret}', secret, f"\ud800{secret}")
    kinds = ("application/json", "text/plain", "multipart/form-data; boundary=x")
    for content in (text.encode("utf-8", "surrogatepass") for text in texts):
        for kind in kinds:
            for path in ("/chat/chat", "/knowledge_base/upload_docs", "/sso"):
                yield "POST", path, {"content": content, "headers": {"Content-Type": kind}}


def _found(planted: Planted, text: str | bytes, *texts: str) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    canaries = planted.secrets | {name: name for name in texts}
    return [name for name, secret in canaries.items() if secret.encode() in raw]


def test_the_calls_were_what_they_were_meant_to_be(planted: Planted) -> None:
    statuses = {answer.status_code for answer in planted.refusals}
    assert {400, 401, 404, 405, 422} <= statuses
    assert {status for status in statuses if status >= 500} == {502}, "only the vendor's faults"


def test_the_log_has_none(planted: Planted) -> None:
    log = planted.server.log()
    # The start says it once, on the operator's own terminal.
    announced = f"secret={planted.secrets['passphrase']}"
    assert log.count(announced) == 1
    rest = log.replace(announced, "")
    assert "path=/nowhere" in rest
    assert _found(planted, rest, QUESTION, TEXT, "PRIVATE KEY", "Traceback") == []
    assert not re.search(r"(?:sk-|st_|tk_)[\w-]{16,}", rest), "nor a part of one"


def test_nothing_that_is_stored_has_any(planted: Planted) -> None:
    """In the database, its journal and every other file; questions and documents belong there."""
    data = planted.server.folder / "data"
    files = [path for path in data.rglob("*") if path.is_file() and path.parent != data / "secrets"]
    database = b"".join(path.read_bytes() for path in files if path.name.startswith("info.db"))
    assert QUESTION.encode() in database
    assert {
        str(path): found for path in files if (found := _found(planted, path.read_bytes(), "PRIVATE KEY"))
    } == {}


def test_no_refusal_repeats_one(planted: Planted) -> None:
    assert len(planted.refusals) > 500
    for answer in planted.refusals:
        said = answer.text + str(answer.headers.multi_items())
        assert _found(planted, said, QUESTION, TEXT) == [], f"{answer.request.method} {answer.url}: {said}"


def test_the_documentation_has_none(planted: Planted) -> None:
    for path in ("/openapi.json", "/docs", "/health", "/ready"):
        answer = planted.send("GET", path)
        assert answer.status_code == 200
        assert _found(planted, answer.text, QUESTION, TEXT) == []


def test_the_process_list_has_none(planted: Planted) -> None:
    process = planted.server.process
    assert process is not None
    pids = [process.pid, *planted.server.children("api"), *planted.server.children("worker")]
    assert len(pids) == 3
    for pid in pids:
        assert _found(planted, Path(f"/proc/{pid}/cmdline").read_bytes(), QUESTION, TEXT) == []
