"""Which models there are, and what a wrong configuration is told."""

import subprocess
import sys
from typing import Any

import pytest

from server.core.configuration import load_settings
from server.core.errors import ModelNotFound, SettingsError
from server.core.settings import LLMModelSettings, LLMSettings
from server.llm.base import ChatMessage, Delta, ModelRequest
from server.llm.gateway import Gateway
from server.llm.openai_compatible import PRESETS
from server.llm.providers import PROVIDERS
from tests.llm.conftest import Adapter
from tests.support.provider import KEY, Provider

GOOD = {"base_url": "https://models.example.com/v1", "model": "m"}


def _gateway(default: str = "quote", **models: dict[str, Any]) -> Gateway:
    named = {name.replace("_", "-"): LLMModelSettings(**fields) for name, fields in models.items()}
    return Gateway(LLMSettings(default=default, models=named))


def test_the_default_answers_when_no_model_is_named() -> None:
    assert _gateway().get(None).name == "quote"
    gateway = _gateway("my-model", my_model=GOOD)
    assert gateway.get(None).name == gateway.get("").name == gateway.get("my-model").name == "my-model"
    assert gateway.get("quote").name == "quote"


def test_an_unknown_model_lists_those_there_are() -> None:
    with pytest.raises(ModelNotFound) as caught:
        _gateway(one=GOOD, two=GOOD).get("three")
    assert (caught.value.code, caught.value.status) == ("model_not_found", 404)
    for text in (caught.value.text.zh, caught.value.text.en):
        assert "three" in text
        assert "quote, one, two" in text


def test_the_room_of_a_model_is_what_the_settings_say() -> None:
    assert _gateway(m=GOOD | {"context_tokens": 12345}).get("m").context_tokens == 12345


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_needs_no_address(preset: str) -> None:
    assert _gateway(m={"preset": preset, "model": "m"}).get("m").name == "m"
    assert PRESETS[preset].startswith("https://" if preset != "ollama" else "http://127.0.0.1")


def test_every_preset_of_the_configuration_file_is_known() -> None:
    settings = load_settings(environ={}).llm
    remote = {name: model for name, model in settings.models.items() if not model.engine}
    assert {model.preset for model in remote.values()} <= set(PRESETS)
    assert set(Gateway(settings).names()) == {"quote", *remote}, "no engine is offered before it has weights"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "m"}, ["preset", "base_url", "deepseek"]),
        ({"model": "m", "preset": "nobody"}, ["preset", "base_url", "deepseek"]),
        (GOOD | {"model": ""}, ["model"]),
        ({"preset": "zhipu"}, ["model"]),
        ({"kind": "zhipuai"}, ["model"]),
        ({"kind": "langchain"}, ["model"]),
        ({"kind": "langchain", "model": "claude"}, ["model", "PROVIDER:NAME"]),
        (GOOD | {"base_url": "models.example.com/v1"}, ["base_url", "https://"]),
        (GOOD | {"base_url": "ftp://models.example.com"}, ["base_url", "https://"]),
        (GOOD | {"base_url": "http://[::1"}, ["base_url", "https://"]),
        (GOOD | {"base_url": "http://host:99999"}, ["base_url", "https://"]),
        (GOOD | {"base_url": "https://"}, ["base_url", "https://"]),
    ],
)
def test_a_wrong_configuration_stops_the_start(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        _gateway(my_model=fields)
    assert str(caught.value).startswith("[llm.my-model] ")
    assert all(word in str(caught.value) for word in words)


def test_nothing_heavy_is_imported_before_the_first_question() -> None:
    code = f"""
import sys
from server.core.settings import LLMModelSettings, LLMSettings
from server.llm.gateway import Gateway
kinds = {list(PROVIDERS)!r}
models = {{k: LLMModelSettings(kind=k, base_url="http://127.0.0.1:9/v1", model="openai:m") for k in kinds}}
assert len(Gateway(LLMSettings(models=models)).names()) == len(kinds) + 1
print(*sorted({{name.split(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "server" in loaded
    heavy = {
        "openai",
        "zhipuai",
        "langchain",
        "langchain_core",
        "langchain_openai",
        "torch",
        "httpx",
        "httpx2",
    }
    assert not loaded & heavy


async def _ask(model_settings: LLMModelSettings) -> list[Delta]:
    gateway = Gateway(LLMSettings(models={"m": model_settings}))
    request = ModelRequest(messages=[ChatMessage("user", "问题")], question="问题")
    try:
        return [delta async for delta in gateway.get("m").stream(request)]
    finally:
        await gateway.close()


async def test_a_model_of_ones_own_machine_needs_no_key(provider: Provider) -> None:
    adapter = Adapter("openai", provider)
    await _ask(adapter.settings("echo", preset="ollama"))
    assert provider.calls[0].headers["authorization"] == f"Bearer {KEY}"
    with pytest.raises(Exception, match="refused the key"):
        await _ask(adapter.settings("echo", preset="ollama", api_key=None))
    assert provider.calls[1].headers["authorization"] == "Bearer none"


@pytest.mark.full
@pytest.mark.parametrize(
    ("model", "words"), [("nobody:m", "Supported providers"), ("anthropic:claude", "langchain-anthropic")]
)
async def test_langchain_says_which_package_is_missing(provider: Provider, model: str, words: str) -> None:
    settings = Adapter("langchain", provider).settings("x").model_copy(update={"model": model})
    with pytest.raises(Exception, match=words) as caught:
        await _ask(settings)
    assert vars(caught.value)["code"] == "model_unavailable"
    assert KEY not in str(caught.value)


@pytest.mark.full
async def test_langchain_does_not_show_the_key_when_it_refuses_it(provider: Provider) -> None:
    settings = Adapter("langchain", provider).settings("x")
    settings = settings.model_copy(update={"model": "openai:", "base_url": 5})
    request = ModelRequest(messages=[ChatMessage("user", "问题")], question="问题")
    with pytest.raises(Exception, match="cannot be loaded") as caught:
        await anext(PROVIDERS["langchain"]("m", settings).stream(request))
    assert "ValidationError" in str(caught.value)
    assert KEY not in f"{caught.value!r}{vars(caught.value)}"
