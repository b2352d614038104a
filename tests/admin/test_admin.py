"""What an operator does over HTTP, and what an administrator of one client may do of it."""

import asyncio
import base64
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from Crypto.Cipher import PKCS1_OAEP
from Crypto.PublicKey import ECC, RSA
from fastapi import FastAPI
from sqlalchemy import select

from server.admin.deps import is_operator
from server.app import create_app
from server.auth import api_token
from server.auth.models import APIKey, Audit, User
from server.auth.principal import Principal, Role, Scope
from server.auth.repository import list_api_keys, list_standing
from server.auth.sessions import start_session
from server.core.settings import Settings
from server.core.threads import Lane, Lanes
from tests.conftest import Callers, key_pair
from tests.support.api import Caller

CLIENT = "/admin/clients/acme"


@pytest.fixture
async def operator(callers: Callers) -> Caller:
    """An api key with the scope `admin`."""
    return await callers.key("acme", "admin")


@pytest.fixture
async def boss(callers: Callers) -> Caller:
    """A person who administers `acme`, next to another client."""
    await callers.client("other")
    return await callers.user("acme", "boss", Role.ADMIN)


async def _send(caller: Caller, method: str, path: str, body: Any = None) -> httpx2.Response:
    return await caller.http.request(method, path, json=body)


async def _data(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    answer = await _send(caller, method, path, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_client_from_its_first_key_to_its_end(callers: Callers, operator: Caller) -> None:
    made = await _data(operator, "POST", "/admin/clients", {"client_id": "oa", "policy": "compat"})
    assert (made["kid"], made["state"]) == ("k1", "active")
    issuer = RSA.import_key(made["public_key"])
    now = callers.services.runtime.clock.now()
    user = callers._caller(Api_Token=api_token.make_token("oa", "zhang", "张三", now, issuer))
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 200

    again = await _send(operator, "POST", "/admin/clients", {"client_id": "oa"})
    assert again.json()["error"]["code"] == "already_exists"
    assert "oa" in [row["client_id"] for row in await _data(operator, "GET", "/admin/clients")]

    rotated = await _data(operator, "POST", "/admin/clients/oa/keys/rotate", {"overlap_days": 1})
    shown = await _data(operator, "POST", "/admin/clients/oa/keys/show")
    assert shown["public_key"] == rotated["public_key"] != made["public_key"]
    keys = await _data(operator, "GET", "/admin/clients/oa/keys")
    assert {key["kid"]: key["state"] for key in keys} == {"k1": "retiring", "k2": "active"}
    assert "BEGIN" not in str(keys)
    ended = await _data(operator, "DELETE", "/admin/clients/oa/keys/k1")
    assert ended["state"] == "disabled"
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 401

    user = callers._caller(
        Api_Token=api_token.make_token("oa", "zhang", "", now, RSA.import_key(rotated["public_key"]))
    )
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 200
    changed = await _data(
        operator,
        "PATCH",
        "/admin/clients/oa",
        {
            "enabled": False,
            "policy": "strict",
            "frame_ancestors": ["https://oa.example.com"],
            "max_blocks": 2,
            "pct_fields": True,
            "networks": ["10.0.0.0/8", "::1"],
        },
    )
    assert changed["enabled"] is False
    assert changed["policy"] == "strict"
    assert (changed["max_blocks"], changed["pct_fields"]) == (2, True)
    assert changed["networks"] == ["10.0.0.0/8", "::1/128"]
    for bad in ({"max_blocks": 5}, {"max_blocks": 0}, {"pct_fields": "maybe"}, {"networks": ["x"]}):
        assert (await _send(operator, "PATCH", "/admin/clients/oa", bad)).status_code == 422
    changed = await _data(operator, "PATCH", "/admin/clients/oa", {"pct_fields": False, "networks": []})
    assert changed["networks"] == []
    assert (changed["max_blocks"], changed["pct_fields"], changed["policy"]) == (2, False, "strict")
    assert changed["frame_ancestors"] == ["https://oa.example.com"]
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 401


async def test_a_rotation_without_a_body_overlaps_a_week(operator: Caller) -> None:
    assert (await _data(operator, "POST", f"{CLIENT}/keys/rotate"))["kid"] == "k2"
    old, _ = await _data(operator, "GET", f"{CLIENT}/keys")
    assert old["state"] == "retiring"
    life = datetime.fromisoformat(old["retire_time"]) - datetime.now(UTC)
    assert timedelta(days=6) < life <= timedelta(days=7)


@pytest.fixture
def drawn(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lanes that were used, once the server is asked for a key."""
    lanes: list[str] = []
    run = Lanes.run

    async def noted(self: Lanes, lane: Lane, *call: Any) -> Any:
        lanes.append(lane)
        return await run(self, lane, *call)

    monkeypatch.setattr(Lanes, "run", noted)
    return lanes


async def test_no_key_is_drawn_for_whoever_may_not_have_one(
    callers: Callers, operator: Caller, boss: Caller, drawn: list[str]
) -> None:
    await _data(operator, "POST", "/admin/clients/other/keys/pkcs1v15")
    await _data(operator, "POST", "/admin/clients/other/keys/rotate", {})
    assert drawn.count("keys") == 2, "beside the lane of logins"
    for caller, path, body, status in (
        (boss, "/admin/clients/other/keys/rotate", {}, 404),
        (operator, "/admin/clients/nobody/keys/rotate", {}, 404),
        (operator, "/admin/clients/other/keys/rotate", {}, 409),
        (operator, "/admin/clients/other/keys/pkcs1v15", None, 409),
        (operator, "/admin/clients", {"client_id": "other"}, 409),
        (operator, "/admin/clients", {"client_id": "o o"}, 422),
        (operator, "/admin/clients", {"client_id": "oa", "description": "a\x1b[2J"}, 422),
        (operator, "/admin/clients", {"client_id": "oa", "description": "a\nb"}, 422),
    ):
        assert (await _send(caller, "POST", path, body)).status_code == status
    assert drawn.count("keys") == 2
    await _data(operator, "POST", "/admin/clients/other/keys/rotate", {"force": True})


async def test_few_wait_for_a_key(app: FastAPI, operator: Caller) -> None:
    lanes, done = app.state.desk.runtime.lanes, threading.Event()
    waiting = [asyncio.ensure_future(lanes.run("keys", done.wait, 20)) for _ in range(5)]
    await asyncio.sleep(0.1)
    try:
        answer = await _send(operator, "POST", f"{CLIENT}/keys/rotate", {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert (await operator.get("/health")).status_code == 200
    finally:
        done.set()
        await asyncio.gather(*waiting)


class TestOverlap:
    @pytest.fixture
    def app(self, settings: Settings) -> FastAPI:
        auth = settings.auth.model_copy(update={"key_overlap": timedelta(days=3)})
        return create_app(settings.model_copy(update={"auth": auth}))

    async def test_the_old_key_is_good_for_as_long_as_is_configured(self, operator: Caller) -> None:
        await _data(operator, "POST", f"{CLIENT}/keys/rotate", {})
        old, _ = await _data(operator, "GET", f"{CLIENT}/keys")
        left = datetime.fromisoformat(old["retire_time"]) - datetime.now(UTC)
        assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


async def test_signing_keys_and_pkcs1v15(operator: Caller) -> None:
    public = ECC.generate(curve="p256").public_key().export_key(format="PEM")
    key = await _data(operator, "POST", f"{CLIENT}/keys/signing", {"public_key": public, "kid": "es"})
    assert (key["kid"], key["kind"]) == ("es", "v2")
    refused = await _send(operator, "POST", f"{CLIENT}/keys/signing", {"public_key": "nonsense"})
    assert refused.status_code == 422
    old = await _data(operator, "POST", f"{CLIENT}/keys/pkcs1v15")
    assert old["kind"] == "rsa-v15"


async def test_users_and_their_sessions(callers: Callers, operator: Caller) -> None:
    user = await callers.user("acme", "u1")
    await user.get("/knowledge_base/list_knowledge_bases")
    listed = await _data(operator, "GET", f"{CLIENT}/users")
    assert [(row["user_id"], row["role"]) for row in listed["items"]] == [("u1", "reader")]
    changed = await _data(operator, "PATCH", f"{CLIENT}/users/u1", {"role": "manager"})
    assert changed["role"] == "manager"
    login = await _data(user, "POST", "/auth/session")
    session = callers._caller(Authorization=f"Bearer {login['session_token']}")
    assert (await session.get("/knowledge_base/list_knowledge_bases")).status_code == 200
    (row,) = await _data(operator, "GET", f"{CLIENT}/sessions?user_id=u1")
    assert login["session_token"] not in str(row)
    assert await _data(operator, "DELETE", f"{CLIENT}/sessions/{row['session_id']}") == {"count": 1}
    assert (await session.get("/knowledge_base/list_knowledge_bases")).status_code == 401
    assert (await _send(operator, "DELETE", f"{CLIENT}/sessions/{row['session_id']}")).status_code == 404
    await _data(operator, "PATCH", f"{CLIENT}/users/u1", {"enabled": False})
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 401
    assert (await _send(operator, "PATCH", f"{CLIENT}/users/nobody", {"enabled": False})).status_code == 404


@pytest.mark.parametrize("user_id", ["a/b", "../..", "张 三", "a?b#c", "%2e%2e", "x&y=1"])
async def test_a_user_whatever_their_id_holds(callers: Callers, operator: Caller, user_id: str) -> None:
    user = await callers.user("acme", user_id)
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 200
    answer = await operator.http.patch(
        f"{CLIENT}/users", params={"user_id": user_id}, json={"enabled": False}
    )
    assert (answer.json()["data"]["user_id"], answer.json()["data"]["enabled"]) == (user_id, False)
    assert (await user.get("/knowledge_base/list_knowledge_bases")).status_code == 401
    (acme,) = await _data(operator, "GET", "/admin/clients")
    assert acme["enabled"] is True


async def test_api_keys(callers: Callers, operator: Caller) -> None:
    secret = (await _data(operator, "POST", f"{CLIENT}/api-keys", {"scopes": ["chat", "kb:read"]}))["secret"]
    program = callers._caller(Authorization=f"Bearer {secret}")
    assert (await program.get("/knowledge_base/list_knowledge_bases")).status_code == 200
    keys = await _data(operator, "GET", f"{CLIENT}/api-keys")
    assert secret not in str(keys)
    (mine,) = [key for key in keys if key["last4"] == secret[-4:]]
    await _data(operator, "DELETE", f"{CLIENT}/api-keys/{mine['key_id']}")
    assert (await program.get("/knowledge_base/list_knowledge_bases")).status_code == 401
    wrong = await _send(operator, "POST", f"{CLIENT}/api-keys", {"scopes": ["fly"]})
    assert wrong.status_code == 422


async def test_a_token_is_explained(callers: Callers, operator: Caller) -> None:
    token = await callers.token("acme", "u1")
    steps = await _data(operator, "POST", "/admin/tokens/inspect", {"token": token})
    assert all(step["passed"] for step in steps)
    assert "来自" not in str(steps)
    ahead = callers.services.runtime.clock.now() + timedelta(seconds=100)
    fast = api_token.make_token("acme", "u1", "", ahead, key_pair("acme").public_key())
    await callers._caller(Api_Token=fast).get("/auth/sessions")
    steps = await _data(operator, "POST", "/admin/tokens/inspect", {"token": token})
    (time,) = [step["found"] for step in steps if step["step"] == "time"]
    assert "来自" in time, "what the server saw of this client's clock"
    *_, last = await _data(operator, "POST", "/admin/tokens/inspect", {"token": token[:-9]})
    assert last["passed"] is False
    assert last["found"]


async def test_every_change_stands_in_the_audit_without_secrets(callers: Callers, operator: Caller) -> None:
    made = await _data(operator, "POST", "/admin/clients", {"client_id": "oa"})
    secret = (await _data(operator, "POST", f"{CLIENT}/api-keys", {}))["secret"]
    await _data(operator, "PATCH", "/admin/clients/oa", {"enabled": False})
    rows = await _data(operator, "GET", "/admin/audit?page_size=500")
    actions = [(row["action"], row["client_id"]) for row in rows]
    for expected in (
        ("client.add", "oa"),
        ("key.show", "oa"),
        ("api-key.add", "acme"),
        ("client.disable", "oa"),
    ):
        assert expected in actions
    (disabled,) = [row for row in rows if row["action"] == "client.disable"]
    assert disabled["actor"].startswith("acme/key:")
    assert [row["client_id"] for row in await _data(operator, "GET", "/admin/audit?client_id=oa")] == [
        "oa"
    ] * 3
    async with callers.services.database.read() as session:
        everything = str([vars(row) for row in await session.scalars(select(Audit))])
    assert secret not in everything
    assert made["public_key"][40:80] not in everything


# One row a route: method, path, body. A new route under /admin without a row here fails the test below.
ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/admin/clients/{client_id}/keys", None),
    ("POST", "/admin/clients/{client_id}/keys/show", None),
    ("POST", "/admin/clients/{client_id}/keys/rotate", {}),
    ("POST", "/admin/clients/{client_id}/keys/signing", {"public_key": "x"}),
    ("POST", "/admin/clients/{client_id}/keys/pkcs1v15", None),
    ("DELETE", "/admin/clients/{client_id}/keys/{kid}", None),
    ("PATCH", "/admin/clients/{client_id}", {"policy": "compat"}),
    ("GET", "/admin/clients/{client_id}/users", None),
    ("PATCH", "/admin/clients/{client_id}/users?user_id=u1", {"role": "admin"}),
    ("PATCH", "/admin/clients/{client_id}/users/{user_id}", {"role": "admin"}),
    ("GET", "/admin/clients/{client_id}/sessions", None),
    ("DELETE", "/admin/clients/{client_id}/sessions", None),
    ("DELETE", "/admin/clients/{client_id}/sessions/{session_id}", None),
    ("GET", "/admin/clients/{client_id}/api-keys", None),
    ("POST", "/admin/clients/{client_id}/api-keys", {}),
    ("DELETE", "/admin/clients/{client_id}/api-keys/{key_id}", None),
    ("GET", "/admin/clients", None),
    ("POST", "/admin/clients", {"client_id": "new"}),
    ("POST", "/admin/tokens/inspect", {"token": "x"}),
    ("GET", "/admin/audit", None),
]
OPERATORS_ONLY = {"/admin/tokens/inspect", "/admin/clients/{client_id}/keys/pkcs1v15"}
IDS = {"kid": "k1", "user_id": "u1", "session_id": "s1", "key_id": "ak_1"}


def test_every_route_stands_in_the_matrix(app: Any) -> None:
    paths = app.openapi()["paths"]
    there = {(method.upper(), path) for path in paths if path.startswith("/admin") for method in paths[path]}
    assert there == {(method, path.partition("?")[0]) for method, path, _ in ROUTES}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_who_may_not(callers: Callers, boss: Caller, method: str, path: str, body: Any) -> None:
    """Nobody: 401. A reader, a manager, a program without the scope: 403. An administrator at another client: 404."""
    at = {name: path.format(client_id=name, **IDS) for name in ("acme", "other")}
    assert (await _send(callers.nobody(), method, at["acme"], body)).status_code == 401
    for caller in (
        await callers.user("acme", "reader"),
        await callers.user("acme", "manager", Role.MANAGER),
        await callers.key("acme", "chat", "kb:read", "kb:write", "usage"),
    ):
        assert (await _send(caller, method, at["acme"], body)).status_code == 403
    if "{client_id}" in path:
        expected = 403 if path in OPERATORS_ONLY else 404
        answer = await _send(boss, method, at["other"], body)
        assert answer.status_code == expected, answer.text
        for name in ("k1", "BEGIN PUBLIC"):
            assert name not in answer.text or path in OPERATORS_ONLY


async def test_nobody_passes_for_an_operator(callers: Callers, boss: Caller) -> None:
    """An administrator cannot make somebody whose id is like an api key's, which operates all clients."""
    plain = f"acme|key:evil||{int(callers.services.runtime.clock.now().timestamp())}".encode()
    sealed = PKCS1_OAEP.new(key_pair("acme").public_key()).encrypt(plain)
    evil = callers._caller(Api_Token=base64.b64encode(b"acme|" + sealed).decode())
    assert (await evil.get("/auth/sessions")).status_code == 401
    raised = await _send(boss, "PATCH", f"{CLIENT}/users/key:evil", {"role": "admin"})
    assert raised.status_code == 404


async def test_an_administrator_stays_at_home(callers: Callers, boss: Caller) -> None:
    assert [row["client_id"] for row in await _data(boss, "GET", "/admin/clients")] == ["acme"]
    assert (await _send(boss, "POST", "/admin/clients", {"client_id": "new"})).status_code == 403
    assert (await _send(boss, "PATCH", CLIENT, {"enabled": False})).status_code == 403
    assert (await _send(boss, "POST", f"{CLIENT}/api-keys", {"scopes": ["admin"]})).status_code == 403
    assert (await _send(boss, "GET", "/admin/audit?client_id=other")).status_code == 404
    rows = await _data(boss, "GET", "/admin/audit?page_size=500")
    assert {row["client_id"] for row in rows} <= {"acme"}
    stranger = await callers.key("other", "chat")
    assert stranger
    async with callers.services.database.read() as session:
        (theirs,) = await list_api_keys(session, "other")
    assert (await _send(boss, "DELETE", f"{CLIENT}/api-keys/{theirs.id}")).status_code == 404
    await callers.user("acme", "u2")


async def test_a_name_makes_nobody_an_operator(callers: Callers, operator: Caller) -> None:
    """A person `key:…`, whom a database of before such names were refused may hold: neither an operator nor a key."""
    async with callers.services.database.write() as session:
        (key,) = await list_api_keys(session, "acme")
        now = callers.services.runtime.clock.now()
        for name in ("key:boss", f"key:{key.id}"):
            user = User(client_id="acme", id=name, role=Role.ADMIN, enabled=True, created_at=now)
            session.add(user)
            await session.flush()
            login = await start_session(session, user, callers.services.settings.auth, now)
            callers._caller(Authorization=f"Bearer {login}")
    for caller in callers.made[-2:]:
        assert (await _send(caller, "GET", "/admin/clients")).status_code == 401
    async with callers.services.database.write() as session:
        (await session.get_one(APIKey, key.id)).enabled = False
    async with callers.services.database.read() as session:
        assert await list_standing(session, {("acme", f"key:{key.id}")}) == set(), (
            "nobody stands in for a key"
        )


@pytest.mark.parametrize("name", ["key:boss", "boss"])
def test_an_operator_is_an_api_key_with_the_scope(name: str) -> None:
    person = Principal("acme", name, "", frozenset(Scope))
    assert not is_operator(person)
    assert is_operator(replace(person, api_key_id="ak_1"))
    assert not is_operator(replace(person, api_key_id="ak_1", scopes=frozenset({Scope.CHAT})))


@pytest.mark.parametrize(
    ("path", "body"),
    [("/admin/clients", {"client_id": "oa", "secret": 1}), (f"{CLIENT}/keys/rotate", {"overlap_days": -1})],
)
async def test_unknown_and_wrong_fields_are_refused(operator: Caller, path: str, body: Any) -> None:
    assert (await _send(operator, "POST", path, body)).status_code == 422


async def test_a_large_body_is_refused(operator: Caller) -> None:
    many = dict.fromkeys((f"key{number}" for number in range(2000)), 1)
    answer = await _send(operator, "POST", "/admin/clients", many)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    longest = await _send(operator, "POST", "/admin/tokens/inspect", {"token": "x" * 10_000})
    assert longest.status_code == 200
