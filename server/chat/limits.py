"""What every answer is held to: its time, its length, and that its caller may still be answered."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from server.auth.principal import Principal
from server.chat.events import Event, TextDelta
from server.chat.running import RunningAnswers
from server.core.settings import ChatSettings
from server.llm import upstream


class Limits:
    """The limits of the settings, and who is disabled meanwhile."""

    def __init__(self, running: RunningAnswers, settings: ChatSettings) -> None:
        self._running, self._settings = running, settings

    async def hold(
        self, caller: Principal, model: str, events: AsyncGenerator[Event, None], message_id: str = ""
    ) -> AsyncGenerator[Event, None]:
        """The events up to the limits. Raises UpstreamCut there, after what still fitted, CallerDisabled and Stopped."""
        limit, left = self._settings.max_answer_time, self._settings.max_answer_chars
        deadline = asyncio.get_running_loop().time() + limit.total_seconds()
        with self._running.of(caller, message_id) as run:
            async with aclosing(events):
                while True:
                    try:
                        event = await run.take(events, deadline)
                    except TimeoutError:
                        raise upstream.too_slow(model, limit) from None
                    if event is None:
                        return
                    if isinstance(event, TextDelta):
                        text, left = event.text, left - len(event.text)
                        event = TextDelta(text if left >= 0 else text[:left])
                    yield event
                    if left < 0:
                        raise upstream.too_long(model, self._settings.max_answer_chars)
