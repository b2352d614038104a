"""Any chat model that LangChain has an integration for: `kind = langchain`, `model = PROVIDER:NAME`.

For vendors with a protocol of their own (Anthropic, Bedrock, Vertex …); the integration's package must be installed.
"""

import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from server.core.errors import UpstreamError
from server.core.i18n import Text
from server.core.settings import LLMModelSettings
from server.llm import upstream
from server.llm.base import Delta, ModelRequest, TokenUsage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

log = logging.getLogger(__name__)


class LangChainModel:
    """Wraps what `langchain.chat_models.init_chat_model` finds for the provider."""

    def __init__(self, name: str, settings: LLMModelSettings) -> None:
        self.name, self.context_tokens, self._settings = name, settings.context_tokens, settings
        self._model: BaseChatModel | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        model = self._connect()
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        options: dict[str, Any] = {"temperature": request.temperature}
        if request.max_tokens is not None:
            options["max_tokens"] = request.max_tokens
        try:
            async for chunk in model.astream(messages, **options):
                if chunk.usage_metadata:
                    yield Delta(
                        usage=TokenUsage(
                            chunk.usage_metadata["input_tokens"], chunk.usage_metadata["output_tokens"]
                        )
                    )
                if chunk.text:
                    yield Delta(str(chunk.text))
        except Exception as error:  # every integration has errors of its own
            log.warning("provider failed", extra={"model": self.name, "reason": type(error).__name__})
            status = getattr(error, "status_code", None)
            if isinstance(status, int):
                raise upstream.by_status(self.name, status) from error
            raise upstream.broken(self.name, type(error).__name__) from error

    def _connect(self) -> "BaseChatModel":
        if self._model is None:
            from langchain.chat_models import init_chat_model

            settings = self._settings
            options: dict[str, Any] = {
                "max_retries": settings.retries,
                "timeout": settings.idle_timeout.total_seconds(),
            }
            if settings.base_url:
                options["base_url"] = settings.base_url
            if settings.api_key:
                options["api_key"] = settings.api_key.get_secret_value()
            try:
                self._model = init_chat_model(settings.model, **options)
            except (ImportError, ValueError) as error:
                raise UpstreamError(
                    Text(
                        f"[llm.{self.name}] model = {settings.model} 无法加载：{error}",
                        f"[llm.{self.name}] model = {settings.model} cannot be loaded: {error}",
                    ),
                    code="model_unavailable",
                ) from error
        return self._model
