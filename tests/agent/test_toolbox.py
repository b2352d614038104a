"""What stops the start, and what no agent has."""

import pytest

from server.agent.knowledge import Knowledge
from server.auth.principal import Principal
from server.core.errors import SettingsError
from server.core.settings import Settings
from server.services import Services, open_services


async def test_a_search_engine_that_there_is_not_stops_the_start(settings: Settings) -> None:
    agent = settings.agent.model_copy(update={"search_engine": "google"})
    with pytest.raises(SettingsError, match=r"\[agent\] search_engine: google .* searxng"):
        async with open_services(settings.model_copy(update={"agent": agent})):
            pass


async def test_no_tool_writes_or_runs_commands(services: Services) -> None:
    """What is off by default, web search and weather, and a shell, which there is not."""
    toolbox = services.chat.means.agents.toolbox
    knowledge = Knowledge(services.kb, Principal("acme", "reader", "", frozenset()), [])
    assert [tool.name for tool in toolbox.tools(knowledge)] == ["calculator", "current_time"]
