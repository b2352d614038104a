"""What is refused at the door: before its body is read, before the database is asked."""

import asyncio
import base64
import json

import pytest

from tests.conftest import Callers


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
        async with asyncio.timeout(3):
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
