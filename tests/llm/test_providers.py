"""One contract for all adapters, against a real server that behaves as its models are called."""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from contextlib import aclosing
from datetime import timedelta

import httpx2
import pytest
from pydantic import SecretStr

from server.core.errors import UpstreamError
from server.core.settings import LLMModelSettings
from server.llm.base import ChatMessage, ChatModel, Delta, ModelRequest, TokenUsage
from server.llm.providers import PROVIDERS
from tests.llm.conftest import Adapter
from tests.support.provider import KEY, Call, Provider
from tests.support.provider_streams import LIES

QUESTION = "年假有几天？🌴 the end"
ANSWER = f"你问的是：{QUESTION}"
HISTORY = (ChatMessage("user", "你好"), ChatMessage("assistant", "您好"))


def _request(question: str = QUESTION, earlier: Sequence[ChatMessage] = (), **fields: object) -> ModelRequest:
    messages = [*earlier, ChatMessage("user", question)]
    return ModelRequest(messages=messages, question=question, **fields)  # type: ignore[arg-type]


async def _answer(model: ChatModel, request: ModelRequest | None = None) -> list[Delta]:
    return [delta async for delta in model.stream(request or _request())]


async def _failure(model: ChatModel) -> tuple[str, UpstreamError]:
    """What was said until it failed, and the error."""
    said = ""
    try:
        async for delta in model.stream(_request()):
            said += delta.text
    except UpstreamError as error:
        return said, error
    raise AssertionError(f"it did not fail: {said}")


def _text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def _usages(deltas: list[Delta]) -> list[TokenUsage]:
    return [delta.usage for delta in deltas if delta.usage is not None]


async def _left(call: Call, seconds: float = 3) -> bool:
    return await asyncio.to_thread(call.left.wait, seconds)


async def _until_asked(provider: Provider, count: int = 1) -> Call:
    for _ in range(500):
        if len(provider.calls) >= count:
            return provider.calls[-1]
        await asyncio.sleep(0.01)
    raise TimeoutError


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_comes_in_pieces_and_whole(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    deltas = await _answer(adapter.model("echo"), _request(earlier=HISTORY))
    assert _text(deltas) == ANSWER
    assert len([delta for delta in deltas if delta.text]) > 3
    assert all(delta.text or delta.usage for delta in deltas)
    (call,) = adapter.provider.calls
    assert call.messages == [("user", "你好"), ("assistant", "您好"), ("user", QUESTION)]
    assert KEY not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("behaviour", "usages"),
    [
        ("echo", [TokenUsage(11, 7)]),
        ("usage-with-choices", [TokenUsage(11, 7)]),
        ("usage-zero", [TokenUsage(0, 0)]),
        ("no-usage", []),
    ],
)
async def test_usage_is_told_once_and_last(
    adapter: Adapter, behaviour: str, usages: list[TokenUsage]
) -> None:
    deltas = await _answer(adapter.model(behaviour))
    assert _text(deltas).startswith(ANSWER)
    assert _usages(deltas) == usages
    assert not usages or deltas[-1].usage is not None


@pytest.mark.parametrize("behaviour", ["crlf", "odd-chunks"])
async def test_dialects_of_the_protocol_are_understood(adapter: Adapter, behaviour: str) -> None:
    if (adapter.name, behaviour) == ("langchain", "odd-chunks"):
        pytest.skip("LangChain itself insists on choices")
    assert _text(await _answer(adapter.model(behaviour))) == ANSWER


async def test_what_json_allows_and_no_database_does_not_come_through(adapter: Adapter) -> None:
    """The halves of a pair find each other; a lonely one is told as such."""
    text = _text(await _answer(adapter.model("halves")))
    assert text == "a😀bc\ufffd\ufffddefg\ufffd"


async def test_a_model_that_thinks_is_not_silent(adapter: Adapter) -> None:
    if adapter.name == "langchain":
        pytest.skip("LangChain does not hand on what a model thinks")
    assert _text(await _answer(adapter.model("thinks"))) == ANSWER


async def test_answers_at_the_same_time_do_not_mix(adapter: Adapter) -> None:
    model = adapter.model("echo")
    answers = await asyncio.gather(*(_answer(model, _request(f"问题{n}")) for n in range(5)))
    assert [_text(answer) for answer in answers] == [f"你问的是：问题{n}" for n in range(5)]


async def test_parameters_are_passed_on(adapter: Adapter) -> None:
    model = adapter.model("echo")
    await _answer(model, _request(temperature=0.3, max_tokens=77))
    await _answer(model)
    with_limit, without = (call.body for call in adapter.provider.calls)
    assert (with_limit["temperature"], with_limit["stream"]) == (0.3, True)
    # LangChain uses OpenAI's newer name.
    name = "max_completion_tokens" if adapter.name == "langchain" else "max_tokens"
    assert with_limit[name] == 77
    assert without["temperature"] == 0.7
    assert name not in without


@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_the_extremes_of_temperature_are_accepted(adapter: Adapter, temperature: float) -> None:
    assert _text(await _answer(adapter.model("echo"), _request(temperature=temperature))) == ANSWER
    sent = adapter.provider.calls[0].body["temperature"]
    assert abs(sent - temperature) < 0.011
    assert sent == temperature or "/paas/" in adapter.provider.calls[0].path


# ── failures ──────────────────────────────────────────────────────────────────────────────────────────────────────────

FAILURES = [
    ("wrong-key", "upstream_key_refused", 502, "检查密钥", "refused the key"),
    ("no-credit", "upstream_refused", 502, "余额不足", "out of credit"),
    ("busy", "upstream_busy", 503, "请稍后再试", "try again later"),
    ("down", "upstream_error", 502, "HTTP 500", "HTTP 500"),
    ("bad-request", "upstream_refused", 502, "检查模型名和参数", "check model name and parameters"),
    ("not-found", "upstream_refused", 502, "检查模型名和参数", "check model name and parameters"),
    ("slow-start", "upstream_timeout", 504, "响应超时", "did not answer in time"),
    ("html", "upstream_empty", 502, "检查 base_url", "check base_url"),
    ("empty", "upstream_empty", 502, "没有给出任何回答", "gave no answer"),
    ("filtered", "upstream_empty", 502, "换个问法", "in other words"),
    ("moved", "upstream_refused", 502, "最终地址", "redirects to another address"),
]
BROKEN_OFF = [
    ("stall", "upstream_timeout", 504, "响应超时", "did not answer in time"),
    ("comments", "upstream_timeout", 504, "响应超时", "did not answer in time"),
    ("empties", "upstream_timeout", 504, "响应超时", "did not answer in time"),
    ("cut", "upstream_cut", 502, "请重试", "try again"),
    ("polite-cut", "upstream_cut", 502, "请重试", "try again"),
    ("malformed", "upstream_cut", 502, "请重试", "try again"),
    ("model-broke", "upstream_cut", 502, "请重试", "try again"),
    ("error-in-stream", "upstream_error", 502, "服务日志", "the log has the reason"),
]


@pytest.mark.parametrize(
    ("behaviour", "code", "status", "zh", "en"), FAILURES + BROKEN_OFF, ids=lambda value: str(value)[:20]
)
async def test_failures_say_what_to_do(
    adapter: Adapter,
    caplog: pytest.LogCaptureFixture,
    behaviour: str,
    code: str,
    status: int,
    zh: str,
    en: str,
) -> None:
    caplog.set_level(logging.INFO)
    model = adapter.model(behaviour)
    started = time.monotonic()
    said, error = await _failure(model)
    assert time.monotonic() - started < 20
    assert said == (ANSWER[:6] if any(behaviour == row[0] for row in BROKEN_OFF) else "")
    assert (error.code, error.status) == (code, status)
    assert zh in error.text.zh
    assert en in error.text.en
    assert error.retry_after == (7 if behaviour == "busy" else None)
    (line,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (line.levelno, line.message) == (logging.WARNING, "provider failed")
    assert (vars(line)["model"], vars(line)["code"]) == ("my-model", code)
    shown = [str(vars(record)) for record in caplog.records]
    shown += [str(error), repr(error), error.text.zh, error.text.en, repr(model), repr(vars(model))]
    assert not [text for text in shown if KEY in text or QUESTION in text]


@pytest.mark.parametrize("lie", LIES)
async def test_what_is_not_the_protocol_is_the_providers_failure(adapter: Adapter, lie: str) -> None:
    said, error = await _failure(adapter.model(f"lie-{lie}"))
    assert said == ANSWER[:6]
    assert error.status == 502


async def test_a_redirect_is_not_followed(adapter: Adapter) -> None:
    await _failure(adapter.model("moved", retries=1))
    assert [call.path.startswith("/elsewhere") for call in adapter.provider.calls] == [False]


async def test_an_event_without_end_is_refused(adapter: Adapter) -> None:
    if adapter.name == "zhipuai":
        pytest.skip("Zhipu's SDK brings its own HTTP library")
    _, error = await _failure(adapter.model("flood"))
    assert "sent too much at once" in error.text.en
    # One event after the other may be as much as they like.
    assert len(_text(await _answer(adapter.model("large")))) == 900_000


async def test_the_log_has_the_providers_code(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    await _failure(adapter.model("not-found"))
    assert vars(caplog.records[-1])["status"] == 404
    if adapter.name != "zhipuai":
        assert vars(caplog.records[-1])["reason"] == "model_not_found"


async def test_a_missing_key_is_told_before_any_connection(adapter: Adapter) -> None:
    for key in (None, SecretStr("  ")):
        said, error = await _failure(
            adapter.model("echo", api_key=key, base_url="https://llm.example.com/v1")
        )
        assert (said, error.code, error.status) == ("", "upstream_key_missing", 502)
        for text in (error.text.zh, error.text.en):
            assert "LLM__MY_MODEL__API_KEY" in text
    assert adapter.provider.calls == []


@pytest.mark.parametrize("key", [None, SecretStr("none")])
async def test_a_server_nearby_needs_no_key(provider: Provider, key: SecretStr | None) -> None:
    settings = LLMModelSettings(base_url=provider.openai, model="echo", api_key=key)
    assert settings.is_keyed
    model = PROVIDERS["openai"]("near", settings)
    _, error = await _failure(model)  # this one asks for a key all the same
    await model.close()
    assert error.code == "upstream_key_refused"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://192.168.1.9:8000/v1", True),
        ("https://10.0.0.1", True),
        ("https://8.8.8.8/v1", False),
        ("https://llm.example.com/v1", False),
        ("http://127.0.0.1.example.com/v1", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_what_is_nearby(url: str, expected: bool) -> None:
    assert LLMModelSettings(base_url=url, model="m").is_keyed is expected
    assert not LLMModelSettings(kind="zhipuai", base_url=url, model="m").is_keyed


async def test_a_key_that_cannot_be_one_is_refused_without_being_shown(adapter: Adapter) -> None:
    _, error = await _failure(adapter.model("echo", api_key=SecretStr("密钥sk-1234")))
    assert error.code == "upstream_key_refused"
    assert "1234" not in f"{error!r}{error.__cause__!r}"
    assert adapter.provider.calls == []


async def test_blanks_around_a_key_do_no_harm(adapter: Adapter) -> None:
    assert _text(await _answer(adapter.model("echo", api_key=SecretStr(f" {KEY}\n")))) == ANSWER


async def test_a_wrong_address_is_told_quickly(adapter: Adapter) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        started = time.monotonic()
        said, error = await _failure(adapter.model("echo", base_url=address))
    assert time.monotonic() - started < 20
    assert (said, error.code, error.status) == ("", "upstream_unreachable", 502)
    assert "base_url" in error.text.zh
    assert "base_url" in error.text.en


# ── retries ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("behaviour", "calls"), [("down", 2), ("slow-start", 2), ("wrong-key", 1)])
async def test_a_refused_call_is_tried_again_as_often_as_configured(
    adapter: Adapter, behaviour: str, calls: int
) -> None:
    said, _ = await _failure(adapter.model(behaviour, retries=1))
    assert said == ""
    assert len(adapter.provider.calls) == calls


async def test_nobody_waits_silently_for_a_provider_that_wants_to_be_left_alone(adapter: Adapter) -> None:
    started = time.monotonic()
    _, error = await _failure(adapter.model("busy-long", retries=3))
    assert time.monotonic() - started < 20
    assert (error.code, error.retry_after, len(adapter.provider.calls)) == ("upstream_busy", 50, 1)


async def test_a_second_try_may_succeed(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    assert _text(await _answer(adapter.model("busy-once", retries=1))) == ANSWER
    assert len(adapter.provider.calls) == 2
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("behaviour", ["stall", "cut", "polite-cut", "error-in-stream"])
async def test_after_the_first_piece_nothing_is_tried_again(adapter: Adapter, behaviour: str) -> None:
    said, _ = await _failure(adapter.model(behaviour, retries=3))
    assert said == ANSWER[:6]
    assert len(adapter.provider.calls) == 1


async def test_a_model_works_again_after_a_failure(adapter: Adapter) -> None:
    model = adapter.model("busy-once")
    assert (await _failure(model))[1].code == "upstream_busy"
    assert _text(await _answer(model)) == ANSWER


# ── time and departure ────────────────────────────────────────────────────────────────────────────────────────────────


async def test_only_silence_is_limited_not_the_whole_answer(adapter: Adapter) -> None:
    started = time.monotonic()
    model = adapter.model("endless", idle_timeout=timedelta(seconds=1))
    async with aclosing(model.stream(_request())) as deltas:
        async for _ in deltas:
            if time.monotonic() - started > 1.5:
                break
    assert time.monotonic() - started > 1.5


async def test_whoever_stops_reading_closes_the_connection(adapter: Adapter) -> None:
    async with aclosing(adapter.model("endless").stream(_request())) as deltas:
        async for _ in deltas:
            break
    assert await _left(adapter.provider.calls[0])


@pytest.mark.parametrize("behaviour", ["stall", "slow-start"])
async def test_whoever_is_cancelled_in_a_silence_closes_the_connection(
    adapter: Adapter, behaviour: str
) -> None:
    # Zhipu's client cannot be interrupted before the headers have come: the time-out ends it.
    deaf = (adapter.name, behaviour) == ("zhipuai", "slow-start")
    model = adapter.model(behaviour, idle_timeout=timedelta(seconds=1.5 if deaf else 60))
    task = asyncio.create_task(_answer(model))
    call = await _until_asked(adapter.provider)
    await asyncio.sleep(0.1)
    task.cancel()
    started = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _left(call)
    assert time.monotonic() - started < 20


async def test_an_answer_that_begins_after_its_reader_left_is_closed(adapter: Adapter) -> None:
    task = asyncio.create_task(_answer(adapter.model("late", idle_timeout=timedelta(seconds=60))))
    call = await _until_asked(adapter.provider)
    task.cancel()
    assert await _left(call)


# ── the stand-in ──────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = {"model": "echo", "messages": [{"role": "user", "content": "问"}]}


def _roles(*roles: str, content: str = "x") -> dict[str, object]:
    return {"messages": [{"role": role, "content": content} for role in roles]}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        (_roles("system", "user", "assistant", "user"), 200),
        ({"passages": []}, 400),
        ({"temperature": 2.1}, 400),
        ({"max_tokens": 0}, 400),
        (_roles("user", "user"), 400),
        (_roles("assistant", "user"), 400),
        (_roles("user", "assistant"), 400),
        (_roles("user", "system", "user"), 400),
        (_roles("human"), 400),
        (_roles("user", content=" "), 400),
        ({"messages": []}, 400),
    ],
)
async def test_the_stand_in_is_strict(provider: Provider, fields: dict[str, object], status: int) -> None:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
        answer = await client.post(f"{provider.openai}/chat/completions", json=GOOD | fields)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert answer.json()["choices"][0]["message"]["content"].startswith("你问的是")
        zhipu = await client.post(f"{provider.zhipu}/chat/completions", json=GOOD | {"temperature": 1})
        assert zhipu.status_code == 400
        assert (await client.get(f"{provider.openai}/models")).json()["data"][0]["id"] == "echo"
        text = await client.post(f"{provider.openai}/chat/completions", content=b"{}")
        assert text.status_code == 400
    async with httpx2.AsyncClient() as nobody:
        assert (await nobody.post(f"{provider.openai}/chat/completions", json=GOOD)).status_code == 401
