"""An agent: a model that calls tools until it can answer, within a budget."""

import asyncio
from collections.abc import AsyncGenerator
from types import ModuleType

from server.agent.base import Concluded, Report, Task
from server.agent.budget import Budget
from server.agent.calls import Calls
from server.agent.toolbox import Toolbox
from server.core.errors import UpstreamRefused
from server.core.i18n import Text
from server.core.settings import AgentSettings
from server.core.threads import Lanes
from server.llm.base import ChatModel


class Agents:
    """Runs agents."""

    def __init__(self, toolbox: Toolbox, lanes: Lanes, settings: AgentSettings) -> None:
        self.toolbox, self._lanes, self._settings = toolbox, lanes, settings

    async def run(self, task: Task) -> AsyncGenerator[Report, None]:
        """What happens, as it happens; ends with Concluded. Raises UpstreamError. Closing it ends the work."""
        reports: asyncio.Queue[Report | None] = asyncio.Queue()
        work = asyncio.ensure_future(self._work(task, reports))
        try:
            while (report := await reports.get()) is not None:
                yield report
            yield Concluded(await work)
        finally:
            work.cancel()
            await asyncio.wait({work})

    async def _work(self, task: Task, reports: asyncio.Queue[Report | None]) -> str:
        calls = 0

        def report(item: Report) -> None:
            nonlocal calls
            calls += 1
            reports.put_nowait(item)

        try:
            loop = await self._lanes.run("io", _load)
            budget = Budget(self._settings, task.room)
            return str(await loop.converse(task, budget, Calls(budget, report), report))
        except UpstreamRefused as error:
            if calls:
                raise
            raise _maybe_no_tools(task.model, error) from error
        finally:
            reports.put_nowait(None)


def _load() -> "ModuleType":
    """LangChain's agents take a second to import."""
    from server.agent import loop

    return loop


def _maybe_no_tools(model: ChatModel, error: UpstreamRefused) -> UpstreamRefused:
    """A provider that refuses the first call with tools may know none."""
    zh = f"{error.text.zh}；如果它不支持工具调用，请设置 [llm.{model.name}] tools = false"
    return UpstreamRefused(
        Text(zh, f"{error.text.en}; if it cannot call tools, set [llm.{model.name}] tools = false")
    )
