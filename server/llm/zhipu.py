"""Zhipu's GLM through Zhipu's own SDK (`zhipuai`, full installation). Its client is synchronous: it runs in a thread.

GLM is reachable by `preset = zhipu` of the OpenAI protocol too, which needs no extra package.
"""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import anyio.to_thread

from server.core.errors import UpstreamError
from server.core.i18n import Text
from server.core.settings import LLMModelSettings
from server.llm import upstream
from server.llm.base import Delta, ModelRequest, TokenUsage

log = logging.getLogger(__name__)


class ZhipuModel:
    """A GLM model."""

    def __init__(self, name: str, settings: LLMModelSettings) -> None:
        self.name, self.context_tokens, self._settings = name, settings.context_tokens, settings
        self._client: Any = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        client = self._connect()
        finished = False
        with _translated(self.name):
            stream = await anyio.to_thread.run_sync(
                lambda: client.chat.completions.create(**self._arguments(request))
            )
            try:
                while (chunk := await anyio.to_thread.run_sync(next, iter(stream), None)) is not None:
                    if chunk.usage is not None:
                        yield Delta(
                            usage=TokenUsage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                        )
                    for choice in chunk.choices[:1]:
                        finished = finished or choice.finish_reason is not None
                        if choice.delta.content:
                            yield Delta(choice.delta.content)
            finally:
                stream.response.close()
        if not finished:
            raise upstream.cut(self.name)

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            # Zhipu wants a temperature strictly between 0 and 1.
            "temperature": min(max(request.temperature, 0.01), 0.99),
            "stream": True,
        }
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        return arguments

    def _connect(self) -> Any:
        if self._client is None:
            try:
                import zhipuai
            except ImportError:
                raise UpstreamError(
                    Text(
                        f"模型 {self.name} 需要 zhipuai 包：停止服务后运行 make run FULL=1，或改用 kind = openai、preset = zhipu",
                        f"model {self.name} needs the package zhipuai: run make run FULL=1, or use kind = openai, preset = zhipu",
                    ),
                    code="needs_full",
                ) from None
            settings = self._settings
            if settings.api_key is None:
                raise upstream.key_missing(self.name)
            import httpx

            self._client = zhipuai.ZhipuAI(
                api_key=settings.api_key.get_secret_value(),
                base_url=settings.base_url or None,
                timeout=httpx.Timeout(
                    settings.idle_timeout.total_seconds(), connect=settings.connect_timeout.total_seconds()
                ),
                max_retries=settings.retries,
            )
        return self._client


@contextmanager
def _translated(model: str) -> Iterator[None]:
    import httpx
    import zhipuai

    try:
        yield
    except zhipuai.APIStatusError as error:
        log.warning("provider refused", extra={"model": model, "status": error.status_code})
        raise upstream.by_status(model, error.status_code) from error
    except (zhipuai.APITimeoutError, httpx.TimeoutException) as error:
        log.warning("provider timed out", extra={"model": model})
        raise upstream.timed_out(model) from error
    except zhipuai.APIConnectionError as error:
        log.warning("provider unreachable", extra={"model": model})
        raise upstream.unreachable(model) from error
    except (httpx.HTTPError, ValueError) as error:
        log.warning("provider's stream was cut", extra={"model": model, "reason": type(error).__name__})
        raise upstream.cut(model) from error
    except zhipuai.ZhipuAIError as error:
        log.warning("provider failed", extra={"model": model, "reason": type(error).__name__})
        raise upstream.broken(model, type(error).__name__) from error
