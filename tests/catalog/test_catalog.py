"""The contract's paths about models: what is told, to whom, and what an operator can do."""

from collections.abc import Iterator

import numpy as np
import pytest

from server.core.settings import Settings
from tests.conftest import Callers, test_settings
from tests.support.api import Caller, objects
from tests.support.engine_room import PROGRAM, Room, engine_room

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database

FIELDS = {"kind", "preset", "model", "context_tokens", "online_api", "default"}
SECRET = "sk-never-told-0123456789"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    def engine(how: str) -> dict[str, str]:
        return {"ENGINE": "command", "COMMAND": f"{PROGRAM} --how {how}", "MODEL": "echo"}

    sections = {"ONE": engine("well"), "TWO": engine("slow"), "TORN": engine("bad")}
    sections["OPENAI_API"] = {"API_KEY": SECRET}
    environ = {f"LLM__{name}__{key}": text for name, keys in sections.items() for key, text in keys.items()}
    return test_settings(settings.server.data_dir, settings.database_url, **environ)


@pytest.fixture
def room(settings: Settings) -> Iterator[Room]:
    with engine_room(settings.llm.engines, settings.server.supervisor_socket) as running:
        for name in ("two", "torn"):
            running.engines[name].order(wanted=False)
        running.wait("one", "ready")
        yield running


@pytest.fixture
async def operator(callers: Callers) -> Caller:
    return await callers.key("acme", "admin")


async def _running(reader: Caller) -> set[str]:
    body = {"controller_address": "http://127.0.0.1:1/", "placeholder": "x"}
    answer = await reader.post("/llm_model/list_running_models", body)
    assert answer.status_code == 200, answer.text
    return set(answer.json()["data"])


async def test_the_models_are_listed_without_secrets(reader: Caller, settings: Settings) -> None:
    answer = await reader.post("/llm_model/list_config_models")
    data = answer.json()["data"]
    assert {"quote", "zhipu-api", "openai-api", "one", "two"} <= set(data)
    assert "local" not in data, "an engine without weights is no model"
    assert all(set(config) == FIELDS for config in data.values())
    assert data["one"] == {
        "kind": "command", "preset": "", "model": "echo", "context_tokens": 8192, "online_api": False,
        "default": False,
    }  # fmt: skip
    assert data["quote"]["default"] is True
    for secret in (SECRET, "http", "engine_program", str(settings.server.data_dir)):
        assert secret not in answer.text
    one = await reader.post("/llm_model/get_model_config", {"model_name": "openai-api", "placeholder": ""})
    assert one.json()["data"] == data["openai-api"]
    unknown = await reader.post("/llm_model/get_model_config", {"model_name": "nobody", "placeholder": ""})
    assert (unknown.status_code, unknown.json()["code"]) == (404, 404)
    assert (await reader.post("/llm_model/get_model_config", {})).status_code == 422


async def test_who_chats_and_who_operates_may_look(callers: Callers) -> None:
    for scope, status in (("chat", 200), ("admin", 200), ("kb:write", 403), ("usage", 403)):
        caller = await callers.key("acme", scope)
        for path in ("list_running_models", "list_config_models", "get_model_config"):
            answer = await caller.post(f"/llm_model/{path}", {"model_name": "quote"})
            assert answer.status_code == status, (scope, path)


async def test_running_are_those_that_can_answer(reader: Caller) -> None:
    assert await _running(reader) == {"quote", "openai-api", "ollama"}, "no supervisor, one key"


async def test_an_operator_stops_starts_and_changes(reader: Caller, operator: Caller, room: Room) -> None:
    assert {"one", "two"} & await _running(reader) == {"one"}
    ask = {"query": "年假", "model_name": "one", "stream": True}
    told = objects((await reader.post("/chat/chat", ask)).text)
    assert "".join(part["text"] for part in told).startswith("你问的是：")
    answer = await operator.post("/llm_model/change", {"model_name": "one", "new_model_name": "two"})
    assert answer.json() == {
        "code": 200,
        "msg": "模型 two 已就绪",
        "data": {"stopped": "one", "started": "two"},
    }
    assert {"one", "two"} & await _running(reader) == {"two"}
    told = objects((await reader.post("/chat/chat", ask)).text)
    assert told[-1]["error"]["code"] == "model_unavailable"
    answer = await operator.post("/llm_model/stop", {"model_name": "two", "controller_address": "http://x"})
    assert answer.json() == {
        "code": 200,
        "msg": "已停止模型 two",
        "data": {"stopped": "two", "started": None},
    }
    assert not {"one", "two"} & await _running(reader)
    answer = await operator.post("/llm_model/change", {"model_name": "two", "new_model_name": "one"})
    assert answer.json()["data"] == {"stopped": None, "started": "one"}


async def test_a_change_that_fails_brings_the_old_one_back(
    reader: Caller, operator: Caller, room: Room
) -> None:
    answer = await operator.post("/llm_model/change", {"model_name": "one", "new_model_name": "torn"})
    assert answer.status_code == 502
    assert "weights are torn" in answer.json()["msg"]
    room.wait("one", "ready")
    assert "one" in await _running(reader)


async def test_what_is_not_local_is_answered_honestly(operator: Caller, room: Room) -> None:
    answer = await operator.post("/llm_model/stop", {"model_name": "zhipu-api"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_local")
    answer = await operator.post("/llm_model/change", {"model_name": "quote", "new_model_name": "zhipu-api"})
    assert answer.json()["data"] == {"stopped": None, "started": None}
    assert "无需启动" in answer.json()["msg"]
    for body in (
        {"model_name": "nobody", "new_model_name": "one"},
        {"model_name": "one", "new_model_name": "nobody"},
    ):
        assert (await operator.post("/llm_model/change", body)).status_code == 404
    assert room.engines["one"].state().state == "ready"


async def test_without_a_supervisor_nothing_is_promised(operator: Caller) -> None:
    answer = await operator.post("/llm_model/stop", {"model_name": "one"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "model_unavailable")


async def test_only_operators_may(callers: Callers, reader: Caller, editor: Caller, room: Room) -> None:
    for path in ("/llm_model/stop", "/llm_model/change"):
        for caller in (reader, editor):
            answer = await caller.post(path, {"model_name": "one", "new_model_name": "two"})
            assert answer.status_code == 403
    assert room.engines["one"].state().state == "ready"


async def test_the_facts_about_the_server(reader: Caller, settings: Settings) -> None:
    facts = (await reader.post("/server/configs")).json()
    assert facts["api_address"] == settings.server.address
    assert (facts["controller_address"], facts["openai_api_address"]) == (None, None)
    assert (facts["llm_model"], facts["embed_model"], facts["chunk_size"]) == ("quote", "e5-small", 250)


@pytest.mark.one_database
async def test_texts_are_embedded(reader: Caller, callers: Callers) -> None:
    texts = ["年假有几天？", "The quick brown fox.", "", "长" * 4000]
    answer = await reader.post("/other/embed_texts", {"texts": texts})
    passages = np.array(answer.json()["data"])
    assert passages.shape == (4, 384)
    assert np.allclose(np.linalg.norm(passages, axis=1), 1, atol=1e-4)
    questions = np.array(
        (await reader.post("/other/embed_texts", {"texts": texts[:2], "to_query": True})).json()["data"]
    )
    assert not np.allclose(passages[:2], questions, atol=1e-3), "questions have a prefix of their own"
    assert (passages[:2] * questions).sum(axis=1).min() > 0.8
    one = await reader.post("/other/embed_texts", {"texts": texts[:1], "embed_model": "e5-small"})
    assert np.allclose(one.json()["data"][0], passages[0], atol=1e-4)
    assert (await reader.post("/other/embed_texts", {"texts": []})).json()["data"] == []
    for scope, status in (("kb:read", 200), ("chat", 200), ("kb:write", 403), ("usage", 403)):
        caller = await callers.key("acme", scope)
        assert (await caller.post("/other/embed_texts", {"texts": ["x"]})).status_code == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"texts": ["x"], "embed_model": "nobody"}, 404),
        ({"texts": "x"}, 422),
        ({}, 422),
        ({"texts": ["x"] * 257}, 422),
        ({"texts": ["x" * 1000] * 201}, 422),
        ({"texts": [True]}, 422),
    ],
    ids=["unknown model", "no list", "nothing", "too many", "too long", "no text"],
)
async def test_what_cannot_be_embedded(reader: Caller, body: dict[str, object], status: int) -> None:
    answer = await reader.post("/other/embed_texts", body)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
