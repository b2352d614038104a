"""Zhipu's GLM through Zhipu's own SDK (`zhipuai`, full installation). Its client is synchronous: it runs in threads.

GLM is reachable by `preset = zhipu` of the OpenAI protocol too, which needs no extra package.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import anyio.to_thread

from server.core.errors import ModelUnavailable, UpstreamError
from server.core.i18n import Text
from server.core.settings import LLMModelSettings
from server.llm import upstream
from server.llm.base import ModelRequest
from server.llm.provider import HEADERS, Piece, ProviderModel, messages_of, piece_of, tools_of

# Answers at the same time, per model; each holds a thread while it waits.
_CALLS = 64


class ZhipuModel(ProviderModel[Any]):
    """A GLM model."""

    def __init__(self, name: str, settings: LLMModelSettings) -> None:
        super().__init__(name, settings)
        self._lane = anyio.CapacityLimiter(_CALLS)

    def _connect(self) -> Any:
        key = self._key()
        try:
            import zhipuai
        except ImportError:
            raise ModelUnavailable(
                Text(
                    f"模型 {self.name} 需要 zhipuai 包：停止服务后运行 make run FULL=1，或改用 kind = openai、preset = zhipu",
                    f"model {self.name} needs the package zhipuai: run make run FULL=1, or use kind = openai, preset = zhipu",
                )
            ) from None
        import httpx

        settings = self._settings
        return zhipuai.ZhipuAI(
            api_key=key,
            base_url=settings.base_url or None,
            timeout=httpx.Timeout(
                settings.idle_timeout.total_seconds(), connect=settings.connect_timeout.total_seconds()
            ),
            max_retries=0,  # see ProviderModel
            custom_headers=HEADERS,
        )

    async def _pieces(self, client: Any, request: ModelRequest) -> AsyncGenerator[Piece, None]:
        with _translated(self.name, upstream.unreachable):
            stream = await self._open(lambda: client.chat.completions.create(**self._arguments(request)))
        try:
            with _translated(self.name, upstream.cut):
                while (chunk := await self._run(next, stream, None)) is not None:
                    yield piece_of(chunk)
        finally:
            _hang_up(stream.response)

    def _arguments(self, request: ModelRequest) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self._settings.model,
            "messages": messages_of(request),
            # Zhipu wants it strictly between 0 and 1; its SDK sees to that.
            "temperature": request.temperature,
            "stream": True,
        }
        if request.max_tokens is not None:
            arguments["max_tokens"] = request.max_tokens
        if request.tools:
            arguments["tools"] = tools_of(request)
        if request.stop:
            arguments["stop"] = list(request.stop)
        return arguments

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._lane)

    async def _open(self, function: Callable[[], Any]) -> Any:
        """Run what opens a stream; a stream that opens after the reader has gone is closed at once."""
        opening = asyncio.ensure_future(self._run(function))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_hang_up_late)
            raise


def _hang_up_late(opening: "asyncio.Future[Any]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        _hang_up(opening.result().response)


def _hang_up(response: Any) -> None:
    """Close the connection, and wake the thread that may still wait for a piece of it."""
    if not response.is_closed:
        with suppress(OSError):
            response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    response.close()


@contextmanager
def _translated(model: str, disconnected: Callable[[str], UpstreamError]) -> Iterator[None]:
    """The SDK's errors, and those of the HTTP library below it, in our words."""
    import httpx
    import zhipuai

    try:
        yield
    except zhipuai.APIStatusError as error:
        raise upstream.by_status(model, error.status_code, error.response.headers) from error
    except (zhipuai.APITimeoutError, httpx.TimeoutException) as error:
        raise upstream.timed_out(model) from error
    except zhipuai.APIConnectionError as error:
        raise disconnected(model) from error
    except zhipuai.ZhipuAIError as error:
        raise upstream.broken(model) from error
    except (httpx.HTTPError, ValueError, RecursionError) as error:
        # A lost connection, neither JSON nor UTF-8, or JSON nested without end.
        raise upstream.cut(model) from error
