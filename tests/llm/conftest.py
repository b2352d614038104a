"""A stand-in for a vendor, and the adapters that speak to it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from server.core.settings import LLMModelSettings
from server.llm.base import ChatModel
from server.llm.providers import PROVIDERS
from tests.support.provider import KEY, Provider, provider_server

# kind, preset, Zhipu's path, prefix of the model's name
ADAPTERS = {
    "openai": ("openai", "", False, ""),
    "openai-zhipu": ("openai", "zhipu", True, ""),
    "zhipuai": ("zhipuai", "", True, ""),
    "langchain": ("langchain", "", False, "openai:"),
}
_NEED_FULL = {"zhipuai", "langchain"}
_SILENT = ("stall", "slow-start", "comments", "empties")


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


@dataclass
class Adapter:
    """Makes models of one kind."""

    name: str
    provider: Provider
    made: list[ChatModel] = field(default_factory=list)

    def settings(self, model: str, **fields: Any) -> LLMModelSettings:
        kind, preset, zhipu, prefix = ADAPTERS[self.name]
        patience = {"thinks": 0.7}.get(model, 1 if model in _SILENT else 60)
        given = {
            "kind": kind,
            "preset": preset,
            "base_url": self.provider.zhipu if zhipu else self.provider.openai,
            "model": prefix + model,
            "api_key": SecretStr(KEY),
            "connect_timeout": timedelta(seconds=30),
            "idle_timeout": timedelta(seconds=patience),
            "retries": 0,
        }
        return LLMModelSettings(**(given | fields))

    def model(self, model: str, **fields: Any) -> ChatModel:
        settings = self.settings(model, **fields)
        self.made.append(PROVIDERS[settings.kind]("my-model", settings))
        return self.made[-1]


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.full] * (name in _NEED_FULL)) for name in ADAPTERS]
)
async def adapter(request: pytest.FixtureRequest, provider: Provider) -> AsyncIterator[Adapter]:
    made = Adapter(request.param, provider)
    yield made
    for model in made.made:
        await model.close()
