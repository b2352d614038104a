"""Most vendors: an address, a key and a model's name behind OpenAI's protocol, through the `openai` SDK."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from server.core.errors import UpstreamError
from server.llm import upstream
from server.llm.base import ModelRequest
from server.llm.provider import Piece, ProviderModel, messages_of, piece_of, tools_of

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# Addresses of vendors that speak the protocol; `[llm.NAME] preset`.
PRESETS = {
    "openai": "https://api.openai.com/v1",
    "zhipu": "https://open.bigmodel.cn/api/paas/v4",
    "qwen": "https://dashscope.aliyuncs.com/compatible-mode/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "moonshot": "https://api.moonshot.cn/v1",
    "qianfan": "https://qianfan.baidubce.com/v2",
    "spark": "https://spark-api-open.xf-yun.com/v1",
    "minimax": "https://api.minimaxi.com/v1",
    "baichuan": "https://api.baichuan-ai.com/v1",
    "doubao": "https://ark.cn-beijing.volces.com/api/v3",
    "ollama": "http://127.0.0.1:11434/v1",
}
# Refuse a temperature of exactly 0 or 1.
_OPEN_INTERVAL = {"zhipu", "minimax"}


class OpenAICompatibleModel(ProviderModel["AsyncOpenAI"]):
    """A model of one vendor."""

    def _connect(self) -> "AsyncOpenAI":
        settings = self._settings
        key = self._key()
        import openai

        from server.llm import transport

        # Between two parts of an answer, not for the whole of it.
        timeout = openai.Timeout(
            settings.idle_timeout.total_seconds(), connect=settings.connect_timeout.total_seconds()
        )
        return openai.AsyncOpenAI(
            base_url=settings.base_url or PRESETS[settings.preset],
            api_key=key,
            timeout=timeout,
            # The SDK would wait for two minutes if Retry-After says so; `_tried` does it for all adapters.
            max_retries=0,
            http_client=transport.new_client(self.name, timeout),
        )

    async def _disconnect(self, client: "AsyncOpenAI") -> None:
        await client.close()

    async def _pieces(self, client: "AsyncOpenAI", request: ModelRequest) -> AsyncGenerator[Piece, None]:
        with _translated(self.name, upstream.unreachable):
            stream = await client.chat.completions.create(**self._arguments(request))
        with _translated(self.name, upstream.cut):
            async with stream:
                async for chunk in stream:
                    yield piece_of(chunk)

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        temperature = request.temperature
        if self._settings.preset in _OPEN_INTERVAL:
            temperature = min(max(temperature, 0.01), 0.99)
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "messages": messages_of(request),
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        if request.tools:
            arguments["tools"] = tools_of(request)
        if request.stop:
            arguments["stop"] = list(request.stop)
        for name in ("presence_penalty", "frequency_penalty"):
            if value := getattr(request, name):
                arguments[name] = value
        return arguments


@contextmanager
def _translated(model: str, disconnected: Callable[[str], UpstreamError]) -> Iterator[None]:
    """The SDK's errors in our words. `disconnected`: what a lost connection means at this point."""
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise upstream.by_status(model, error.status_code, error.response.headers) from error
    except openai.APITimeoutError as error:
        raise upstream.timed_out(model) from error
    except openai.APIConnectionError as error:
        raise disconnected(model) from error
    except openai.APIError as error:
        # An error object inside the stream.
        raise upstream.broken(model) from error
    except (ValueError, RecursionError) as error:
        # Neither JSON nor UTF-8, or JSON nested without end.
        raise upstream.cut(model) from error
