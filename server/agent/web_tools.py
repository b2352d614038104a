"""Tools that ask services of the operator's choice: a search engine, a weather service."""

import json
from typing import Annotated, Any

from pydantic import Field

from server.agent.base import Arguments, Found, Result, Tool, ToolFailed
from server.core.fetching import Call, Fetcher, FetchError
from server.core.i18n import Text
from server.core.settings import AgentSettings
from server.search.base import WebPage
from server.search.engines import SearchEngines

_PAGES = 4
# Characters of a page.
_TEXT = 800
# The WMO's codes of the weather, up to each number.
_WEATHER = (
    (0, "晴"),
    (3, "多云"),
    (48, "雾"),
    (57, "毛毛雨"),
    (67, "雨"),
    (77, "雪"),
    (82, "阵雨"),
    (86, "阵雪"),
    (99, "雷暴"),
)


class WebQuery(Arguments):
    query: Annotated[str, Field(min_length=1, max_length=400)]
    """What to type into a search engine."""


class Place(Arguments):
    city: Annotated[str, Field(min_length=1, max_length=100)]
    """A city, such as 上海 or Berlin."""


def web_search(engines: SearchEngines, engine: str) -> Tool[WebQuery]:
    async def call(given: WebQuery) -> Result:
        pages = await engines.search(engines.get(engine), given.query, _PAGES)
        found = [Found(WebPage(page.title, page.url, page.text[:_TEXT])) for page in pages]
        return Result("" if found else "nothing was found; try other words", found)

    words = "Search the web for what is recent or public. Returns numbered excerpts of pages to cite."
    return Tool("web_search", Text("互联网查询", "web search"), words, WebQuery, call)


def weather(fetcher: Fetcher, settings: AgentSettings) -> Tool[Place]:
    """Speaks Open-Meteo's interface: one call for the place, one for its weather."""

    async def call(given: Place) -> Result:
        query: dict[str, str | int | float] = {
            "name": given.city,
            "count": 1,
            "language": "zh",
            "format": "json",
        }
        places = (await _ask(fetcher, settings.geocoding_url, query)).get("results")
        if not places:
            raise ToolFailed(f"no place of this name: {given.city}")
        try:
            place = places[0]
            name, latitude, longitude = (
                str(place["name"]),
                float(place["latitude"]),
                float(place["longitude"]),
            )
            query = {"latitude": latitude, "longitude": longitude, "timezone": "auto", "forecast_days": 3}
            query["current"] = "temperature_2m,relative_humidity_2m,weather_code,wind_speed_10m"
            query["daily"] = "weather_code,temperature_2m_max,temperature_2m_min"
            return Result(_describe(name, await _ask(fetcher, settings.weather_url, query)))
        except (LookupError, TypeError, ValueError):
            raise ToolFailed("the weather service gave an answer that makes no sense") from None

    words = "The weather in a city now and for three days."
    return Tool("weather", Text("天气查询", "weather"), words, Place, call)


async def _ask(fetcher: Fetcher, url: str, query: dict[str, str | int | float]) -> dict[str, Any]:
    try:
        status, body = await fetcher.fetch(Call("GET", url, query))
        answer = json.loads(body) if status == 200 else None
    except FetchError:
        raise ToolFailed("the weather service does not answer") from None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ToolFailed("the weather service gave an answer that makes no sense")
    return answer


def _describe(name: str, answer: dict[str, Any]) -> str:
    now, daily = answer["current"], answer["daily"]
    lines = [
        f"{name[:100]} 现在：{_words(now['weather_code'])}，{float(now['temperature_2m'])}℃，"
        f"湿度 {float(now['relative_humidity_2m']):g}%，风速 {float(now['wind_speed_10m'])} km/h"
    ]
    days = zip(
        daily["time"],
        daily["weather_code"],
        daily["temperature_2m_min"],
        daily["temperature_2m_max"],
        strict=True,
    )
    lines += [
        f"{str(day)[:10]}：{_words(code)}，{float(low)}～{float(high)}℃"
        for day, code, low, high in list(days)[:3]
    ]
    return "\n".join(lines)


def _words(code: object) -> str:
    number = int(str(code))
    return next((words for limit, words in _WEATHER if number <= limit), "")
