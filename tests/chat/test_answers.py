"""Answers that outlive their reader: begun, read from any place, stopped, begun again; over HTTP."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from server.app import create_app
from server.chat.answers import Answers, Writing
from server.chat.models import Message
from server.chat.reading import Position, Reader
from server.chat.telling import Telling
from server.chat.turn import Turn
from server.core.settings import Settings
from server.db.sqlite import database_busy
from server.kb.models import KnowledgeBase
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller, serving
from tests.support.provider import Provider
from tests.support.search_engines import Engines

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
    for _ in range(1500):
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
        "checks": [],
        "nearest": [],
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
    assert await asyncio.to_thread(provider.calls[0].left.wait, 30), "the provider is not asked for more"
    assert (await reader.post(f"{PATH}/{body['message_id']}/stop")).json()["data"]["state"] == "cut"


async def _with_three_characters(caller: Caller, body: dict[str, Any]) -> str:
    """What somebody is told instead of what they have, who read three characters of the text before."""
    page = Page()
    page.feed((await caller.get(f"{PATH}/{body['message_id']}/events", after="3")).content)
    assert "delta" not in page.kinds
    return str(page.last("replace")["text"])


async def test_what_was_stopped_is_regenerated_in_its_place(
    reader: Caller, services: Services, provider: Provider
) -> None:
    body = _ask(model_name="endless")
    await _begin(reader, body)
    running = await reader.post(PATH, body | {"regenerate": True})
    assert (running.status_code, running.json()["error"]["code"]) == (409, "answer_running")
    page = await _read(reader, body["message_id"], limit=2000)
    await reader.post(f"{PATH}/{body['message_id']}/stop")
    assert len(provider.calls) == 1
    # Its question is the stored one, whatever else is sent.
    again = body | {"regenerate": True, "model_name": "echo", "query": "别的？", "session_id": "6" * 32}
    assert await _begin(reader, again) == "writing"
    page = await _read(reader, body["message_id"], page)
    assert (page.text, page.kinds[-1], page.kinds.count("replace")) == (ANSWER, "finished", 1)
    assert await _with_three_characters(reader, body) == ANSWER
    message = await _stored(services, body["message_id"])
    assert (message.query, message.session_id, message.attempt) == (QUESTION, body["session_id"], 2)
    assert (message.state, message.response, message.model) == ("done", ANSWER, "echo")
    (row,) = (await reader.post("/history/latest", {"session_id": body["session_id"], "num": 9})).json()[
        "data"
    ]
    assert row["response"] == ANSWER


async def test_two_who_regenerate_at_once_begin_one_answer(reader: Caller, provider: Provider) -> None:
    body = _ask()
    await _begin(reader, body)
    await _read(reader, body["message_id"])
    answers = await asyncio.gather(*(reader.post(PATH, body | {"regenerate": True}) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers)[0] == 202
    assert {answer.status_code for answer in answers[1:]} <= {202, 409}
    await _read(reader, body["message_id"])
    assert len(provider.calls) == 1 + sum(answer.status_code == 202 for answer in answers)


async def test_a_session_that_was_deleted_does_not_come_back_by_itself(reader: Caller) -> None:
    """Another device deleted it while this one's question was waiting for the network."""
    first = _ask(session_is_new=True)
    await _begin(reader, first)
    await _read(reader, first["message_id"])
    await _begin(reader, _ask(session_is_new=False))
    assert (await reader.post("/session/delete", {"session_id": "5" * 32})).status_code == 200
    for late in (_ask(session_is_new=False), first | {"session_is_new": False, "regenerate": True}):
        refused = await reader.post(PATH, late)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "session_not_found")
    assert (await reader.get("/session/list")).json()["data"] == []
    await _begin(reader, _ask(session_is_new=True))


def test_what_is_written_in_a_second_does_not_grow_with_the_text() -> None:
    """Twice a second, twenty pieces a second: a text of 190 000 characters would be 760 kB/s if it were stored each time."""
    telling = Telling("m", "q", None, 1, "writing")
    writing = Writing(cast("Turn", SimpleNamespace(told=telling)), 0.0)
    stored: dict[int, list[float]] = {}
    for tick in range(400):
        now = 0.5 * (tick + 1)
        telling.text.append("字" * (8_000 if tick == 100 else 182_000 if tick == 200 else 10))
        values = writing.unstored(now)
        if values is not None and "response" in values:
            stored.setdefault(tick // 100, []).append(now)
    periods = {part: 50 / len(times) for part, times in stored.items()}
    assert periods[0] == 0.5
    assert periods[1] <= 1.0
    assert 4 <= periods[2] <= 5.5
    # What is not text is told at once, and the text with it.
    telling.text.append("字")
    telling.changes += 1
    values = writing.unstored(now + 0.5)
    assert values is not None
    assert {"response", "progress"} <= set(values)


@pytest.mark.parametrize("model", ["cut", "down"])
async def test_a_failure_is_told_at_once_and_later(reader: Caller, services: Services, model: str) -> None:
    body = _ask(model_name=model)
    await _begin(reader, body)
    at_once, later = await _read(reader, body["message_id"]), await _read(reader, body["message_id"])
    message = await _stored(services, body["message_id"])
    assert message.state == "failed"
    for page in (at_once, later):
        assert page.kinds[-1] == "failed"
        error = page.last("failed")["error"]
        assert error["code"] == message.error_code
        assert error["message"]
        assert error["request_id"]
        assert page.text == message.response
    assert at_once.last("failed") == later.last("failed")
    shown = (await reader.get(f"{PATH}/{body['message_id']}")).json()["data"]
    assert (shown["state"], shown["error_code"]) == ("failed", message.error_code)


async def test_an_agents_steps_and_its_last_word(reader: Caller) -> None:
    script = json.dumps([[["calculator", {"expression": "6*7"}]]])
    body = _ask(mode="agent_chat", model_name="agent", query=f"请查 <<{script}>>")
    await _begin(reader, body)
    at_once, later = await _read(reader, body["message_id"]), await _read(reader, body["message_id"])
    for page in (at_once, later):
        assert page.text == "查到：42"
        tool = page.last("tool")
        assert (tool["number"], tool["name"], tool["title"], tool["output"]) == (
            1,
            "calculator",
            "计算器",
            "42",
        )
        assert page.last("usage") == {"prompt_tokens": 22, "completion_tokens": 14}
        assert page.last("sources") == {"hits": []}
        assert page.last("finished")["outcome"] == "answered"
    assert await _with_three_characters(reader, body) == "查到：42"


# ── resuming ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [1, 7, 40, 151])
async def test_a_connection_cut_after_any_byte_loses_and_doubles_nothing(reader: Caller, step: int) -> None:
    """Connections that break after so many bytes, one after the other, while the answer grows and when it is done."""
    body = _ask(query='年假有几天？😀 and *Markdown*\n\n"二"\n')
    await _begin(reader, body)
    whole = await _read(reader, body["message_id"])
    frames = len(whole.text)
    assert "😀" in whole.text
    for cut in range(step, 1500, max(step, 60)):
        page = Page()
        for _ in range(50):
            await _read(reader, body["message_id"], page, limit=cut)
            if page.kinds and page.kinds[-1] == "finished":
                break
            cut += 37  # a cut that lets nothing whole through would go on for ever
        assert page.text == whole.text
        assert page.last_id == str(frames)


async def test_a_growing_answer_is_resumed_again_and_again(reader: Caller, services: Services) -> None:
    body = _ask(model_name="endless")
    await _begin(reader, body)
    page = Page()
    for number in range(12):
        await _read(reader, body["message_id"], page, limit=300 + 61 * number)
    await reader.post(f"{PATH}/{body['message_id']}/stop")
    await _read(reader, body["message_id"], page)
    assert page.text == (await _stored(services, body["message_id"])).response
    assert page.kinds.count("replace") == 0
    assert page.kinds.count("delta") > 12


@pytest.mark.parametrize(
    ("after", "kind", "text"),
    [("6", "delta", ANSWER[6:]), ("0", "delta", ANSWER), ("12.4", "replace", ANSWER), ("x", "replace", ANSWER),
     ("999", "replace", ANSWER), (str(len(ANSWER)), None, None)],
)  # fmt: skip
async def test_what_a_reader_has_is_not_told_again(
    reader: Caller, after: str, kind: str | None, text: str | None
) -> None:
    body = _ask()
    await _begin(reader, body)
    await _read(reader, body["message_id"])
    path = f"{PATH}/{body['message_id']}/events"
    for answer in (
        await reader.get(path, after=after),
        await reader.http.get(path, headers={"Last-Event-ID": after}),
    ):
        page = Page()
        page.feed(answer.content)
        told = [(name, data["text"]) for name, data in page.events if name in ("delta", "replace")]
        assert told == ([(kind, text)] if kind else [])


@pytest.mark.parametrize("environ", [{"CHAT__HEARTBEAT": "100ms"}])
async def test_a_silent_answer_gives_a_sign_of_life(reader: Caller) -> None:
    body = _ask(model_name="stall")
    await _begin(reader, body)
    seen = b""
    async with reader.http.stream("GET", f"{PATH}/{body['message_id']}/events") as answer:
        async for data in answer.aiter_raw():
            seen += data
            if seen.count(b": alive\n\n") >= 2:
                break
    await reader.post(f"{PATH}/{body['message_id']}/stop")


# ── two processes ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def elsewhere(settings: Settings) -> AsyncIterator[str]:
    """A second server over the same database, which shares nothing else."""
    async with serving(create_app(settings)) as base:
        yield base


@pytest.fixture
async def reader_elsewhere(reader: Caller, elsewhere: str) -> AsyncIterator[Caller]:
    caller = Caller(elsewhere, dict(reader.http.headers))
    yield caller
    await caller.http.aclose()


async def test_another_process_tells_the_same(
    reader: Caller, reader_elsewhere: Caller, library: None
) -> None:
    body = _in_kb(model_name="endless")
    await _begin(reader, body)
    page, there = Page(), Page()
    for number in range(2):  # here and there in turn
        await _read(reader, body["message_id"], page, limit=1200 + number)
        await _read(reader_elsewhere, body["message_id"], page, limit=800 + number)
    await _read(reader_elsewhere, body["message_id"], there, limit=800)
    assert "sources" in there.kinds
    assert await _begin(reader_elsewhere, body, 200) == "writing"
    stopped = await reader_elsewhere.post(f"{PATH}/{body['message_id']}/stop")
    assert stopped.json()["data"]["state"] == "cut"
    for one in (page, there):
        await _read(reader_elsewhere, body["message_id"], one)
        assert one.kinds[-1] == "cut"
    response = (await reader.get(f"{PATH}/{body['message_id']}")).json()["data"]["response"]
    assert page.text == there.text == response
    assert page.kinds.count("replace") == there.kinds.count("replace") == 0


async def test_two_processes_begin_one_answer(
    reader: Caller, reader_elsewhere: Caller, provider: Provider
) -> None:
    body = _ask()
    callers = [reader, reader_elsewhere] * 4
    answers = await asyncio.gather(*(caller.post(PATH, body) for caller in callers))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    for caller in callers[:2]:
        assert (await _read(caller, body["message_id"])).text == ANSWER
    assert len(provider.calls) == 1


async def test_the_end_of_a_process_keeps_what_was_said(
    settings: Settings, callers: Callers, services: Services
) -> None:
    token = await callers.token("acme", "u1")
    body = _ask(model_name="endless")
    async with serving(create_app(settings)) as base:
        caller = Caller(base, {"Api-Token": token})
        await _begin(caller, body)
        page = await _read(caller, body["message_id"], limit=1500)
        await caller.http.aclose()
    message = await _stored(services, body["message_id"])
    assert message.state == "cut"
    assert message.response.startswith(page.text)


async def test_a_row_whose_writer_is_gone_is_cut_by_whoever_looks(reader: Caller, services: Services) -> None:
    body = _ask()
    await _begin(reader, body)
    await _read(reader, body["message_id"])
    for path in ("", "/events"):
        long_ago = services.runtime.clock.now() - timedelta(seconds=1)
        values = {"state": "writing", "response": ANSWER[:6], "writing_until": long_ago}
        async with services.database.write() as session:
            await session.execute(update(Message).where(Message.id == body["message_id"]).values(values))
        assert (await reader.get(f"{PATH}/{body['message_id']}{path}")).status_code == 200
        message = await _stored(services, body["message_id"])
        assert (message.state, message.response) == ("cut", ANSWER[:6])
    page = Page()
    page.last_id = str(len(ANSWER))  # which was read from the process before that was killed
    page.text = ANSWER
    assert (await _read(reader, body["message_id"], page)).text == ANSWER[:6]


def test_a_place_beyond_the_end_is_mended_while_the_answer_is_written() -> None:
    telling = Telling("m", "q", None, 1, "writing")
    telling.text.append("年假")
    reader = Reader("zh", Position.read("999999999"))
    # Another process may have told what is not stored yet, nor when it stored the last time …
    for word in ("", "有", "五"):
        telling.text.append(word)
        assert not [frame for frame in reader.news(telling) if frame.event in ("delta", "replace")]
    telling.text.append("天")
    (frame,) = [frame for frame in reader.news(telling) if frame.event in ("delta", "replace")]
    # … and by now it would be.
    assert (frame.event, frame.data, frame.id) == ("replace", {"text": "年假有五天"}, "5")
    telling.text.append("十天")
    (frame,) = [frame for frame in reader.news(telling) if frame.event in ("delta", "replace")]
    assert (frame.event, frame.data) == ("delta", {"text": "十天"})


async def test_a_held_database_is_one_line_in_the_log(
    services: Services, app: FastAPI, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def held() -> AsyncIterator[None]:
        raise database_busy()
        yield

    answers = Answers(services.chat, services.database, services.runtime, services.settings.chat)
    telling = Telling("m", "q", None, 1, "writing")
    telling.text.append("年假")
    answers._writings["m"] = Writing(cast("Turn", SimpleNamespace(told=telling)), 0.0)
    monkeypatch.setattr(services.database, "write", held)
    await answers.store()
    (record,) = [one for one in caplog.records if one.name == "server.chat.answers"]
    assert (record.exc_info, vars(record)["reason"]) == (None, "busy")


async def test_the_lease_is_renewed_while_nothing_is_said(
    reader: Caller, services: Services, app: FastAPI
) -> None:
    body = _ask(model_name="stall")
    await _begin(reader, body)
    first = (await _stored(services, body["message_id"])).writing_until
    await asyncio.sleep(1)
    (writing,) = app.state.answers._writings.values()
    writing._stored_at -= 5
    assert first is not None
    async with asyncio.timeout(30):
        while True:
            later = (await _stored(services, body["message_id"])).writing_until
            assert later is not None
            if later > first + timedelta(seconds=1):
                break
            await asyncio.sleep(0.05)
    await reader.post(f"{PATH}/{body['message_id']}/stop")


async def test_an_answer_ends_with_its_session(
    reader: Caller, services: Services, provider: Provider
) -> None:
    body = _ask(model_name="endless")
    await _begin(reader, body)
    await _read(reader, body["message_id"], limit=1000)
    assert (await reader.post("/session/delete", body["session_id"])).status_code == 200
    assert await asyncio.to_thread(provider.calls[0].left.wait, 30)
    assert (await reader.get(f"{PATH}/{body['message_id']}")).status_code == 404


async def test_an_answer_ends_with_its_caller(callers: Callers, services: Services) -> None:
    person, operator = await callers.user("acme", "u9"), await callers.key("acme", "admin")
    body = _ask(model_name="endless")
    await _begin(person, body)
    await _read(person, body["message_id"], limit=1000)
    path = "/admin/clients/acme/users/u9"
    answer = await operator.http.patch(path, json={"enabled": False})
    assert answer.status_code == 200, answer.text
    assert (await _until(services, body["message_id"], "cut")).response.startswith("字")


# ── knowledge bases ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_sources_outcome_and_follow_ups_are_kept(
    editor: Caller, services: Services, library: None
) -> None:
    for question in (
        "年假怎么申请？",
        "年假有几天",
        "报销要哪些发票？",
        "年假能留到明年吗？",
        "食堂几点开门？",
    ):
        answer = await editor.post("/recommend/question", {"query": question, "kb_name": "kb"})
        assert answer.status_code == 200, answer.text
    seen = []
    for _ in range(200):  # until the questions have been embedded
        body = _in_kb(model_name="quote")
        await _begin(editor, body)
        page = await _read(editor, body["message_id"])
        seen = page.last("finished")["follow_ups"]
        if seen:
            break
        await asyncio.sleep(0.1)
    assert len(seen) == 3
    assert set(seen[:2]) == {"年假怎么申请？", "年假能留到明年吗？"}
    assert page.last("finished")["outcome"] == "answered"
    (hit,) = page.last("sources")["hits"]
    assert (hit["number"], hit["file_name"], hit["text"], hit["kb_name"]) == (1, "手册.txt", LEAVE, "kb")
    assert hit["place"] == "手册.txt"
    kinds = [kind for kind in page.kinds if kind != "status"]
    assert kinds[:2] == ["started", "sources"]
    stages = [(data["stage"], data["count"]) for kind, data in page.events if kind == "status"]
    assert ("writing", None) not in stages or stages[-1] == ("writing", None)

    later = await _read(editor, body["message_id"])
    assert later.last("sources") == page.last("sources")
    assert later.last("finished") == page.last("finished")
    shown = (await editor.get(f"{PATH}/{body['message_id']}")).json()["data"]
    assert (shown["outcome"], shown["follow_ups"]) == ("answered", seen)
    assert [source["text"] for source in shown["sources"]] == [LEAVE]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [({"query": "员工每年有几天年假？"}, "answered"), ({"query": "火星上有没有食堂？"}, "not_found"),
     ({"query": "年假有几天？", "score_threshold": 0}, "not_found"),
     ({"query": "年假有几天？", "score_threshold": 0, "model_name": "echo"}, "not_found"),
     ({"query": "火星上有没有食堂？", "model_name": "echo"}, "partly"),
     ({"query": "火星上有没有食堂？", "mode": "agent_chat", "knowledge_base_name": None}, "not_found")],
)  # fmt: skip
async def test_whether_the_knowledge_base_has_it(
    editor: Caller, services: Services, library: None, fields: dict[str, Any], outcome: str
) -> None:
    body = _in_kb(model_name="quote") | fields
    await _begin(editor, body)
    assert (await _read(editor, body["message_id"])).last("finished")["outcome"] == outcome
    assert (await _stored(services, body["message_id"])).outcome == outcome


async def test_follow_ups_hold_up_the_end_for_a_moment_only(
    editor: Caller, services: Services, library: None, app: FastAPI
) -> None:
    await editor.post("/recommend/question", {"query": "年假怎么申请？", "kb_name": "kb"})

    async def slow(*_: object) -> list[str]:
        await asyncio.sleep(3600)
        return ["太迟"]

    app.state.kb.related.find = slow
    body = _in_kb(model_name="quote")
    async with asyncio.timeout(60):
        await _begin(editor, body)
        page = await _read(editor, body["message_id"])
    assert page.last("finished")["follow_ups"] == []


async def test_a_source_is_opened_between_its_neighbours(editor: Caller, services: Services) -> None:
    await editor.create_kb(chunk_size=40, chunk_overlap=10)
    text = "第一条：上班时间是早上九点整。第二条：员工工作满十年，每年有十天年假。第三条：病假需要医院出具证明。第四条：出差要先填单。"
    await editor.ingest("kb", {"手册.md": text.encode()})
    body = _in_kb(query="工作满十年有几天年假？", model_name="quote", top_k=1)
    await _begin(editor, body)
    page = await _read(editor, body["message_id"])
    path = f"{PATH}/{body['message_id']}/sources/1"
    shown = (await editor.get(path)).json()["data"]
    assert shown["text"] == page.last("sources")["hits"][0]["text"]
    assert (shown["file_name"], shown["kb_name"], shown["media_type"]) == ("手册.md", "kb", "text/markdown")
    assert not shown["is_gone"]
    assert (shown["before"] or "") + shown["text"] + (shown["after"] or "") in text
    assert shown["before"] or shown["after"]
    quoted = "".join(shown["text"][start:end] for start, end in shown["quote"])
    assert "每年有十天年假" in quoted
    assert (await editor.get(f"{PATH}/{body['message_id']}/sources/2")).status_code == 404

    # The same text in the next version of the file.
    await editor.ingest("kb", {"手册.md": (text + "第五条：下班关灯。").encode()}, override=True)
    newer = (await editor.get(path)).json()["data"]
    assert (newer["text"], newer["is_gone"]) == (shown["text"], False)
    assert newer["document_id"] != shown["document_id"]

    gone = {"knowledge_base_name": "kb", "file_names": ["手册.md"], "delete_content": True}
    assert (await editor.post("/knowledge_base/delete_docs", gone)).status_code == 200
    after = (await editor.get(path)).json()["data"]
    assert (after["text"], after["is_gone"], after["before"], after["after"]) == (
        shown["text"],
        True,
        None,
        None,
    )
    assert after["quote"] == shown["quote"]
    assert (await _read(editor, body["message_id"])).last("sources") == page.last("sources")


async def test_what_is_not_shared_any_more_is_gone(
    callers: Callers, services: Services, editor: Caller, library: None
) -> None:
    await callers.client("other")
    stranger = await callers.user("other", "u1")
    body = _in_kb(query="员工每年有几天年假？", model_name="quote")
    for shared in (True, False):
        async with services.database.write() as session:
            await session.execute(update(KnowledgeBase).values(shared=shared))
        if shared:
            await _begin(stranger, body)
            await _read(stranger, body["message_id"])
        shown = (await stranger.get(f"{PATH}/{body['message_id']}/sources/1")).json()["data"]
        assert (shown["is_gone"], shown["text"]) == (not shared, LEAVE)


async def test_a_page_of_the_web_is_a_source_too(reader: Caller, web: Engines) -> None:
    body = _ask(mode="search_engine_chat", search_engine_name="searxng", top_k=2)
    await _begin(reader, body)
    page = await _read(reader, body["message_id"])
    first = page.last("sources")["hits"][0]
    assert first["url"].startswith("http")
    shown = (await reader.get(f"{PATH}/{body['message_id']}/sources/1")).json()["data"]
    assert (shown["url"], shown["title"], shown["text"]) == (first["url"], first["title"], first["text"])
    assert (shown["document_id"], shown["is_gone"]) == (None, False)


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"message_id": "m" * 32}, 422), ({"message_id": "a" * 31}, 422), ({"stream": True}, 422), ({"top_k": "3"}, 422),
     ({"history": []}, 422), ({"mode": "chat"}, 422), ({"mode": "knowledge_base_chat"}, 422), ({"query": " "}, 422),
     ({"query": "问" * 9000}, 422), ({"session_id": None}, 422), ({"model_name": "nobody"}, 404),
     ({"prompt_name": "none"}, 404), ({"mode": "knowledge_base_chat", "knowledge_base_name": "none"}, 404)],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused_and_leaves_nothing(
    reader: Caller, services: Services, fields: dict[str, Any], status: int
) -> None:
    answer = await reader.post(PATH, _ask() | fields)
    assert answer.status_code == status, answer.text
    async with services.database.read() as session:
        assert (await session.scalars(select(Message))).all() == []


@pytest.mark.parametrize("environ", [{"COMPAT__HTTP_200_ERRORS": "true"}])
async def test_refusals_are_true_whatever_old_pages_want(reader: Caller) -> None:
    assert (await reader.get(f"{PATH}/{'a' * 32}")).status_code == 404
    assert (await reader.post("/chat/chat", {"query": "a", "model_name": "nobody"})).status_code == 200


@pytest.mark.parametrize("environ", [{"CHAT__MAX_RUNNING_ANSWERS": "2"}])
async def test_one_person_has_a_few_answers_at_a_time(
    reader: Caller, callers: Callers, services: Services
) -> None:
    bodies = [_ask(model_name="endless") for _ in range(3)]
    answers = await asyncio.gather(*(reader.post(PATH, body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [202, 202, 429]
    taken = [body for body, answer in zip(bodies, answers, strict=True) if answer.status_code == 202]
    bodies = [*taken, *(body for body in bodies if body not in taken)]
    refused = await reader.post(PATH, bodies[2])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
    assert await _begin(reader, bodies[0], 200) == "writing"
    another = await callers.user("acme", "u2")
    other = _ask(session_id="7" * 32)
    await _begin(another, other)
    await _until(services, other["message_id"])
    await reader.post(f"{PATH}/{bodies[0]['message_id']}/stop")
    await _begin(reader, bodies[2])
    for body in bodies[1:]:
        await reader.post(f"{PATH}/{body['message_id']}/stop")
