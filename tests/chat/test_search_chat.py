"""/chat/search_engine_chat over HTTP: what the model reads, what people see, what is refused before the first byte."""

import re
from typing import Any

import pytest
from sqlalchemy import select

from server.chat.models import Message, Session
from server.llm.quote_model import NAME as QUOTE
from server.services import Services
from tests.support.api import Caller, objects, sse_events
from tests.support.provider import Provider
from tests.support.provider_streams import echo
from tests.support.search_engines import IMPATIENT, KEY, PAGES, Engines

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

PATH = "/chat/search_engine_chat"
QUESTION = "公司年假有几天？"
SSE = {"Accept": "text/event-stream"}


def _body(engine: str = "searxng", **fields: Any) -> dict[str, Any]:
    return {"query": QUESTION, "search_engine_name": engine, **fields}


async def test_the_engines_are_listed(reader: Caller) -> None:
    answer = (await reader.post("/server/list_search_engines")).json()
    assert answer == {"code": 200, "msg": "success", "data": ["bing", "duckduckgo", "metaphor", "searxng"]}


@pytest.mark.database
@pytest.mark.parametrize("engine", ["bing", "duckduckgo", "metaphor", "searxng"])
async def test_pages_are_read_by_the_model_and_cited(
    reader: Caller, services: Services, provider: Provider, engine: str
) -> None:
    session = "a" * 32
    parts = objects((await reader.post(PATH, _body(engine, stream=True, top_k=2, session_id=session))).text)
    (call,) = provider.calls
    assert "".join(part.get("answer", "") for part in parts) == echo(call)
    docs = parts[-1]["docs"]
    assert docs[0] == (
        "出处 [1] [年假规定 \\[官方\\]](https://example.com/leave?a=1&b=%282%29) \n\n员工每年有十天年假。\n\n"
    )
    assert len(docs) == 2
    prompt = call.messages[-1][1]
    (fence,) = set(re.findall("-----[0-9a-f]{16}-----", prompt))
    inside = prompt.rsplit(f"\n{fence}\n", 2)[1]
    assert inside.startswith("[1] 年假规定 [官方] https://example.com/leave")
    assert "网页" in prompt
    assert QUESTION in prompt
    async with services.database.read() as database:
        (message,) = await database.scalars(select(Message))
        (conversation,) = await database.scalars(select(Session))
    assert (message.chat_type, message.state, message.docs) == ("search_engine_chat", "done", docs)
    assert message.trace == {"engine": engine, "pages": 2}
    assert (conversation.id, conversation.mode) == (session, "SearchEngine")


async def test_as_events_and_as_one_object(reader: Caller, provider: Provider) -> None:
    events = sse_events((await reader.post(PATH, _body(stream=True, top_k=1), headers=SSE)).text)
    assert [kind for kind, _ in events][:2] == ["started", "sources"]
    title, url, text = PAGES[0]
    assert events[1][1] == {"hits": [{"number": 1, "title": title, "url": url, "text": text}]}
    whole = (await reader.post(PATH, _body(prompt_name="search"))).json()
    assert set(whole) == {"answer", "chat_history_id", "docs"}
    assert len(whole["docs"]) == 3
    assert "归纳" in provider.calls[1].messages[-1][1]


async def test_nothing_found_is_said(reader: Caller, provider: Provider) -> None:
    whole = (await reader.post(PATH, _body() | {"query": "nothing 年假"})).json()
    assert "未找到相关文档" in whole["docs"][0]
    assert "没有搜索到" in provider.calls[0].messages[-1][1]


async def test_without_a_model_the_pages_are_quoted(reader: Caller) -> None:
    whole = (await reader.post(PATH, _body(model_name=QUOTE, query="员工每年有几天年假？"))).json()
    assert "十天年假" in whole["answer"]
    assert re.search(r"\[[1-3]\]", whole["answer"])


async def test_long_pages_are_cut_and_the_nearest_pieces_taken(reader: Caller, provider: Provider) -> None:
    whole = (await reader.post(PATH, _body("metaphor", split_result=True, top_k=4))).json()
    assert len(whole["docs"]) == 4
    found = "".join(whole["docs"][:2])
    assert "公司年假规定" in found, "the piece in the middle of the long page"
    assert "员工每年有十天年假。\n\n" in found, "the short page"
    assert all(len(doc) < 500 for doc in whole["docs"])
    uncut = (await reader.post(PATH, _body("metaphor", top_k=4))).json()
    assert max(map(len, uncut["docs"])) > 800


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("environ", "engine", "query", "status", "words"),
    [
        ({}, "google", QUESTION, 404, "未支持搜索引擎 google"),
        ({}, "", QUESTION, 404, "未支持搜索引擎"),
        ({"SEARCH__BING_KEY": ""}, "bing", QUESTION, 404, "[search] bing_key"),
        ({"SEARCH__SEARXNG_URL": "http://127.0.0.1:9"}, "searxng", QUESTION, 502, "searxng"),
        ({}, "searxng", "down", 502, "searxng"),
        ({}, "metaphor", "html", 502, "metaphor"),
        (IMPATIENT, "bing", "slow", 504, "bing"),
        ({}, "duckduckgo", "robot", 503, "duckduckgo"),
    ],
)
async def test_what_fails_is_refused_before_the_first_byte(
    reader: Caller,
    services: Services,
    provider: Provider,
    environ: dict[str, str],
    engine: str,
    query: str,
    status: int,
    words: str,
    stream: bool,
) -> None:
    answer = await reader.post(PATH, _body(engine, query=query, stream=stream))
    assert answer.status_code == status, answer.text
    assert (answer.json()["code"], words in answer.json()["msg"]) == (status, True)
    assert KEY not in answer.text
    assert provider.calls == []
    async with services.database.read() as database:
        assert list(await database.scalars(select(Message))) == []


async def test_nothing_is_searched_for_anothers_conversation(
    reader: Caller, editor: Caller, web: Engines
) -> None:
    session = "b" * 32
    assert (await editor.post(PATH, _body(session_id=session))).status_code == 200
    searched = len(web.asked)
    assert (await reader.post(PATH, _body(session_id=session))).status_code == 404
    assert len(web.asked) == searched


async def test_only_configured_addresses_are_fetched(reader: Caller, web: Engines) -> None:
    """Neither the pages that were found, nor what a question or a redirect names."""
    for query in (f"{web.base}/elsewhere", "moved", "年假"):
        for engine in ("bing", "duckduckgo", "metaphor", "searxng"):
            await reader.post(PATH, _body(engine, query=query, split_result=True))
    assert set(web.paths) == {"/bing/v7.0/search", "/exa/search", "/searx/search", "/duck/html/"}


@pytest.mark.parametrize(
    "fields", [{"top_k": 0}, {"top_k": "many"}, {"split_result": "maybe"}, {"search_engine_name": None}]
)
async def test_limits_are_held(reader: Caller, fields: dict[str, object]) -> None:
    answer = await reader.post(PATH, _body() | fields)
    assert answer.status_code == 422
    assert next(iter(fields)) in answer.json()["msg"]
