"""A stand-in for WeCom: a real server that speaks the API's part that signing on needs, and as strict as the real one.

It checks methods and parameters, knows which code it gave to whom, and lets codes and tokens grow old; `age` moves its
clock. `fail` makes the next calls of one kind go wrong. Its error texts repeat what was sent, as a trap for logs.
"""

import asyncio
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

SECRET = "canary-corpsecret-" + "s" * 25
_WORDS = {
    -1: "system busy",
    40001: "invalid credential",
    40013: "invalid corpid",
    40014: "invalid access_token",
    40029: "invalid code",
    40035: "invalid parameter",
    41001: "access_token missing",
    41002: "corpid missing",
    41004: "corpsecret missing",
    41008: "missing code",
    42001: "access_token expired",
    43001: "require GET method",
    45009: "api freq out of limit",
    60020: "not allow to access from your ip",
}
_MISSING = {"corpid": 41002, "corpsecret": 41004, "access_token": 41001, "code": 41008}
_TOKEN_LIFE, _CODE_LIFE = 7200, 300
_TICKETS_PER_HOUR = 100


class Refused(Exception):
    """The API says no."""

    def __init__(self, errcode: int) -> None:
        super().__init__(errcode)
        self.errcode = errcode


@dataclass
class Lent:
    """Something with a birthday: a token, a ticket, or a code and its person."""

    value: str
    born: float
    person: dict[str, str] = field(default_factory=dict)


@dataclass
class Wecom:
    """What the stand-in knows, and where it is."""

    corp_id: str = "wwc0ffee0123456789"
    agent_id: str = "1000002"
    trusted_domain: str = "kb.example.com"
    # Every gettoken ends the token before, as when two apps share a secret and one of them insists.
    harsh: bool = False
    # Seconds that every answer takes.
    delay: float = 0
    port: int = 0
    calls: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _offset: float = 0
    _token: Lent | None = None
    _codes: dict[str, Lent] = field(default_factory=dict)
    _tickets: dict[str, Lent] = field(default_factory=dict)
    _faults: dict[str, list[int | str]] = field(default_factory=dict)
    _asked: Counter[str] = field(default_factory=Counter)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environ(self, **more: str) -> dict[str, str]:
        """The settings of a server that is this corporation's app."""
        return {
            "WECOM__CORP_ID": self.corp_id,
            "WECOM__AGENT_ID": self.agent_id,
            "WECOM__SECRET": SECRET,
            "WECOM__API_URL": self.address,
            "WECOM__AUTHORIZE_URL": self.address,
            "SERVER__PUBLIC_URL": f"http://{self.trusted_domain}",
        } | more

    def age(self, seconds: float) -> None:
        self._offset += seconds

    def fail(self, call: str, *faults: int | str) -> None:
        """The next calls of this kind (`gettoken`, …) end so: an errcode, or one of `_BROKEN`'s ways."""
        self._faults.setdefault(call, []).extend(faults)

    def revoke_token(self) -> None:
        """The token ends early, as WeCom reserves the right to."""
        self._token = None

    def count(self, call: str) -> int:
        return sum(1 for name, _ in self.calls if name == call)

    def give_code(self, **person: str) -> str:
        """A code as the authorisation page makes one, for `userid=…` or `openid=…`."""
        code = f"canary-code-{secrets.token_urlsafe(24)}"
        self._codes[code] = Lent(code, self._now(), person)
        return code

    def _now(self) -> float:
        return time.monotonic() + self._offset

    # ── the API ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _gettoken(self, params: dict[str, str]) -> dict[str, Any]:
        _require(params, "corpid", "corpsecret")
        if params["corpid"] != self.corp_id:
            raise Refused(40013)
        if params["corpsecret"] != SECRET:
            raise Refused(40001)
        if self.harsh or self._token is None or self._now() - self._token.born > _TOKEN_LIFE - 60:
            self._token = Lent(f"canary-token-{secrets.token_urlsafe(48)}", self._now())
        left = int(_TOKEN_LIFE - (self._now() - self._token.born))
        return {"access_token": self._token.value, "expires_in": left}

    def _check_token(self, params: dict[str, str]) -> None:
        if self._token is None or params["access_token"] != self._token.value:
            raise Refused(40014)
        if self._now() - self._token.born > _TOKEN_LIFE:
            raise Refused(42001)

    def _getuserinfo(self, params: dict[str, str]) -> dict[str, Any]:
        _require(params, "access_token", "code")
        self._check_token(params)
        code = self._codes.pop(params["code"], None)
        if code is None or self._now() - code.born > _CODE_LIFE:
            raise Refused(40029)
        return dict(code.person)

    def _ticket(self, kind: str) -> dict[str, Any]:
        self._asked[kind] += 1
        if self._asked[kind] > _TICKETS_PER_HOUR:
            raise Refused(45009)
        ticket = self._tickets.get(kind)
        if ticket is None or self._now() - ticket.born > _TOKEN_LIFE:
            ticket = self._tickets[kind] = Lent(f"canary-ticket-{kind}-{secrets.token_hex(16)}", self._now())
        return {"ticket": ticket.value, "expires_in": int(_TOKEN_LIFE - (self._now() - ticket.born))}

    def _corp_ticket(self, params: dict[str, str]) -> dict[str, Any]:
        _require(params, "access_token")
        self._check_token(params)
        return self._ticket("corp")

    def _agent_ticket(self, params: dict[str, str]) -> dict[str, Any]:
        _require(params, "access_token", "type")
        self._check_token(params)
        if params["type"] != "agent_config":
            raise Refused(40035)
        return self._ticket("agent")

    def ticket(self, kind: str) -> str:
        """The ticket that was given out last, to check signatures with."""
        return self._tickets[kind].value

    # ── the page that asks a member ───────────────────────────────────────────────────────────────────────────────────

    def _authorize(self, params: dict[str, str], person: dict[str, str]) -> tuple[int, str, bytes]:
        wanted = {"appid", "redirect_uri", "response_type", "scope", "state", "agentid"}
        target = urlsplit(params.get("redirect_uri", ""))
        if params.keys() != wanted or params["appid"] != self.corp_id or params["response_type"] != "code":
            return 200, "", b"40035"
        if params["scope"] not in ("snsapi_base", "snsapi_privateinfo") or params["agentid"] != self.agent_id:
            return 200, "", b"40056"
        if not re.fullmatch(r"[A-Za-z0-9]{1,128}", params["state"]):
            return 200, "", b"40035"
        if target.netloc != self.trusted_domain or target.query or target.fragment:
            return 200, "", b"50001"
        query = {"state": params["state"]}
        if person:
            query = {"code": self.give_code(**person), **query}
        return 302, f"Location: {params['redirect_uri']}?{urlencode(query)}\r\n", b""

    # ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    await self._serve(head.decode("latin-1"), writer)
            finally:
                writer.transport.abort()

    async def _serve(self, head: str, writer: asyncio.StreamWriter) -> None:
        request, *lines = head.split("\r\n")
        method, target, _ = request.split(" ")
        url = urlsplit(target)
        pairs = parse_qsl(url.query, keep_blank_values=True, strict_parsing=True)
        if url.path == "/connect/oauth2/authorize":
            cookie = next((line for line in lines if line.lower().startswith("cookie: ")), "")
            person = dict(pair.split("=") for pair in cookie[8:].split("; ") if pair)
            status, extra, body = self._authorize(dict(pairs), person)
            await _send(writer, body, status=status, extra=extra)
            return
        call = url.path.removeprefix("/cgi-bin/")
        self.calls.append((call, dict(pairs)))
        await asyncio.sleep(self.delay)
        fault = self._faults.get(call, [])
        if fault and isinstance(fault[0], str):
            await _BROKEN[str(fault.pop(0))](writer)
            return
        answer = self._answer(method, call, pairs, errcode=int(fault.pop(0)) if fault else 0)
        await _send(writer, json.dumps(answer, ensure_ascii=False).encode())

    def _answer(
        self, method: str, call: str, pairs: list[tuple[str, str]], *, errcode: int
    ) -> dict[str, Any]:
        try:
            return {"errcode": 0, "errmsg": "ok", **self._call(method, call, pairs, errcode)}
        except Refused as refused:
            words = f"{_WORDS.get(refused.errcode, 'refused')} {pairs}, hint: [1763710000_17_d0e], from ip: 203.0.113.7"
            more = f"more info at https://open.work.weixin.qq.com/devtool/query?e={refused.errcode}"
            return {"errcode": refused.errcode, "errmsg": f"{words}, {more}"}

    def _call(self, method: str, call: str, pairs: list[tuple[str, str]], errcode: int) -> dict[str, Any]:
        if errcode:
            raise Refused(errcode)
        if method != "GET":
            raise Refused(43001)
        if len(dict(pairs)) != len(pairs):
            raise Refused(40035)
        calls: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
            "gettoken": self._gettoken,
            "auth/getuserinfo": self._getuserinfo,
            "get_jsapi_ticket": self._corp_ticket,
            "ticket/get": self._agent_ticket,
        }
        return calls[call](dict(pairs))


def _require(params: dict[str, str], *names: str) -> None:
    """Exactly these, none of them empty."""
    for name in names:
        if not params.get(name):
            raise Refused(_MISSING.get(name, 40035))
    if params.keys() != set(names):
        raise Refused(40035)


async def _send(writer: asyncio.StreamWriter, body: bytes, *, status: int = 200, extra: str = "") -> None:
    kind = "application/json; charset=UTF-8"
    head = f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _cut(writer: asyncio.StreamWriter) -> None:
    raise ConnectionError


async def _cut_inside(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 .\r\nContent-Length: 500\r\n\r\n{"errcode":0,')
    await writer.drain()
    raise ConnectionError


async def _silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _dribble(writer: asyncio.StreamWriter) -> None:
    """A byte now and then: no read ever takes long."""
    writer.write(b"HTTP/1.1 200 .\r\nContent-Length: 500\r\n\r\n")
    for _ in range(500):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


_GOOD = b'{"errcode":0,"userid":"u","access_token":"t","ticket":"t","expires_in":7200,'
_BROKEN: dict[str, Any] = {
    "cut": _cut,
    "cut inside": _cut_inside,
    "silence": _silence,
    "dribble": _dribble,
    "503": lambda writer: _send(writer, b"<h1>Service Unavailable</h1>", status=503),
    "redirect": lambda writer: _send(writer, b"", status=302, extra="Location: http://127.0.0.1:1/\r\n"),
    "html": lambda writer: _send(writer, "<!doctype html><title>代理</title>".encode()),
    "list": lambda writer: _send(writer, b"[]"),
    "endless": lambda writer: _send(writer, _GOOD + b'"x":"' + b"x" * 2**20 + b'"}'),
    "gzip": lambda writer: _send(writer, b"\x1f\x8b\x08garbage", extra="Content-Encoding: gzip\r\n"),
    "no number": lambda writer: _send(writer, b'{"errcode":"0"}'),
    "true": lambda writer: _send(writer, b'{"errcode":true}'),
    "nothing": lambda writer: _send(writer, b'{"errcode":0,"errmsg":"ok"}'),
    "no end": lambda writer: _send(writer, b'{"errcode":0,"access_token":"x","ticket":"x"}'),
    "strange user": lambda writer: _send(writer, b'{"errcode":0,"userid":"a|b"}'),
}


@asynccontextmanager
async def wecom_server() -> AsyncIterator[Wecom]:
    """Serve the stand-in on a free port, in this event loop."""
    wecom, tasks = Wecom(), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(wecom.converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    wecom.port = server.sockets[0].getsockname()[1]
    try:
        yield wecom
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
