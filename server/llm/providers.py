"""The kinds of provider. To add one: a file with a ChatModel, and one line in PROVIDERS."""

from collections.abc import Callable

from server.core.settings import LLMModelSettings
from server.llm.base import ChatModel


def _openai(name: str, settings: LLMModelSettings) -> ChatModel:
    from server.llm.openai_compatible import OpenAICompatibleModel

    return OpenAICompatibleModel(name, settings)


def _zhipuai(name: str, settings: LLMModelSettings) -> ChatModel:
    from server.llm.zhipu import ZhipuModel

    return ZhipuModel(name, settings)


def _langchain(name: str, settings: LLMModelSettings) -> ChatModel:
    from server.llm.langchain_model import LangChainModel

    return LangChainModel(name, settings)


PROVIDERS: dict[str, Callable[[str, LLMModelSettings], ChatModel]] = {
    "openai": _openai,
    "zhipuai": _zhipuai,
    "langchain": _langchain,
}
