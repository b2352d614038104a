"""How an agent's answer is made: what it is told, and what becomes of what it reports."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from server.agent.base import Concluded, Counted, Found, Said, Task, Tool, Used
from server.agent.service import Agents
from server.chat import history
from server.chat.citations import cite_file, cite_page, note_unread
from server.chat.events import Event, FinalAnswer, Source, Sources, TextDelta, ToolUse, Usage
from server.chat.prompts import Prompts
from server.chat.turn import Ask, Turn
from server.core.threads import Lanes
from server.llm.base import ChatMessage
from server.search.base import WebPage

# Tokens that the descriptions of the tools take.
_TOOLS = 800
# Characters of a tool's output that are kept and shown.
_SHOWN = 2000


class AgentSteps:
    """Makes the answers of a model that calls tools."""

    def __init__(self, agents: Agents, prompts: Prompts, lanes: Lanes, address: str) -> None:
        self._agents, self._prompts, self._lanes, self._address = agents, prompts, lanes, address

    async def of(self, turn: Turn, room: int) -> AsyncGenerator[Event, None]:
        """`room`: tokens for everything but the question and the answer."""
        found: list[Found] = []
        uses: list[dict[str, object]] = []
        turn.trace = {"tools": uses}
        async with aclosing(self._agents.run(await self._task(turn, room))) as reports:
            async for report in reports:
                match report:
                    case Said():
                        yield TextDelta(report.text)
                    case Used():
                        found += report.found
                        turn.docs = cite(found, self._address)
                        use = _use(report)
                        uses.append({"name": use.name, "arguments": use.arguments, "failed": use.failed})
                        yield use
                    case Counted():
                        yield Usage(report.prompt, report.completion)
                    case Concluded():
                        if uses and not found and all(use["name"] == "knowledge_search" for use in uses):
                            turn.told.outcome = "not_found"
                        turn.docs += note_unread(turn.unread_names)
                        yield Sources(sources_of(found), turn.docs, turn.unread_names)
                        yield FinalAnswer(report.text)

    async def _task(self, turn: Turn, room: int) -> Task:
        ask, toolbox = turn.ask, self._agents.toolbox
        knowledge = await toolbox.knowledge(turn.caller, turn.kbs)
        tools = toolbox.tools(knowledge)
        system = await self._lanes.run("templates", self._system, ask, knowledge.describe(), tools)
        room -= history.estimate_tokens(system) + _TOOLS
        # The conversation so far may take a third of what the tools will want.
        earlier = history.fit(turn.rounds, room // 3)
        room -= sum(history.estimate_tokens(message.content) for message in earlier)
        return Task(
            model=turn.model,
            messages=[ChatMessage("system", system), *earlier, ChatMessage("user", ask.query)],
            question=ask.query,
            tools=tools,
            # A character is a token at most.
            room=max(room, 0),
            temperature=ask.temperature,
            max_tokens=ask.max_tokens,
        )

    def _system(self, ask: Ask, knowledge_bases: str, tools: Sequence[Tool[Any]]) -> str:
        return self._prompts.render_agent(
            ask.prompt_name,
            now=self._agents.toolbox.now(),
            knowledge_bases=knowledge_bases,
            question=ask.query,
            tools=[(tool.name, tool.description) for tool in tools],
        ).strip()


def cite(found: Sequence[Found], address: str) -> list[str]:
    """The citations of passages from different places, number 1 first."""
    return [
        cite_page(number, passage.source)
        if isinstance(passage.source, WebPage)
        else cite_file(number, passage.source, address)
        for number, passage in enumerate(found, start=1)
    ]


def sources_of(found: Sequence[Found]) -> list[Source]:
    return [passage.source for passage in found]


def _use(report: Used) -> ToolUse:
    shown = report.output if len(report.output) <= _SHOWN else f"{report.output[:_SHOWN]}…"
    return ToolUse(report.name, report.title, report.arguments[:_SHOWN], shown, report.failed)
