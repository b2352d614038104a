"""The conversation between a model and its tools, which is LangChain's `create_agent`. Imported at the first question.

LangChain sees our models and tools through the two adapters below, so that time-outs, retries and words of failures are
those of every other answer. What a model writes as arguments is checked here, and nowhere else.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import ToolCall as LangChainCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool
from langsmith import tracing_context
from pydantic import PrivateAttr

from server.agent.base import Counted, Report, Said, Task, Tool
from server.agent.budget import Budget
from server.agent.calls import Calls
from server.llm.base import ChatMessage, ModelRequest, Role, ToolCall, ToolSpec

Reporter = Callable[[Report], None]
# The one argument of every tool as LangChain sees it: the text that the model wrote.
_TEXT = "text"
_SCHEMA = {"type": "object", "properties": {_TEXT: {"type": "string"}}, "required": [_TEXT]}


async def converse(task: Task, budget: Budget, calls: Calls, report: Reporter) -> str:
    """Let the model call tools until it answers; returns the answer. Raises UpstreamError."""
    agent = create_agent(_Model(task, budget, report), [_adapt(tool, calls) for tool in task.tools])
    # Two steps for each round, and each round costs a call at least.
    config: Any = {"recursion_limit": 2 * budget.calls + 10}
    state: Any = {"messages": [_to_langchain(message) for message in task.messages]}
    # Nobody's questions go to LangSmith, whatever the environment says.
    with tracing_context(enabled=False):
        ended = await agent.ainvoke(state, config)
    return str(ended["messages"][-1].text)


def _adapt(tool: Tool[Any], calls: Calls) -> BaseTool:
    async def call(text: str) -> str:
        return await calls.run(tool, text)

    return StructuredTool(name=tool.name, description=tool.description, args_schema=_SCHEMA, coroutine=call)


class _Model(BaseChatModel):
    """One of our models, for one answer. It is offered tools while there is a budget for them."""

    _task: Task = PrivateAttr()
    _budget: Budget = PrivateAttr()
    _report: Reporter = PrivateAttr()
    _spoke: bool = PrivateAttr(default=False)

    def __init__(self, task: Task, budget: Budget, report: Reporter) -> None:
        super().__init__()
        self._task, self._budget, self._report = task, budget, report
        self._specs = [ToolSpec(tool.name, tool.description, _schema_of(tool)) for tool in task.tools]

    _specs: list[ToolSpec] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "chat2llm"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:  # noqa: ARG002 (the task has them)
        return cast("Runnable[Any, AIMessage]", self)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **_: Any,
    ) -> ChatResult:
        request = ModelRequest(
            messages=[_from_langchain(message) for message in messages],
            question=self._task.question,
            temperature=self._task.temperature,
            max_tokens=self._task.max_tokens,
            tools=() if self._budget.is_spent else self._specs,
        )
        text: list[str] = []
        wanted: Sequence[ToolCall] = ()
        async with aclosing(self._task.model.stream(request)) as deltas:
            async for delta in deltas:
                if delta.text:
                    # What an earlier round said and this one are two paragraphs.
                    gap = "\n\n" if self._spoke and not text else ""
                    text.append(delta.text)
                    self._report(Said(gap + delta.text))
                if delta.usage is not None:
                    self._report(Counted(delta.usage.prompt, delta.usage.completion))
                wanted = delta.tool_calls or wanted
        self._spoke = self._spoke or bool(text)
        known = {tool.name for tool in self._task.tools}
        for call in wanted:
            if call.name not in known:  # LangChain tells the model; it costs like a call all the same
                self._budget.take_call()
        message = AIMessage(
            "".join(text),
            tool_calls=[
                LangChainCall(name=call.name, args={_TEXT: call.arguments}, id=call.id) for call in wanted
            ],
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def _schema_of(tool: Tool[Any]) -> dict[str, Any]:
    schema = tool.arguments.model_json_schema()
    # A class's name and its docstring tell a model nothing that the tool's own description does not.
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def _to_langchain(message: ChatMessage) -> BaseMessage:
    kinds: dict[Role, type[BaseMessage]] = {
        "system": SystemMessage,
        "user": HumanMessage,
        "assistant": AIMessage,
    }
    return kinds[message.role](content=message.content)


def _from_langchain(message: BaseMessage) -> ChatMessage:
    text = str(message.text)
    if isinstance(message, ToolMessage):
        return ChatMessage("tool", text, tool_call_id=message.tool_call_id)
    if isinstance(message, AIMessage):
        wanted = [
            ToolCall(call["id"] or "", call["name"], Calls.shown(call["args"][_TEXT]))
            for call in message.tool_calls
        ]
        return ChatMessage("assistant", text, wanted)
    return ChatMessage("system" if isinstance(message, SystemMessage) else "user", text)
