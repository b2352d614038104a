"""Answers that outlive their reader: begun, read from any place, stopped, begun again; over HTTP."""

import asyncio
import json
import secrets
from typing import Any

import pytest
from sqlalchemy import select

from server.chat.models import Message
from server.services import Services
from tests.support.api import Caller
from tests.support.provider import Provider

PATH = "/chat/answers"
QUESTION = "年假有几天？"
ANSWER = f"你问的是：{QUESTION}"
LEAVE = "年假：员工每年有十天年假。"


def _ask(**fields: Any) -> dict[str, Any]:
    body = {"message_id": secrets.token_hex(16), "session_id": "5" * 32, "mode": "llm_chat"}
    return body | {"query": QUESTION} | fields


def _in_kb(**fields: Any) -> dict[str, Any]:
    return _ask(mode="knowledge_base_chat", knowledge_base_name="kb") | fields


async def _begin(caller: Caller, body: dict[str, Any], status: int = 202) -> str:
    answer = await caller.post(PATH, body)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == status
    assert answer.json()["data"]["message_id"] == body["message_id"]
    return answer.json()["data"]["state"]


class Page:
    """What the page does: it keeps the text and the last id, whatever becomes of the connection."""

    def __init__(self) -> None:
        self.text = ""
        self.last_id: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Bytes as they come; only whole frames count."""
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            lines = frame.decode().splitlines()
            fields = dict(line.split(": ", 1) for line in lines if line and not line.startswith(":"))
            if fields:
                self._take(fields["event"], json.loads(fields["data"]), fields.get("id"))

    def _take(self, event: str, data: dict[str, Any], id_: str | None) -> None:
        self.events.append((event, data))
        self.text = {"delta": self.text + data.get("text", ""), "replace": data.get("text", "")}.get(
            event, self.text
        )
        self.last_id = id_ or self.last_id

    def cut(self) -> None:
        self._rest = b""

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]

    def last(self, kind: str) -> dict[str, Any]:
        return [data for event, data in self.events if event == kind][-1]


async def _read(caller: Caller, message_id: str, page: Page | None = None, limit: int | None = None) -> Page:
    """Read to the end, or so many bytes; a page that has read before says where it was."""
    page = page or Page()
    headers = {} if page.last_id is None else {"Last-Event-ID": page.last_id}
    async with caller.http.stream("GET", f"{PATH}/{message_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for data in answer.aiter_raw():
            page.feed(data if limit is None else data[:limit])
            if limit is not None and (limit := limit - len(data)) <= 0:
                break
    page.cut()
    return page


async def _stored(services: Services, message_id: str) -> Message:
    async with services.database.read() as session:
        found = await session.scalar(select(Message).where(Message.id == message_id))
    assert found is not None
    return found


async def _until(services: Services, message_id: str, state: str = "done") -> Message:
    for _ in range(500):
        message = await _stored(services, message_id)
        if message.state == state:
            return message
        await asyncio.sleep(0.02)
    raise TimeoutError(message.state)


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb()
    assert (await editor.ingest("kb", {"手册.txt": LEAVE.encode()}))["手册.txt"]["state"] == "ready"


# ── one answer ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_is_begun_and_read(reader: Caller, services: Services, provider: Provider) -> None:
    body = _ask(temperature=0.2, max_tokens=50)
    assert await _begin(reader, body) == "writing"
    page = await _read(reader, body["message_id"])
    assert page.text == ANSWER
    assert page.kinds[0] == "started"
    assert page.last("started") == {name: body[name] for name in ("message_id", "query", "session_id")}
    assert page.last("usage") == {"prompt_tokens": 11, "completion_tokens": 7}
    assert page.kinds[-1] == "finished"
    assert page.last("finished") == {
        "message_id": body["message_id"],
        "outcome": "answered",
        "follow_ups": [],
    }
    assert page.last_id == str(len(ANSWER))
    assert provider.calls[0].body["temperature"] == 0.2
    message = await _stored(services, body["message_id"])
    assert (message.state, message.response, message.outcome) == ("done", ANSWER, "answered")
    shown = (await reader.get(f"{PATH}/{body['message_id']}")).json()["data"]
    assert (shown["response"], shown["state"], shown["query"]) == (ANSWER, "done", QUESTION)
    again = await _read(reader, body["message_id"])
    assert (again.text, again.kinds[-1]) == (ANSWER, "finished")


async def test_an_answer_goes_on_without_a_reader(reader: Caller, services: Services) -> None:
    body = _ask()
    await _begin(reader, body)
    assert (await _until(services, body["message_id"])).response == ANSWER


async def test_the_same_id_begins_nothing_twice(reader: Caller, provider: Provider) -> None:
    body = _ask()
    answers = await asyncio.gather(*(reader.post(PATH, body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    await _read(reader, body["message_id"])
    assert await _begin(reader, body, 200) == "done"
    assert len(provider.calls) == 1


async def test_a_stopped_answer_keeps_what_was_said(
    reader: Caller, services: Services, provider: Provider
) -> None:
    body = _ask(model_name="endless")
    await _begin(reader, body)
    page = await _read(reader, body["message_id"], limit=2000)
    answer = await reader.post(f"{PATH}/{body['message_id']}/stop")
    assert answer.json()["data"] == {"message_id": body["message_id"], "state": "cut"}
    page = await _read(reader, body["message_id"], page)
    message = await _stored(services, body["message_id"])
    assert (message.state, message.response) == ("cut", page.text)
    assert page.kinds[-1] == "cut"
    assert len(page.text) > 3
    assert await asyncio.to_thread(provider.calls[0].left.wait, 3), "the provider is not asked for more"
    assert (await reader.post(f"{PATH}/{body['message_id']}/stop")).json()["data"]["state"] == "cut"
