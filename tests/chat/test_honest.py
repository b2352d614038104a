"""Honest answers over HTTP: three states, citations that were checked, and where to look when there is nothing."""

import json
import secrets
from typing import Any

import pytest

from tests.support import provider_streams
from tests.support.api import Caller
from tests.support.provider import Provider
from tests.support.provider_streams import Call, end, said

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database

LEAVE = "年假：工作满1年不满10年的员工，每年有5天年假。"
REFUSAL = "知识库里没有找到能回答这个问题的内容。"


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb()
    assert (await editor.ingest("kb", {"手册.txt": LEAVE.encode()}))["手册.txt"]["state"] == "ready"


def _speak(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def speak(call: Call) -> list[bytes]:
        return [*said(text), *end(call)]

    monkeypatch.setitem(provider_streams.FRAMES, "echo", speak)


async def _answer(caller: Caller, **fields: Any) -> dict[str, Any]:
    """Ask a knowledge base and wait; what there is in the end, and what the stream's end told."""
    body = {"message_id": secrets.token_hex(16), "session_id": "5" * 32, "query": "每年有几天年假？"}
    body |= {"mode": "knowledge_base_chat", "knowledge_base_name": "kb"} | fields
    assert (await caller.post("/chat/answers", body)).status_code == 202
    events = (await caller.get(f"/chat/answers/{body['message_id']}/events")).text
    told = json.loads(events.split("event: finished\ndata: ")[1].split("\n")[0])
    kept = (await caller.get(f"/chat/answers/{body['message_id']}")).json()["data"]
    assert {name: told[name] for name in ("outcome", "checks", "nearest")} == {
        name: kept[name] for name in ("outcome", "checks", "nearest")
    }
    rows = (await caller.post("/history/latest", {"session_id": "5" * 32, "num": 1})).json()["data"]
    assert (rows[-1]["outcome"], rows[-1]["checks"], rows[-1]["nearest"]) == (
        kept["outcome"], kept["checks"], kept["nearest"],
    )  # fmt: skip
    return kept


@pytest.mark.parametrize(
    ("text", "outcome", "verified", "reason"),
    [
        ("工作满1年不满10年的员工每年有5天年假[1]。", "answered", True, None),
        ("工作满1年不满10年的员工每年有6天年假[1]。", "partly", False, "number"),
        ("食堂周三供应红烧牛肉面和时令水果拼盘[1]。", "partly", False, "overlap"),
    ],
)
async def test_a_citation_is_shown_as_verified_or_not(
    reader: Caller, library: None, monkeypatch: pytest.MonkeyPatch, text: str, outcome: str, verified: bool,
    reason: str | None,
) -> None:  # fmt: skip
    _speak(monkeypatch, text)
    kept = await _answer(reader)
    check = {"start": 0, "end": len(text), "numbers": [1], "verified": verified, "reason": reason}
    assert (kept["outcome"], kept["checks"]) == (outcome, [check])


async def test_a_model_that_finds_no_answer_says_so(
    reader: Caller, library: None, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    _speak(monkeypatch, REFUSAL)
    kept = await _answer(reader)
    assert (kept["outcome"], kept["checks"], kept["nearest"]) == ("not_found", [], [])
    assert [source["text"] for source in kept["sources"]] == [LEAVE]
    assert REFUSAL in provider.calls[-1].messages[-1][1], "the model is told these words"


async def test_where_to_look_when_nothing_is_near_enough(reader: Caller, library: None) -> None:
    kept = await _answer(reader, score_threshold=0, model_name="quote")
    assert (kept["outcome"], kept["sources"], kept["response"]) == ("not_found", [], REFUSAL)
    assert kept["nearest"] == [{"file_name": "手册.txt", "place": "手册.txt"}]


async def test_a_model_answers_from_what_it_knows(reader: Caller, library: None, provider: Provider) -> None:
    kept = await _answer(reader, score_threshold=0)
    assert (kept["outcome"], len(provider.calls)) == ("not_found", 1)


class TestOnlyFromSources:
    @pytest.fixture
    def environ(self) -> dict[str, str]:
        return {
            "CHAT__ONLY_FROM_SOURCES": "yes",
            "CHAT__REFUSAL": "没有，请打 8000。",
            "CHAT__REFUSAL_EN": "Ask 8000.",
        }

    async def test_without_sources_no_model_is_asked(
        self, reader: Caller, library: None, provider: Provider
    ) -> None:
        kept = await _answer(reader, score_threshold=0)
        assert (kept["outcome"], kept["response"], provider.calls) == ("not_found", "没有，请打 8000。", [])
        kept = await _answer(reader, score_threshold=0, query="How many days?")
        assert kept["response"] == "Ask 8000."
        assert (await reader.ask("kb", "年假？", score_threshold=0))[0] == "没有，请打 8000。"


async def _finished(caller: Caller, **fields: Any) -> dict[str, Any]:
    body = {"query": "每年有几天年假？", "knowledge_base_name": "kb", "stream": True} | fields
    answer = await caller.http.post(
        "/chat/knowledge_base_chat", json=body, headers={"Accept": "text/event-stream"}
    )
    told: dict[str, Any] = json.loads(
        answer.text.split("event: finished")[1].split("data: ")[1].split("\n")[0]
    )
    return told


async def test_programs_are_told_too(reader: Caller, library: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _speak(monkeypatch, "每年有6天年假[1]。")
    told = await _finished(reader)
    assert (told["outcome"], told["checks"][0]["reason"]) == ("partly", "number")
    told = await _finished(reader, score_threshold=0)
    assert (told["outcome"], told["checks"]) == ("not_found", [])
