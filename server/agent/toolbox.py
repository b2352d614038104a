"""The tools of this server. To add one: a function that makes a Tool, and one line in `tools`."""

from collections.abc import Sequence
from typing import Any

from server.agent.base import Tool
from server.agent.knowledge import Knowledge, open_knowledge
from server.agent.simple_tools import calculator, current_time, describe_time
from server.agent.web_tools import weather, web_search
from server.auth.principal import Principal
from server.core.clock import Clock
from server.core.errors import SettingsError
from server.core.fetching import Fetcher
from server.core.settings import AgentSettings
from server.kb.models import KnowledgeBase
from server.kb.service import KBService
from server.search.engines import SearchEngines


class Toolbox:
    """Gives each caller the tools they may use. There is no shell among them, and nothing that writes."""

    def __init__(self, kb: KBService, search: SearchEngines, clock: Clock, settings: AgentSettings) -> None:
        """Raises SettingsError."""
        engine = settings.search_engine
        if engine and engine not in search.names():
            known = ", ".join(search.names())
            raise SettingsError(f"[agent] search_engine: {engine} is no search engine; use one of: {known}")
        self._kb, self._search, self._clock, self._settings = kb, search, clock, settings
        self._fetcher = Fetcher(settings.tool_timeout)

    def now(self) -> str:
        return describe_time(self._clock.now().astimezone())

    async def knowledge(self, caller: Principal, also: Sequence[KnowledgeBase] = ()) -> Knowledge:
        """What the caller sees, and `also` what belongs to the conversation."""
        return await open_knowledge(self._kb, caller, also)

    def tools(self, knowledge: Knowledge) -> list[Tool[Any]]:
        settings = self._settings
        found: list[Tool[Any]] = [calculator(), current_time(self._clock)]
        if knowledge.kbs:
            found.append(knowledge.tool())
        if settings.search_engine:
            found.append(web_search(self._search, settings.search_engine))
        if settings.weather_url:
            found.append(weather(self._fetcher, settings))
        return found

    async def close(self) -> None:
        await self._fetcher.close()
