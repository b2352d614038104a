"""/chat/fastchat and /other/completion: nothing but text, and a refusal where a model fails before its first word."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from server.chat.models import Message
from server.services import Services
from tests.support.api import Caller, sse_events
from tests.support.provider import KEY, Provider
from tests.support.provider_streams import echo

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database

SSE = {"Accept": "text/event-stream"}
PATHS = ("/chat/fastchat", "/other/completion")


def _body(path: str, model: str = "echo", text: str = "床前明月光", **fields: Any) -> dict[str, Any]:
    if path == "/other/completion":
        return {"query": text, "model_name": model, **fields}
    return {"model": model, "messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize("path", PATHS)
async def test_the_text_arrives_in_every_form(
    reader: Caller, services: Services, provider: Provider, path: str
) -> None:
    whole = await reader.post(path, _body(path))
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    stream = await reader.post(path, _body(path, stream=True))
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert whole.text == stream.text == echo(provider.calls[0])
    events = sse_events((await reader.post(path, _body(path, stream=True), headers=SSE)).text)
    assert "".join(data["text"] for kind, data in events if kind == "delta") == whole.text
    assert [kind for kind, _ in events][-2:] == ["usage", "finished"]
    async with services.database.read() as database:
        assert list(await database.scalars(select(Message))) == []


async def test_a_conversation_goes_to_the_model_as_it_is(reader: Caller, provider: Provider) -> None:
    messages = [("system", "你是诗人"), ("human", "你好"), ("ai", "好"), ("user", "作诗")]
    body: dict[str, Any] = {"messages": [{"role": role, "content": content} for role, content in messages]}
    body |= {"temperature": 1.5, "max_tokens": 9, "n": 1, "stop": ["。"], "presence_penalty": 1}
    answer = await reader.post("/chat/fastchat", body | {"frequency_penalty": 0, "session_id": "ignored"})
    assert answer.status_code == 200, answer.text
    (call,) = provider.calls
    assert call.messages == [("system", "你是诗人"), ("user", "你好"), ("assistant", "好"), ("user", "作诗")]
    sent = {name: call.body.get(name) for name in ("temperature", "max_tokens", "stop", "presence_penalty")}
    assert sent == {"temperature": 1.5, "max_tokens": 9, "stop": ["。"], "presence_penalty": 1}
    assert "frequency_penalty" not in call.body


async def test_a_message_has_the_contracts_defaults(reader: Caller, provider: Provider) -> None:
    await reader.post("/chat/fastchat", {"messages": [{}]})
    assert provider.calls[0].messages == [("user", "hello")]
    assert (provider.calls[0].body["temperature"], provider.calls[0].body.get("max_tokens")) == (0.7, None)


async def test_completion_echoes_and_has_templates(
    reader: Caller, provider: Provider, tmp_path: Path
) -> None:
    path = "/other/completion"
    for stream in (False, True):
        answer = await reader.post(path, _body(path, echo=True, stream=stream))
        assert answer.text == f"床前明月光{echo(provider.calls[0])}"
    assert (provider.calls[0].body["temperature"], provider.calls[0].body["max_tokens"]) == (0.7, 1024)
    assert provider.calls[0].messages == [("user", "床前明月光")]
    missing = await reader.post(path, _body(path, prompt_name="none"))
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "prompt_not_found")


@pytest.mark.parametrize("form", [{}, SSE])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("down", 502, "upstream_error"),
        ("wrong-key", 502, "upstream_key_refused"),
        ("empty", 502, "upstream_empty"),
        ("none", 404, "model_not_found"),
    ],
)
@pytest.mark.parametrize("path", PATHS)
async def test_a_failure_before_the_first_word_is_a_refusal(
    reader: Caller, path: str, model: str, status: int, code: str, stream: bool, form: dict[str, str]
) -> None:
    answer = await reader.post(path, _body(path, model, stream=stream), headers=form)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert KEY not in answer.text


@pytest.mark.parametrize("path", PATHS)
async def test_a_failure_later_is_told_in_the_text(reader: Caller, path: str) -> None:
    answer = await reader.post(path, _body(path, "cut", stream=True))
    assert answer.status_code == 200
    assert answer.text.startswith("你问的是：床\n\n【模型服务 cut 的回答中途断开")
    whole = await reader.post(path, _body(path, "cut"))
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, "upstream_cut")
    events = sse_events((await reader.post(path, _body(path, "cut"), headers=SSE)).text)
    assert events[-1][0] == "failed"


@pytest.mark.parametrize("environ", [{"LLM__STALL__IDLE_TIMEOUT": "20s"}])
@pytest.mark.parametrize(("model", "stream"), [("endless", True), ("endless", False), ("stall", True)])
@pytest.mark.parametrize("path", PATHS)
async def test_a_reader_who_leaves_ends_the_call(
    reader: Caller, provider: Provider, path: str, model: str, stream: bool
) -> None:
    asking = asyncio.ensure_future(reader.post(path, _body(path, model, stream=stream)))
    while not provider.calls:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    asking.cancel()
    assert await asyncio.to_thread(provider.calls[0].left.wait, 30)


@pytest.mark.parametrize("environ", [{"CHAT__MAX_ANSWER_CHARS": "7"}])
async def test_no_text_goes_on_for_ever(reader: Caller, provider: Provider) -> None:
    answer = await reader.post("/chat/fastchat", _body("/chat/fastchat", "endless", stream=True))
    assert answer.text.startswith("字" * 7 + "\n\n【")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/chat/fastchat", {"messages": []}),
        ("/chat/fastchat", {"messages": [{"role": "robot", "content": "a"}]}),
        ("/chat/fastchat", {"n": 2}),
        ("/chat/fastchat", {"temperature": 2.1}),
        ("/chat/fastchat", {"stop": ["a"] * 5}),
        ("/chat/fastchat", {"presence_penalty": 3}),
        ("/other/completion", {"query": " "}),
        ("/other/completion", {"query": "字" * 8001}),
        ("/other/completion", {"temperature": 1.1}),
        ("/other/completion", {"max_tokens": "all"}),
        ("/other/completion", {"echo": "maybe"}),
    ],
)
async def test_limits_are_held(
    reader: Caller, provider: Provider, path: str, fields: dict[str, object]
) -> None:
    answer = await reader.post(path, _body(path) | fields)
    assert answer.status_code == 422, answer.text
    assert provider.calls == []
