"""Answers over real processes: two API processes, one killed, one told to end."""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.core.tls import tls_context
from tests.support.api import sse_events
from tests.support.live import Server, wait_until
from tests.support.provider import KEY, provider_server

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    """A model that says 500 characters in ten seconds."""
    with provider_server() as provider:
        given = {"LLM__DEFAULT": "endless", "LLM__ENDLESS__BASE_URL": provider.openai}
        yield given | {"LLM__ENDLESS__MODEL": "endless", "LLM__ENDLESS__API_KEY": KEY}


def _begin(http: httpx2.Client) -> str:
    body: dict[str, Any] = {"message_id": secrets.token_hex(16), "session_id": secrets.token_hex(16)}
    answer = http.post("/chat/answers", json=body | {"mode": "llm_chat", "query": "年假有几天？"})
    assert answer.status_code == 202, answer.text
    return str(body["message_id"])


def _answer(server: Server, http: httpx2.Client, message_id: str) -> dict[str, Any]:
    """Over a connection of its own, which reaches any of the processes."""
    answer = httpx2.get(
        f"{server.base}/chat/answers/{message_id}",
        headers=dict(http.headers),
        timeout=60,
        verify=tls_context(),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def _text(server: Server, http: httpx2.Client, message_id: str) -> tuple[str, str]:
    """The whole text as it is read to the end, and how it ended."""
    path = f"{server.base}/chat/answers/{message_id}/events"
    events = sse_events(httpx2.get(path, headers=dict(http.headers), timeout=60, verify=tls_context()).text)
    return "".join(data["text"] for kind, data in events if kind == "delta"), events[-1][0]


def test_either_process_begins_tells_and_stops(tmp_path: Path, environ: dict[str, str]) -> None:
    with Server(tmp_path, "--no-samples", "--workers", "2", **environ) as server:
        http = server.caller()
        for _ in range(6):
            message_id = _begin(http)
            body = {"message_id": message_id, "session_id": "5" * 32, "mode": "llm_chat", "query": "年假"}
            for _ in range(4):
                again = httpx2.post(
                    f"{server.base}/chat/answers", json=body, headers=dict(http.headers), timeout=60
                )
                assert (again.status_code, again.json()["data"]["state"]) == (200, "writing")
            wait_until(lambda number=message_id: len(_answer(server, http, number)["response"]) > 5)
            begun = time.monotonic()
            path = f"{server.base}/chat/answers/{message_id}/stop"
            assert httpx2.post(path, headers=dict(http.headers), timeout=20).json()["data"]["state"] == "cut"
            assert time.monotonic() - begun < 15
            said = {_text(server, http, message_id) for _ in range(4)}
            assert len(said) == 1
            assert said.pop()[1] == "cut"


def test_what_a_killed_process_said_is_kept(tmp_path: Path, environ: dict[str, str]) -> None:
    with Server(tmp_path, "--no-samples", **environ) as server:
        http = server.caller()
        message_id = _begin(http)
        wait_until(lambda: len(_answer(server, http, message_id)["response"]) > 60)
        (pid,) = server.children("api")
        os.kill(pid, signal.SIGKILL)
        server.wait_for("starting it again")

        def state() -> str:
            try:
                return str(_answer(server, http, message_id)["state"])
            except httpx2.TransportError:
                return ""

        # Nobody knows at once that there is no other process that writes it.
        wait_until(lambda: state() == "writing")
        wait_until(lambda: state() == "cut", seconds=40)
        text, end = _text(server, http, message_id)
        assert end == "cut"
        assert len(text) > 30
        assert text == _answer(server, http, message_id)["response"]


def test_a_process_that_is_told_to_end_keeps_what_was_said(tmp_path: Path, environ: dict[str, str]) -> None:
    with Server(tmp_path, "--no-samples", **environ) as server:
        http = server.caller()
        message_id = _begin(http)
        wait_until(lambda: len(_answer(server, http, message_id)["response"]) > 60)
        assert server.stop() == 0
        server.start()
        answer = _answer(server, http, message_id)
        assert answer["state"] == "cut"
        assert len(answer["response"]) > 60
        assert "background task failed" not in server.log()
