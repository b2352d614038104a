"""The engines against strict stand-ins: what is sent, what is made of the answers, and what is told of failures."""

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from server.core.configuration import load_settings
from server.core.errors import AppError, SearchEngineNotFound, SearchEngineNotReady
from server.core.threads import Lanes
from server.search import ENGINES
from server.search.base import WebPage
from server.search.engines import SearchEngines
from tests.support.search_engines import IMPATIENT, KEY, LONG, PAGES, Engines, search_engines

NAMES = ["bing", "duckduckgo", "metaphor", "searxng"]


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Engines]:
    with search_engines() as running:
        yield running


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
async def engines(stand_in: Engines, environ: dict[str, str]) -> AsyncIterator[SearchEngines]:
    stand_in.asked.clear()
    stand_in.paths.clear()
    opened = SearchEngines(load_settings(environ=stand_in.environ() | environ).search, Lanes())
    yield opened
    await opened.close()


async def _search(engines: SearchEngines, name: str, query: str, count: int = 3) -> list[WebPage]:
    return await engines.search(engines.get(name), query, count)


def test_these_are_the_engines(engines: SearchEngines) -> None:
    assert engines.names() == NAMES == list(ENGINES)
    assert [ENGINES[name].name for name in NAMES] == NAMES  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
async def test_pages_are_found_in_the_engines_order(
    engines: SearchEngines, stand_in: Engines, name: str
) -> None:
    pages = await _search(engines, name, "公司的 \n 年假？")
    assert [(page.title, page.url) for page in pages] == [(title, url) for title, url, _ in PAGES[:3]]
    assert pages[0].text == PAGES[0][2]
    assert pages[2].text == LONG
    ((engine, question, count),) = stand_in.asked
    assert (engine, question, count or 3) == (name, "公司的 年假？", 3)


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_found_is_no_failure(engines: SearchEngines, name: str) -> None:
    assert await _search(engines, name, "nothing") == []


@pytest.mark.parametrize("name", NAMES)
async def test_what_nobody_could_open_is_left_out(engines: SearchEngines, name: str) -> None:
    pages = await _search(engines, name, "odd", 10)
    urls = [page.url for page in pages]
    proper = [url for _, url, _ in PAGES]
    if name == "duckduckgo":
        assert urls == proper
    else:
        assert urls == ["https://example.com/x", *proper][:10]
        assert (pages[0].title, pages[0].text) == ("https://example.com/x", "ab")


@pytest.mark.parametrize("name", NAMES)
async def test_a_long_question_is_cut_for_the_engine(
    engines: SearchEngines, stand_in: Engines, name: str
) -> None:
    await _search(engines, name, "问" * 5000)
    assert stand_in.asked[0][1] == "问" * 400


@pytest.mark.parametrize(
    ("environ", "word", "code", "status"),
    [
        ({}, "html", "upstream_error", 502),
        ({}, "list", "upstream_error", 502),
        ({}, "empty", "upstream_error", 502),
        ({}, "deep", "upstream_error", 502),
        ({}, "huge", "upstream_error", 502),
        ({}, "down", "upstream_error", 502),
        ({}, "gone", "upstream_error", 502),
        ({}, "moved", "upstream_refused", 502),
        ({}, "busy", "upstream_busy", 503),
        (IMPATIENT, "slow", "upstream_timeout", 504),
    ],
)
@pytest.mark.parametrize("name", NAMES)
async def test_a_failure_is_readable_and_names_the_engine(
    engines: SearchEngines,
    stand_in: Engines,
    caplog: pytest.LogCaptureFixture,
    name: str,
    word: str,
    code: str,
    status: int,
) -> None:
    with pytest.raises(AppError) as caught:
        await _search(engines, name, f"{word} secret-question")
    error = caught.value
    assert (error.code, error.status) == (code, status)
    assert name in error.text.zh
    assert name in error.text.en
    assert len(stand_in.paths) == 1, "a redirect is not followed"
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.message == "search engine failed"
    told = f"{error.text}{vars(record)}{caplog.text}"
    assert KEY not in told
    assert "secret-question" not in told


@pytest.mark.parametrize("environ", [{"SEARCH__BING_KEY": "wrong-wrong"}, {"SEARCH__BING_KEY": "密钥密钥"}])
async def test_a_key_that_is_refused_is_told(engines: SearchEngines, environ: dict[str, str]) -> None:
    with pytest.raises(AppError) as caught:
        await _search(engines, "bing", "年假")
    assert caught.value.code == "upstream_key_refused"
    assert "[search] bing_key" in caught.value.text.zh
    assert environ["SEARCH__BING_KEY"] not in str(caught.value.text)


async def test_what_engines_have_of_their_own_is_told(engines: SearchEngines) -> None:
    with pytest.raises(AppError, match=r"search\.formats"):
        await _search(engines, "searxng", "forbidden")
    with pytest.raises(AppError) as caught:
        await _search(engines, "duckduckgo", "robot")
    assert caught.value.code == "upstream_busy"


@pytest.mark.parametrize("environ", [{"SEARCH__SEARXNG_URL": "http://127.0.0.1:9"}])
async def test_an_engine_that_is_not_there_is_told(engines: SearchEngines) -> None:
    with pytest.raises(AppError) as caught:
        await _search(engines, "searxng", "年假")
    assert (caught.value.code, caught.value.status) == ("upstream_unreachable", 502)
    assert "[search] searxng_url" in caught.value.text.zh


@pytest.mark.parametrize(
    "key", ["bing_key", "bing_url", "duckduckgo_url", "metaphor_key", "metaphor_url", "searxng_url"]
)
def test_an_engine_without_its_setting_names_it(stand_in: Engines, key: str) -> None:
    settings = load_settings(environ=stand_in.environ(key.upper())).search
    with pytest.raises(SearchEngineNotReady) as caught:
        SearchEngines(settings, Lanes()).get(key.partition("_")[0])
    for text in (caught.value.text.zh, caught.value.text.en):
        assert f"[search] {key}" in text
        assert f"SEARCH__{key.upper()}" in text


def test_another_engine_is_not_supported(engines: SearchEngines) -> None:
    with pytest.raises(SearchEngineNotFound) as caught:
        engines.get("google")
    assert caught.value.text.zh.startswith("未支持搜索引擎 google")
