"""What is refused at the door: before its body is read, before the database is asked."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from server.auth.repository import list_audit
from tests.conftest import Callers

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database


def _forged(number: int) -> str:
    inner = base64.b64encode(number.to_bytes(256, "big"))
    return base64.b64encode(b"acme|" + inner).decode()


async def _ask(callers: Callers, method: str, path: str, **headers: str) -> tuple[int, dict, str]:
    """Send a head that announces a body, and no body; return the status, the answer and its headers."""
    host, port = callers.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        "Content-Length: 9",
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        async with asyncio.timeout(30):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            return int(head.split(" ")[1]), json.loads(await reader.readexactly(length)), head
    finally:
        writer.close()


@pytest.fixture
async def forger(callers: Callers) -> str:
    """An address from which twenty forged tokens came."""
    for number in range(20):
        nobody = callers.nobody(Api_Token=_forged(number), X_Forwarded_For="203.0.113.9")
        assert (await nobody.get("/knowledge_base/list_knowledge_bases")).status_code == 401
    return "203.0.113.9"


@pytest.mark.parametrize("path", ["/auth/session", "/auth/ticket", "/api/auth/session"])
async def test_an_exchange_from_a_forgers_address(callers: Callers, forger: str, path: str) -> None:
    status, body, head = await _ask(callers, "POST", path, X_Forwarded_For=forger)
    assert (status, body["error"]["code"], body["code"]) == (429, "too_many_requests", 429)
    assert "retry-after: " in head
    assert "x-request-id: " in head


async def test_a_new_token_from_a_forgers_address(callers: Callers, forger: str) -> None:
    token = await callers.token("acme", "u1")
    status, body, _ = await _ask(callers, "POST", "/chat/chat", Api_Token=token, X_Forwarded_For=forger)
    assert (status, body["error"]["code"]) == (429, "too_many_requests")


async def test_a_forged_token_seen_a_moment_ago(callers: Callers, forger: str) -> None:
    status, body, head = await _ask(
        callers, "POST", "/chat/chat", Api_Token=_forged(7), X_Forwarded_For="203.0.113.10"
    )
    assert (status, body["error"]["code"]) == (401, "invalid_token")
    assert "www-authenticate: bearer" in head


async def test_others_go_through(callers: Callers, forger: str) -> None:
    token = await callers.token("acme", "u1")
    for address in ("203.0.113.11", forger):  # the second: opened by now, wherever it comes from
        who = callers.nobody(Api_Token=token, X_Forwarded_For=address)
        assert (await who.get("/knowledge_base/list_knowledge_bases")).status_code == 200
    assert (await callers.nobody(X_Forwarded_For=forger).get("/health")).status_code == 200


class TestBodies:
    """What anybody may send before they have proved anything: little, and not often."""

    async def test_few_of_many_mistakes_are_told(self, callers: Callers) -> None:
        names = ["x" * 3000, *(str(number) for number in range(500))]
        answer = await callers.nobody().post("/auth/session", dict.fromkeys(names, 1))
        assert answer.status_code == 422
        assert len(answer.json()["detail"]) == 20
        assert "x" * 100 in answer.text
        assert "x" * 101 not in answer.text
        assert len(answer.content) < 5000

    @pytest.mark.parametrize("path", ["/auth/session", "/auth/ticket", "/sso"])
    async def test_a_large_body_is_not_read(self, callers: Callers, path: str) -> None:
        body = json.dumps({"x" * 17_000: 1})
        for content in (body.encode(), _in_pieces(body)):
            headers = {"Content-Type": "application/json"}
            answer = await callers.nobody().http.post(path, content=content, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    async def test_what_makes_no_sense_counts_as_an_exchange(self, callers: Callers) -> None:
        for _ in range(60):
            assert (await callers.nobody().post("/auth/session", {"x": 1})).status_code == 422
        good = {"api_token": await callers.token("acme", "u1")}
        assert (await callers.nobody().post("/auth/session", good)).status_code == 429
        elsewhere = callers.nobody(X_Forwarded_For="203.0.113.12")
        assert (await elsewhere.post("/auth/session", good)).status_code == 200


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:DB8::0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("fe80::1%<b>x", "fe80::1"),
        ("<b>root", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("a" * 5000, "127.0.0.1"),
        ("junk, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, junk", "127.0.0.1"),
    ],
)
async def test_an_address_is_one(callers: Callers, app: FastAPI, told: str, kept: str) -> None:
    nobody = callers.nobody(X_Forwarded_For=told)
    assert (await nobody.post("/auth/session", {"api_token": _forged(1)})).status_code == 401
    await app.state.tasks.drain()
    async with callers.services.database.read() as session:
        (row, *_) = await list_audit(session, offset=0, limit=1)
    assert (row.action, row.detail["address"]) == ("session.refuse", kept)


async def _in_pieces(text: str) -> AsyncIterator[bytes]:
    """Without a length that is told before."""
    for at in range(0, len(text), 5000):
        yield text[at : at + 5000].encode()
