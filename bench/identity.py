"""Logins per second, and what a flood of bad tokens does to those who are in already.

The server is startup.py with one API process and its shipped configuration, except where a figure says otherwise; all
load comes from a second process on this machine, so server and generator share its cores.
"""

import asyncio
import base64
import json
import secrets
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from Crypto.PublicKey import RSA

from bench.load import Elsewhere, Load, Outcome, offer, offer_elsewhere, request
from bench.report import Figure, percentile, show, spread
from bench.startup import Running
from server.auth.api_token import make_token

_PEOPLE, _CALLS, _ASKING = 1500, 3000, 16
_EXCHANGES_GOAL = 250
_BAD_RATE, _BAD_CONNECTIONS, _GOOD_RATE, _SECONDS, _P99_GOAL = 1000, 1000, 20, 20, 250
# No connection waits for another while there are less than _BAD_CONNECTIONS: whoever floods does not wait for answers.
# In the run with few addresses each is soon over `failures_per_address`; in the other one no address comes twice.
_FEW = 50
_LIST = "/knowledge_base/list_knowledge_bases"
_MANY = "1000000"
_RAISED = {"AUTH__EXCHANGES_PER_ADDRESS": _MANY, "AUTH__NEW_USERS_PER_HOUR": _MANY}
_EXCHANGING, _COMPAT = "issuer", "page"


async def run() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with _serving(folder, **_RAISED) as running:
            keys = _new_clients(running)
            api_key = running.cli("api-key", "add", "--client", _EXCHANGING, "--scopes", "kb:read").strip()
            figures = await _exchanges(running, keys[_EXCHANGING])
            figures += await _calls(running, keys[_COMPAT])
        show("Identity: logins over HTTP", figures)
        for path in (_LIST, "/auth/session"):
            for addresses in (_FEW, None):
                with _serving(folder, SERVER__LOG_LEVEL="info") as running:
                    figures = await _flood(running, keys[_EXCHANGING], api_key, path, addresses)
                where = f"to {path} from {addresses or 'always new'} addresses"
                show(f"Flood: {_BAD_RATE} bad tokens a second for {_SECONDS} s {where}", figures)


@contextmanager
def _serving(folder: Path, **environ: str) -> Iterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "server.log").open("ab") as log:
        running = Running(folder, port, log, **environ)
        try:
            running.seconds_to_health()
            yield running
        finally:
            running.stop()


def _new_clients(running: Running) -> dict[str, RSA.RsaKey]:
    """Two clients with their public keys: one whose tokens are exchanged, one whose tokens are credentials."""
    keys = {}
    for client_id, policy in ((_EXCHANGING, "exchange"), (_COMPAT, "compat")):
        out = Path(running.environ["SERVER__DATA_DIR"]) / f"{client_id}.pem"
        running.cli("client", "add", "--id", client_id, "--policy", policy, "--out", str(out))
        keys[client_id] = RSA.import_key(out.read_text("ascii"))
    return keys


async def _exchanges(running: Running, key: RSA.RsaKey) -> list[Figure]:
    """Each token once; first everybody is new, then everybody is known."""
    figures = []
    for who in ("people seen first", "people known"):
        tokens = [_token(_EXCHANGING, key, number) for number in range(_PEOPLE)]
        result = await offer_elsewhere(Load(running.port, [_login(token) for token in tokens], _ASKING))
        figures.append(_rate(f"token exchanges a second, {who}", result, _EXCHANGES_GOAL))
    return figures


async def _calls(running: Running, key: RSA.RsaKey) -> list[Figure]:
    """Tokens as credentials of calls: a new one each time, and one for all."""
    for_people = [_call(_token(_COMPAT, key, number)) for number in range(100)]
    await offer_elsewhere(Load(running.port, for_people, _ASKING))  # so that nobody is new
    cold = [_call(_token(_COMPAT, key, number % 100)) for number in range(_CALLS)]
    cached = [_call(_token(_COMPAT, key, 0))] * _CALLS
    return [
        _rate(f"calls a second, compat, {what}", await offer_elsewhere(Load(running.port, calls, _ASKING)))
        for what, calls in (("a new token each", cold), ("one token", cached))
    ]


def _rate(name: str, result: Outcome, goal: int | None = None) -> Figure:
    """Good answers a second. One that is not good makes a figure that nobody can rest on: it says so."""
    good = result.statuses.count(200)
    rate, all_good = good / result.answering, good == len(result.statuses)
    return Figure(
        name,
        f"{rate:.0f}/s",
        f"≥ {goal}/s" if goal else "",
        all_good and rate >= goal if goal else (None if all_good else False),
        f"{_ASKING} at a time: {result.told()}; {spread(result.answer_times)}",
    )


async def _flood(
    running: Running, key: RSA.RsaKey, api_key: str, path: str, addresses: int | None
) -> list[Figure]:
    """Good calls with an api key and with a session, and good logins, while the flood runs, and before it."""
    opened = running.post(
        "/auth/session", {"api_token": _token(_EXCHANGING, key, 0)}, {"X-Forwarded-For": "10.0.0.1"}
    )
    session = json.loads(opened[1])["data"]["session_token"]
    count = _SECONDS * _GOOD_RATE
    calls = [_call((api_key, session)[number % 2], "10.0.0.1") for number in range(count)]
    # Few enough for `exchanges_per_address`.
    logins = [_login(_token(_EXCHANGING, key, number), f"10.0.1.{number}") for number in range(2 * _SECONDS)]
    good, arriving = Load(running.port, calls, count, _GOOD_RATE), Load(running.port, logins, count, 2)
    before = await offer(Load(running.port, calls[: count // 4], count, _GOOD_RATE))
    bad = [
        _bad(path, key, f"11.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        for n in (number % addresses if addresses else number for number in range(_BAD_RATE * (_SECONDS + 3)))
    ]
    flood = Elsewhere(Load(running.port, bad, _BAD_CONNECTIONS, _BAD_RATE))
    await flood.started()
    await asyncio.sleep(1)
    began = time.perf_counter()
    under, came = await asyncio.gather(offer(good), offer(arriving))
    lasted = time.perf_counter() - began
    bad_result = await flood.outcome()
    p99, all_good = percentile(under.answer_times, 99), under.statuses.count(200) == count
    return [
        Figure(
            "good calls' p99 during the flood",
            f"{p99:.0f} ms",
            f"≤ {_P99_GOAL} ms",
            all_good and p99 <= _P99_GOAL,
            f"good: {under.told()}; {spread(under.answer_times)}; before the flood p99 {percentile(before.answer_times, 99):.0f} ms, "
            f"{spread(before.answer_times)}",
        ),
        Figure(
            "  of the flood, sent in time",
            f"{1 - (bad_result.late + bad_result.unsent) / len(bad):.0%}",
            raw=f"bad: {bad_result.told()}; {spread(bad_result.answer_times)}; good calls went on for {lasted:.1f} s",
        ),
        Figure(
            "  new logins with good tokens, let in",
            f"{came.statuses.count(200) / len(logins):.0%}",
            raw=f"logins: {came.told()}; {spread(came.answer_times)}",
        ),
    ]


def _token(client_id: str, key: RSA.RsaKey, number: int) -> str:
    return make_token(client_id, f"u{number}", "", datetime.now(UTC), key)


def _login(token: str, address: str = "") -> bytes:
    return request("POST", "/auth/session", _from(address), json.dumps({"api_token": token}).encode())


def _call(credential: str, address: str = "") -> bytes:
    return request("GET", _LIST, {"Api-Token": credential} | _from(address))


def _bad(path: str, key: RSA.RsaKey, address: str) -> bytes:
    """A token of the right form with noise for a block: only RSA tells that nobody made it."""
    noise = secrets.randbelow(key.n).to_bytes(key.size_in_bytes(), "big")
    token = base64.b64encode(_EXCHANGING.encode() + b"|" + base64.b64encode(noise)).decode()
    return _call(token, address) if path == _LIST else _login(token, address)


def _from(address: str) -> dict[str, str]:
    """What the trusted proxy says; 127.0.0.1 is one."""
    return {"X-Forwarded-For": address} if address else {}
