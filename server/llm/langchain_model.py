"""Any chat model that LangChain has an integration for: `kind = langchain`, `model = PROVIDER:NAME`.

For vendors with a protocol of their own (Anthropic, Bedrock, Vertex …); the integration's package must be installed.
An answer counts as whole when the integration tells why it ended (finish_reason or the like).
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from server.core.errors import ModelUnavailable, UpstreamError
from server.core.i18n import Text
from server.llm import upstream
from server.llm.base import ModelRequest, TokenUsage
from server.llm.provider import Piece, ProviderModel, is_proper_end, messages_of, tools_of
from server.llm.tool_calls import CallPart

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk


class LangChainModel(ProviderModel["BaseChatModel"]):
    """Wraps what `langchain.chat_models.init_chat_model` finds for the provider."""

    def _connect(self) -> "BaseChatModel":
        settings = self._settings
        options: dict[str, Any] = {
            "max_retries": 0,  # see ProviderModel
            "timeout": settings.idle_timeout.total_seconds(),
        }
        if settings.base_url:
            options["base_url"] = settings.base_url
        # Other providers have ways of their own to find who calls, and say at the first call what they miss.
        is_openai = settings.model.lower().startswith("openai:")
        if settings.api_key or is_openai:
            options["api_key"] = self._key()
        if is_openai:
            options |= self._openai_options()
        from langchain.chat_models import init_chat_model

        try:
            return cast("BaseChatModel", init_chat_model(settings.model, **options))
        except Exception as error:
            # A ValidationError, also a ValueError, quotes its input, and the key is part of it.
            reason = str(error) if type(error) in (ImportError, ValueError) else type(error).__name__
            raise ModelUnavailable(
                Text(
                    f"[llm.{self.name}] model = {settings.model} 无法加载：{reason}",
                    f"[llm.{self.name}] model = {settings.model} cannot be loaded: {reason}",
                )
            ) from error

    def _openai_options(self) -> dict[str, Any]:
        import openai

        from server.llm import transport

        idle, connect = self._settings.idle_timeout, self._settings.connect_timeout
        timeout = openai.Timeout(idle.total_seconds(), connect=connect.total_seconds())
        return {
            "timeout": timeout,
            "http_async_client": transport.new_client(self.name, timeout),
            # LangChain's own limit of two minutes would cut in before a longer idle_timeout.
            "stream_chunk_timeout": None,
            # Off by default once base_url is set.
            "stream_usage": True,
        }

    async def _disconnect(self, client: "BaseChatModel") -> None:
        # Ours, for OpenAI's protocol; other integrations keep their own.
        if (http := getattr(client, "http_async_client", None)) is not None:
            await http.aclose()

    async def _pieces(self, client: "BaseChatModel", request: ModelRequest) -> AsyncGenerator[Piece, None]:
        options: dict[str, Any] = {"temperature": request.temperature}
        if request.max_tokens is not None:
            options["max_tokens"] = request.max_tokens
        if request.stop:
            options["stop"] = list(request.stop)
        if request.tools:
            # What it returns is the model with the tools given at each call.
            client = cast("BaseChatModel", client.bind_tools(tools_of(request)))
        chunks = cast("AsyncGenerator[AIMessageChunk, None]", client.astream(messages_of(request), **options))
        prompt = completion = 0
        begun = False
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    begun, usage = True, None
                    if chunk.usage_metadata:
                        # LangChain means these to be added up.
                        prompt += chunk.usage_metadata["input_tokens"]
                        completion += chunk.usage_metadata["output_tokens"]
                        usage = TokenUsage(prompt, completion)
                    # finish_reason, stop_reason, done_reason …
                    ended = any(
                        key.lower().endswith("reason") and is_proper_end(value)
                        for key, value in chunk.response_metadata.items()
                    )
                    # Content without text is what the model thinks.
                    calls = [
                        CallPart(part["index"] or 0, part["id"] or "", part["name"] or "", part["args"] or "")
                        for part in chunk.tool_call_chunks
                    ]
                    yield Piece(str(chunk.text), bool(chunk.content), ended, usage, calls)
        except UpstreamError:
            raise
        except Exception as error:
            # LangChain has a base class for some errors of some integrations; the rest is what their libraries raise.
            raise _translate(self.name, error, begun=begun) from error


def _translate(model: str, error: Exception, *, begun: bool) -> UpstreamError:
    from langchain_core.exceptions import ModelConnectionError, ModelTimeoutError

    response = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
    if isinstance(status, int):
        return upstream.by_status(model, status, getattr(response, "headers", {}))
    if isinstance(error, ModelTimeoutError | TimeoutError):
        return upstream.timed_out(model)
    if isinstance(error, ModelConnectionError | ConnectionError):
        return upstream.cut(model) if begun else upstream.unreachable(model)
    if isinstance(error, ValueError | RecursionError):
        # LangChain's word for a stream without any chunk; later, neither JSON nor UTF-8.
        return upstream.cut(model) if begun else upstream.no_answer(model)
    return upstream.broken(model)
