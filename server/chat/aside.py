"""Answers that nobody asked for in a conversation: made as readers get them, and kept nowhere. Evaluations are made of them."""

from contextlib import aclosing

from server.auth.principal import Principal
from server.chat.service import ChatService
from server.chat.steps import Steps
from server.chat.telling import Telling, first_stage
from server.chat.turn import Ask, Turn
from server.core.clock import Clock
from server.kb.models import KnowledgeBase


class Asides:
    """Makes them."""

    def __init__(self, chat: ChatService, clock: Clock) -> None:
        self._chat, self._clock = chat, clock
        self._steps = Steps(chat.means)

    async def answer(self, caller: Principal, kb: KnowledgeBase, ask: Ask) -> Turn:
        """The whole answer, in `told`. Preset answers are passed over: they would say nothing of the search or the model.

        Raises ModelNotFound, PromptNotFound, EmbeddingUnavailable, UpstreamError.
        """
        model = self._chat.means.gateway.get(ask.model_name)
        told = Telling("", ask.query, None, 1, first_stage(ask.mode))
        turn = Turn(caller, ask, "", model, kb, [], None, None, [], self._clock.now(), told)
        held = self._chat.limits.hold(caller, model.name, self._steps.of(turn))
        async with aclosing(held) as events:
            async for event in events:
                told.take(event)
        await self._chat.check(turn)
        told.state = "done"
        return turn
