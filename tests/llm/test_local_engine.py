"""Questions to a model whose engine comes, goes and moves."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.core.configuration import load_settings
from server.core.errors import AppError, SettingsError
from server.core.settings import LLMModelSettings, LLMSettings
from server.llm.base import ChatMessage, ModelRequest
from server.llm.gateway import Gateway
from tests.support.engine_room import command_engine, engine_room

QUESTION = ModelRequest(messages=[ChatMessage("user", "年假有几天？")], question="年假有几天？")


@asynccontextmanager
async def _gateway(models: dict[str, LLMModelSettings], socket: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(LLMSettings(models=models), socket)
    yield gateway
    await gateway.close()


async def _answer(gateway: Gateway, name: str = "m") -> str:
    return "".join([delta.text async for delta in gateway.get(name).stream(QUESTION)])


async def test_a_question_waits_for_the_engine_and_follows_it(tmp_path: Path) -> None:
    models, socket = {"m": command_engine("slow")}, tmp_path / "private" / "s.sock"
    with engine_room(models, socket) as room:
        async with _gateway(models, socket) as gateway:
            assert await _answer(gateway) == "你问的是：年假有几天？"
            process = room.engines["m"].process
            assert process is not None
            os.kill(process.pid, signal.SIGKILL)
            assert await _answer(gateway) == "你问的是：年假有几天？", "at another port, with another key"


async def test_what_does_not_run_says_so(tmp_path: Path) -> None:
    socket = tmp_path / "private" / "s.sock"
    models = {"bad": command_engine("bad"), "off": command_engine()}
    async with _gateway(models, socket) as gateway:
        with pytest.raises(AppError, match="without --lite") as caught:
            await _answer(gateway, "off")
        assert caught.value.code == "model_unavailable"
        with engine_room(models, socket) as room:
            room.engines["off"].order(wanted=False)
            room.wait("bad", "failed")
            room.wait("off", "off")
            for name, words in (("bad", "the log has the reason"), ("off", "is stopped")):
                with pytest.raises(AppError, match=words) as caught:
                    await _answer(gateway, name)
                assert caught.value.code == "model_unavailable"
                assert "***" not in str(caught.value.text), "the reason is the operator's"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ENGINE": "vllm"}, ["[llm.local] engine"]),
        ({"ENGINE": "command", "COMMAND": "vllm serve"}, ["[llm.local] command", "{port}"]),
        ({"ENGINE": "command", "COMMAND": "x {port} {ports}"}, ["[llm.local] command", "{port} {key}"]),
        ({"MODEL_PATH": "x.gguf", "BASE_URL": "http://x/v1"}, ["[llm.local] base_url"]),
        ({"DEFAULT": "local"}, ["[llm.local] model_path", "is empty"]),
    ],
)
def test_a_wrong_engine_stops_the_start(environ: dict[str, str], words: list[str]) -> None:
    given = {f"LLM__LOCAL__{key}": text for key, text in environ.items() if key != "DEFAULT"}
    given |= {f"LLM__{key}": text for key, text in environ.items() if key == "DEFAULT"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=given)
    assert all(word in str(caught.value) for word in words), str(caught.value)
