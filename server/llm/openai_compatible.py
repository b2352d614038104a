"""Most vendors: an address, a key and a model's name behind OpenAI's protocol, through the `openai` SDK."""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from server.core.settings import LLMModelSettings
from server.llm import upstream
from server.llm.base import Delta, ModelRequest, TokenUsage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

log = logging.getLogger(__name__)

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
# Runs on one's own machine and asks for no key.
_KEYLESS = {"ollama"}


class OpenAICompatibleModel:
    """A model of one vendor."""

    def __init__(self, name: str, settings: LLMModelSettings) -> None:
        self.name, self.context_tokens, self._settings = name, settings.context_tokens, settings
        self._client: AsyncOpenAI | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        client = self._connect()
        finished = False
        with _translated(self.name):
            stream = await client.chat.completions.create(**self._arguments(request))
            async with stream:
                async for chunk in stream:
                    if chunk.usage is not None:
                        yield Delta(
                            usage=TokenUsage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                        )
                    for choice in chunk.choices[:1]:
                        finished = finished or choice.finish_reason is not None
                        if choice.delta.content:
                            yield Delta(choice.delta.content)
        if not finished:
            # The connection ended politely in the middle, or a web page answered 200.
            raise upstream.cut(self.name)

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        return arguments

    def _connect(self) -> "AsyncOpenAI":
        if self._client is None:
            import openai

            settings = self._settings
            key = settings.api_key.get_secret_value() if settings.api_key else ""
            if not key and settings.preset not in _KEYLESS:
                raise upstream.key_missing(self.name)
            idle = settings.idle_timeout.total_seconds()
            self._client = openai.AsyncOpenAI(
                base_url=settings.base_url or PRESETS[settings.preset],
                api_key=key or "none",
                # Between two pieces of an answer, not for the whole of it.
                timeout=openai.Timeout(idle, connect=settings.connect_timeout.total_seconds()),
                # The SDK waits as long as Retry-After says, and retries before the first piece only.
                max_retries=settings.retries,
            )
        return self._client


@contextmanager
def _translated(model: str) -> Iterator[None]:
    """The SDK's errors, and those of the HTTP library below it, in our words."""
    import httpx2
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        log.warning("provider refused", extra={"model": model, "status": error.status_code})
        after = error.response.headers.get("retry-after", "")
        raise upstream.by_status(
            model, error.status_code, int(after) if after.isdecimal() else None
        ) from error
    except (openai.APITimeoutError, httpx2.TimeoutException) as error:
        log.warning("provider timed out", extra={"model": model})
        raise upstream.timed_out(model) from error
    except openai.APIConnectionError as error:
        log.warning("provider unreachable", extra={"model": model})
        raise upstream.unreachable(model) from error
    except httpx2.HTTPError as error:
        log.warning("provider's stream was cut", extra={"model": model, "reason": type(error).__name__})
        raise upstream.cut(model) from error
    except openai.APIError as error:
        # An error object inside the stream.
        log.warning("provider failed", extra={"model": model, "reason": error.code or type(error).__name__})
        raise upstream.broken(model, str(error.code or error.type or "stream error")) from error
    except ValueError as error:
        log.warning("provider sent nonsense", extra={"model": model})
        raise upstream.cut(model) from error
