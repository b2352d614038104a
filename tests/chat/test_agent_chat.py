"""/chat/agent_chat: a model that calls tools, through the whole server, against a provider that checks every message."""

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from server.chat.models import Message, Session
from server.llm.quote_model import NAME as QUOTE
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller, objects, sse_events
from tests.support.provider import KEY, Provider
from tests.support.search_engines import KEY as SEARCH_KEY
from tests.support.search_engines import Engines

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

PATH = "/chat/agent_chat"
SSE = {"Accept": "text/event-stream"}
WEB = {"AGENT__SEARCH_ENGINE": "searxng"}


def _ask(*rounds: list[tuple[str, Any]], model: str = "agent", **fields: Any) -> dict[str, Any]:
    """A question whose model calls these tools, round by round."""
    script = json.dumps(rounds, ensure_ascii=False)
    return {"query": f"请查 <<{script}>>", "model_name": model, "stream": True, **fields}


async def _parts(caller: Caller, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await caller.post(PATH, body)
    assert answer.status_code == 200, answer.text
    return objects(answer.text)


def _tools(parts: list[dict[str, Any]]) -> list[list[str]]:
    return [part["tools"] for part in parts if "tools" in part]


def _final(parts: list[dict[str, Any]]) -> str:
    return next(part["final_answer"] for part in parts if "final_answer" in part)


async def _library(caller: Caller, name: str, text: str) -> None:
    await caller.create_kb(name)
    documents = await caller.ingest(name, {f"{name}.txt": text.encode()})
    assert documents[f"{name}.txt"]["state"] == "ready"


# ── forms ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.database
async def test_an_answer_in_every_form(reader: Caller, services: Services, provider: Provider) -> None:
    body = _ask([("calculator", {"expression": "6*7"})], session_id="a" * 32)
    parts = await _parts(reader, body)
    assert _tools(parts) == [
        ["工具名称: 计算器", "工具状态: 调用成功", '工具输入: {"expression": "6*7"}', "工具输出: 42"]
    ]
    said = "".join(part.get("answer", "") for part in parts)
    assert said == "先查一下。\n\n查到：42"
    assert _final(parts) == "查到：42"
    assert set(parts[-1]) == {"docs", "chat_history_id"}

    events = sse_events((await reader.post(PATH, body, headers=SSE | {"Accept-Language": "en"})).text)
    kinds = [kind for kind, _ in events]
    assert kinds[0] == "started"
    assert kinds[-3:] == ["sources", "final_answer", "finished"]
    found = dict(events)
    assert found["tool"] == {
        "name": "calculator",
        "title": "calculator",
        "arguments": '{"expression": "6*7"}',
        "output": "42",
        "failed": False,
    }
    assert found["final_answer"] == {"text": "查到：42"}
    assert kinds.count("usage") == 2
    assert "".join(data["text"] for kind, data in events if kind == "delta") == said

    whole = (await reader.post(PATH, body | {"stream": False})).json()
    assert (whole["answer"], whole["final_answer"], whole["docs"]) == (said, "查到：42", [])
    assert whole["tools"] == _tools(parts)
    async with services.database.read() as database:
        messages = list(await database.scalars(select(Message)))
        (session,) = await database.scalars(select(Session))
    assert session.mode == "Agent"
    for message in messages:
        assert (message.chat_type, message.state, message.response) == ("agent_chat", "done", "查到：42")
        assert [use["name"] for use in message.trace["tools"]] == ["calculator"]
    assert len(provider.calls) == 6


async def test_what_the_model_is_told(editor: Caller, provider: Provider) -> None:
    await _library(editor, "hr", "年假：员工每年有十天年假。")
    history = [["human", "你好"], ["ai", "<p>好</p>"], ["human", "没有回答"]]
    answer = await editor.post(
        PATH, _ask(history=history, temperature=0.1, max_tokens=77, prompt_name="AgentLM")
    )
    assert answer.status_code == 200
    (call,) = provider.calls
    (system, first, second, question) = call.messages
    assert system[0] == "system"
    assert "You answer questions with the help of tools" in system[1]
    assert "- hr：检查 检查用" in system[1]
    assert (first, second) == (("user", "你好"), ("assistant", "好"))
    assert question[1].startswith("请查")
    assert (call.body["temperature"], call.body["max_tokens"]) == (0.1, 77)
    tools = {tool["function"]["name"]: tool["function"] for tool in call.body["tools"]}
    assert set(tools) == {"calculator", "current_time", "knowledge_search"}
    properties = tools["knowledge_search"]["parameters"]["properties"]
    assert set(properties) == {"query", "knowledge_bases", "top_k"}
    assert all("description" in value for value in properties.values())


async def test_a_question_without_tools_is_answered_at_once(reader: Caller, provider: Provider) -> None:
    parts = await _parts(reader, _ask())
    assert (_tools(parts), _final(parts)) == ([], "不用工具。")
    assert len(provider.calls) == 1


# ── tools ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_several_knowledge_bases_are_searched_at_once_and_cited(
    editor: Caller, provider: Provider
) -> None:
    await _library(editor, "hr", "年假：员工每年有十天年假。")
    await _library(editor, "it", "密码：电脑的密码每九十天换一次。")
    calls: list[list[tuple[str, Any]]] = [
        [("knowledge_search", {"query": "年假几天"})],
        [("knowledge_search", {"query": "密码多久换", "knowledge_bases": ["it"]}), ("current_time", {})],
    ]
    parts = await _parts(editor, _ask(*calls))
    first, second = (
        provider.calls[1].messages[-1][1],
        [text for role, text in provider.calls[2].messages if role == "tool"],
    )
    assert first.startswith("[1] hr.txt")
    assert "[2] it.txt" in first
    assert "十天年假" in first
    assert second[1].startswith("[2] it.txt"), "a passage that comes again keeps its number"
    assert "星期" in second[2]
    docs = parts[-1]["docs"]
    assert len(docs) == 2
    assert docs[0].startswith("出处 [1] [hr.txt](")
    assert "knowledge_base_name=it&file_name=it.txt" in docs[1]
    assert len(provider.calls) == 3


async def test_only_the_callers_own_knowledge_bases_are_there(
    callers: Callers, editor: Caller, provider: Provider
) -> None:
    await callers.client("other")
    stranger = await callers.key("other", "chat", "kb:read", "kb:write")
    await _library(stranger, "secret", "绝密：金库密码是 7788。")
    await _library(editor, "hr", "年假：员工每年有十天年假。")
    calls: list[list[tuple[str, Any]]] = [
        [("knowledge_search", {"query": "金库密码"})],
        [("knowledge_search", {"query": "金库密码", "knowledge_bases": ["secret"]})],
        [("knowledge_search", {"query": "金库密码", "knowledge_bases": ["hr", "secret"]})],
    ]
    parts = await _parts(editor, _ask(*calls))
    told = json.dumps([call.body for call in provider.calls], ensure_ascii=False) + json.dumps(
        parts, ensure_ascii=False
    )
    assert "7788" not in told
    assert "no such knowledge base: secret; there are: hr" in told
    nobody = await callers.user("acme", "u9")
    await _parts(nobody, _ask([("knowledge_search", {"query": "年假"})]))
    assert "十天年假" in provider.calls[-1].messages[-1][1], "readers search what they may read"


@pytest.mark.parametrize("environ", [WEB])
async def test_the_web_is_searched_and_cited(reader: Caller, web: Engines, provider: Provider) -> None:
    parts = await _parts(reader, _ask([("web_search", {"query": "年假规定"})]))
    assert web.asked == [("searxng", "年假规定", None)]
    assert "[1] 年假规定 [官方] https://example.com/leave" in provider.calls[1].messages[-1][1]
    assert parts[-1]["docs"][0].startswith("出处 [1] [年假规定 \\[官方\\]](https://example.com/leave")


@pytest.mark.parametrize("environ", [WEB])
@pytest.mark.parametrize("query", ["busy", "down", "html"])
async def test_a_tool_that_fails_is_told_without_its_own_words(
    reader: Caller, provider: Provider, query: str
) -> None:
    parts = await _parts(reader, _ask([("web_search", {"query": query})]))
    ((_, state, _, error),) = _tools(parts)
    assert state == "工具状态: 调用失败"
    assert "searxng" in error
    assert _final(parts).startswith("查到：Error: ")
    assert SEARCH_KEY not in json.dumps(parts) + json.dumps([call.body for call in provider.calls])


@pytest.mark.parametrize("environ", [{"AGENT__SEARCH_ENGINE": "bing", "SEARCH__BING_KEY": ""}])
async def test_an_engine_without_a_key_is_told(reader: Caller) -> None:
    parts = await _parts(reader, _ask([("web_search", {"query": "年假"})]))
    assert "[search] bing_key" in _tools(parts)[0][3]


class _Weather(BaseHTTPRequestHandler):
    """Open-Meteo, as strict as it is."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
        answer: Any = {"error": True, "reason": f"unexpected {self.path}"}
        status = 400
        if parts.path == "/v1/search" and set(query) == {"name", "count", "language", "format"}:
            found = (
                [{"name": "上海", "latitude": 31.2, "longitude": 121.5}] if query["name"] == "上海" else None
            )
            status, answer = 200, {"results": found} if found else {"generationtime_ms": 1}
        elif (
            parts.path == "/v1/forecast" and float(query["latitude"]) == 31.2 and query["timezone"] == "auto"
        ):
            now = {
                "temperature_2m": 18.5,
                "relative_humidity_2m": 60,
                "weather_code": 61,
                "wind_speed_10m": 9,
            }
            days = {
                "time": ["2026-11-21"],
                "weather_code": [3],
                "temperature_2m_max": [20],
                "temperature_2m_min": [11],
            }
            status, answer = 200, {"current": now, "daily": days}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def weather() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Weather)
    Thread(target=lambda: server.serve_forever(0.05), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


class TestWeather:
    @pytest.fixture
    def environ(self, weather: str) -> dict[str, str]:
        return {"AGENT__WEATHER_URL": f"{weather}/forecast", "AGENT__GEOCODING_URL": f"{weather}/search"}

    async def test_it_is_told_for_a_city(self, reader: Caller) -> None:
        parts = await _parts(reader, _ask([("weather", {"city": "上海"}), ("weather", {"city": "无此地"})]))
        outputs = sorted(lines[3] for lines in _tools(parts))
        assert (
            outputs[0]
            == "工具输出: 上海 现在：雨，18.5℃，湿度 60%，风速 9.0 km/h\n2026-11-21：多云，11.0～20.0℃"
        )
        assert outputs[1] == "错误信息: no place of this name: 无此地"


# ── a budget, and models that go wrong ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("environ", [{"AGENT__MAX_CALLS": "2"}])
async def test_the_budget_of_calls_ends_it(reader: Caller, provider: Provider) -> None:
    calls = [[("calculator", {"expression": f"{n}+1"})] for n in range(9)]
    parts = await _parts(reader, _ask(*calls))
    assert len(_tools(parts)) == 2
    assert len(provider.calls) == 3
    assert "tools" in provider.calls[1].body
    assert "tools" not in provider.calls[2].body
    assert "budget for tools is used up" in provider.calls[2].messages[-1][1]
    assert _final(parts).startswith("查到：1 / 2")


@pytest.mark.parametrize("environ", [{"AGENT__MAX_CALLS": "2"}])
async def test_many_calls_at_once_are_cut_at_the_budget(reader: Caller, provider: Provider) -> None:
    parts = await _parts(reader, _ask([("calculator", {"expression": str(n)}) for n in range(20)]))
    assert len(_tools(parts)) == 2
    assert len(provider.calls) == 2


@pytest.mark.parametrize(
    "environ",
    [
        WEB | {"AGENT__TOOL_TIMEOUT": "200ms"},
        WEB | {"AGENT__MAX_TIME": "1s"},
    ],
)
async def test_the_budget_of_time_ends_a_tool(
    reader: Caller, provider: Provider, environ: dict[str, str]
) -> None:
    parts = await _parts(reader, _ask([("web_search", {"query": "slow"})]))
    assert "took too long" in _tools(parts)[0][3]
    # One slow tool does not end it; the seconds of all of them do.
    assert ("tools" in provider.calls[1].body) == ("AGENT__TOOL_TIMEOUT" in environ)
    assert _final(parts).startswith("查到：Error: ")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("calculator", {"expression": "9**9**9"}, "too large"),
        ("calculator", {"expression": "__import__('os').system('ls')"}, "cannot be calculated"),
        ("calculator", {}, "expression: Field required"),
        ("calculator", {"expression": 5}, "expression: Input should be a valid string"),
        ("calculator", '{"expression": ', "not a JSON object"),
        ("calculator", "[1]", "not a JSON object"),
        ("calculator", "", "expression: Field required"),
        ("calculator", {"expression": "1+1", "config": {}, "run_manager": 1, "text": "x"}, "2"),
        ("current_time", {"timezone": "Mars/Olympus"}, "no such time zone"),
        ("current_time", {"timezone": "../../etc/passwd"}, "no such time zone"),
        ("shell", {"command": "id"}, "not a valid tool"),
        ("", {}, "not a valid tool"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model(
    reader: Caller, provider: Provider, name: str, given: Any, words: str
) -> None:
    parts = await _parts(reader, _ask([(name, given)]))
    assert words in provider.calls[1].messages[-1][1]
    assert _final(parts).startswith("查到：")


async def test_a_model_that_only_calls_what_there_is_not_comes_to_an_end(
    reader: Caller, provider: Provider
) -> None:
    parts = await _parts(reader, _ask(*[[("shell", {})] for _ in range(60)]))
    assert len(provider.calls) == 9
    assert _final(parts).startswith("查到：")


@pytest.mark.parametrize("environ", [{"LLM__AGENT__CONTEXT_TOKENS": "2600"}])
async def test_what_there_is_no_room_for_is_neither_told_nor_cited(
    editor: Caller, provider: Provider
) -> None:
    await _library(
        editor, "hr", "\n\n".join(f"年假第{n}条：有{n}天年假。" + "其他说明。" * 45 for n in range(9))
    )
    parts = await _parts(editor, _ask([("knowledge_search", {"query": "年假", "top_k": 9})]))
    cited = len(parts[-1]["docs"])
    told = provider.calls[1].messages[-1][1]
    assert 1 <= cited < 5
    assert f"[{cited}] " in told
    assert f"[{cited + 1}] " not in told


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("down", "upstream_error"),
        ("wrong-key", "upstream_key_refused"),
        ("cut", "upstream_cut"),
        ("empty", "upstream_empty"),
    ],
)
async def test_a_provider_that_fails_is_readable(
    reader: Caller, services: Services, model: str, code: str
) -> None:
    parts = await _parts(reader, _ask(model=model))
    assert parts[-1]["error"]["code"] == code
    events = sse_events((await reader.post(PATH, _ask(model=model), headers=SSE)).text)
    assert (events[-1][0], events[-1][1]["error"]["code"]) == ("failed", code)
    whole = await reader.post(PATH, _ask(model=model, stream=False))
    assert (whole.status_code, whole.json()["error"]["code"]) == (502, code)
    assert KEY not in json.dumps(parts) + whole.text
    async with services.database.read() as database:
        assert {message.state for message in await database.scalars(select(Message))} == {"failed"}


# ── models without tools ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_provider_that_refuses_tools_is_told_with_the_remedy(reader: Caller) -> None:
    answer = await reader.post(PATH, _ask(model="no-tools", stream=False))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_refused")
    assert "[llm.no-tools] tools = false" in answer.json()["msg"]


@pytest.mark.parametrize("environ", [{"LLM__NO_TOOLS__TOOLS": "false"}])
@pytest.mark.parametrize("model", [QUOTE, "no-tools"])
async def test_without_tools_the_knowledge_bases_are_searched_first(
    editor: Caller, provider: Provider, model: str
) -> None:
    await _library(editor, "hr", "年假：员工每年有十天年假。")
    await _library(editor, "it", "密码：电脑的密码每九十天换一次。")
    body = {"query": "员工每年有几天年假？", "model_name": model, "stream": True, "prompt_name": "AgentLM"}
    parts = await _parts(editor, body)
    assert _tools(parts)[0][0] == "工具名称: 知识库查询"
    assert "knowledge_base_name=hr" in parts[-1]["docs"][0]
    if model == QUOTE:
        assert "十天年假" in _final(parts)
    else:
        assert "十天年假" in provider.calls[0].messages[-1][1]
        assert _final(parts).startswith("你问的是")
    assert "tools" not in (provider.calls[0].body if provider.calls else {})


async def test_without_tools_and_knowledge_that_is_said(reader: Caller) -> None:
    whole = (await reader.post(PATH, {"query": "年假几天？", "model_name": QUOTE})).json()
    assert "没有找到" in whole["final_answer"]
    assert whole["docs"] == ["<span style='color:red'>未找到相关文档</span>"]


# ── readers who leave ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.database
@pytest.mark.parametrize("environ", [{"LLM__STALL__IDLE_TIMEOUT": "20s"}])
@pytest.mark.parametrize("model", ["endless", "stall"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_reader_who_leaves_ends_the_call_and_keeps_what_was_said(
    reader: Caller, services: Services, provider: Provider, model: str, stream: bool
) -> None:
    asking = asyncio.ensure_future(reader.post(PATH, _ask(model=model, stream=stream)))
    while not provider.calls:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    asking.cancel()
    assert await asyncio.to_thread(provider.calls[0].left.wait, 30)
    for _ in range(1500):
        async with services.database.read() as database:
            (message,) = await database.scalars(select(Message))
        if message.state != "writing":
            break
        await asyncio.sleep(0.02)
    assert message.state == "cut"
    assert message.response.startswith("字" if model == "endless" else "你问的是")


async def test_an_unknown_template_is_refused_before_the_first_byte(
    reader: Caller, provider: Provider
) -> None:
    answer = await reader.post(PATH, _ask(prompt_name="py"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "prompt_not_found")
    assert "中文版本" in answer.json()["msg"]
    assert provider.calls == []
