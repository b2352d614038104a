"""Answers that are no part of a conversation: a model's text for a text, checked and bounded like any other, not stored."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from server.auth.principal import Principal
from server.chat.events import Event, Failed, Finished, TextDelta, Usage
from server.chat.limits import Limits
from server.chat.steps import Means
from server.core.errors import AppError
from server.core.i18n import Text
from server.llm.base import ChatModel, ModelRequest

log = logging.getLogger(__name__)
_INTERNAL = Text("服务器内部错误，请稍后再试", "internal error; try again later")


class RawAnswers:
    """Passes requests to models."""

    def __init__(self, means: Means, limits: Limits) -> None:
        self._means, self._limits = means, limits

    def model(self, name: str | None) -> ChatModel:
        """Raises ModelNotFound."""
        return self._means.gateway.get(name)

    async def prompt(self, name: str, text: str) -> str:
        """A text in its template for completion. Raises PromptNotFound, PromptBroken."""
        return await self._means.lanes.run("templates", self._means.prompts.render_completion, name, text)

    async def answer(
        self, caller: Principal, model: ChatModel, request: ModelRequest, echo: str = ""
    ) -> AsyncGenerator[Event, None]:
        """The answer step by step, `echo` before its first words. Ends with Finished or Failed."""
        last: Event = Finished("")
        events = self._limits.hold(caller, model.name, _stream(model, request))
        try:
            async with aclosing(events):
                async for event in events:
                    if echo and isinstance(event, TextDelta):
                        yield TextDelta(echo)
                        echo = ""
                    yield event
        except AppError as error:
            last = Failed(error)
        except Exception:
            # The edge of a stream, see ChatService.answer.
            log.exception("answer failed", extra={"model": model.name})
            last = Failed(AppError(_INTERNAL))
        yield last


async def _stream(model: ChatModel, request: ModelRequest) -> AsyncGenerator[Event, None]:
    async with aclosing(model.stream(request)) as deltas:
        async for delta in deltas:
            if delta.usage is not None:
                yield Usage(delta.usage.prompt, delta.usage.completion)
            if delta.text:
                yield TextDelta(delta.text)
