"""Tools through every adapter: calls come in parts and leave whole, and their results go back in the provider's form."""

import json
from typing import Any

import pytest

from server.core.errors import UpstreamError
from server.llm.base import ChatMessage, Delta, ModelRequest, ToolCall, ToolSpec
from server.llm.tool_calls import CallPart, CallParts
from tests.llm.conftest import Adapter
from tests.support.provider import Provider

TOOLS = [
    ToolSpec(
        "calculator", "Arithmetic.", {"type": "object", "properties": {"expression": {"type": "string"}}}
    ),
    ToolSpec("time", "The time.", {"type": "object", "properties": {}}),
]
ROUND: list[list[Any]] = [
    ["calculator", {"expression": "（6 × 7）+ 一些更长的参数"}],
    ["time", {}],
    ["calculator", '{"broken": '],
]
QUESTION = f"<<{json.dumps([ROUND], ensure_ascii=False)}>>"


def _request(*later: ChatMessage, tools: list[ToolSpec] = TOOLS) -> ModelRequest:
    return ModelRequest([ChatMessage("user", QUESTION), *later], QUESTION, tools=tools)


async def _deltas(adapter: Adapter, request: ModelRequest, model: str = "agent") -> list[Delta]:
    return [delta async for delta in adapter.model(model).stream(request)]


async def test_calls_come_whole_and_their_results_go_back(adapter: Adapter, provider: Provider) -> None:
    deltas = await _deltas(adapter, _request())
    assert "".join(delta.text for delta in deltas) == "先查一下。"
    (calls,) = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert [(call.name, call.arguments) for call in calls] == [
        ("calculator", json.dumps(ROUND[0][1], ensure_ascii=False)),
        ("time", "{}"),
        ("calculator", '{"broken": '),
    ]
    assert len({call.id for call in calls}) == 3
    assert [tool["function"]["name"] for tool in provider.calls[0].body["tools"]] == ["calculator", "time"]

    whole = [ToolCall(call.id, call.name, "{}") for call in calls]
    results = [ChatMessage("tool", f"结果{n}", tool_call_id=call.id) for n, call in enumerate(calls)]
    later = [ChatMessage("assistant", "", whole), *results]
    assert (
        "".join(delta.text for delta in await _deltas(adapter, _request(*later)))
        == "查到：结果0 / 结果1 / 结果2"
    )
    spoken = [ChatMessage("assistant", "先查一下。", whole), *results]
    assert "结果2" in "".join(delta.text for delta in await _deltas(adapter, _request(*spoken, tools=[])))
    assert "tools" not in provider.calls[2].body


async def test_a_call_that_is_no_text_goes_back_as_text(adapter: Adapter, provider: Provider) -> None:
    deltas = await _deltas(adapter, _request(), "odd-call")
    ((call,),) = [delta.tool_calls for delta in deltas if delta.tool_calls]
    assert call == ToolCall("c\ufffd", "time\ufffd", '{"a": "😀\ufffd"}')
    later = [ChatMessage("assistant", "", [call]), ChatMessage("tool", "十点", tool_call_id=call.id)]
    assert "".join(delta.text for delta in await _deltas(adapter, _request(*later), "odd-call"))
    assert provider.calls[1].body["messages"][-1]["tool_call_id"] == call.id


async def test_calls_that_nobody_offered_are_no_answer(adapter: Adapter) -> None:
    with pytest.raises(UpstreamError) as caught:
        await _deltas(adapter, _request(tools=[]), "unasked-calls")
    assert caught.value.code == "upstream_empty"


def test_a_call_without_an_id_is_given_one() -> None:
    parts = CallParts("m")
    parts.add([CallPart(1, name="b", arguments="{"), CallPart(0, name="a")])
    parts.add([CallPart(1, name="other", arguments="}")])
    assert parts.whole() == [ToolCall("call_0", "a", ""), ToolCall("call_1", "b", "{}")]


@pytest.mark.parametrize(
    "parts", [[CallPart(n) for n in range(33)], [CallPart(0, arguments="x" * 60_000)] * 2]
)
def test_calls_without_an_end_are_refused(parts: list[CallPart]) -> None:
    with pytest.raises(UpstreamError):
        CallParts("m").add(parts)
