"""`preset`: what an editor wrote is the answer, at once and word for word."""

from collections.abc import AsyncGenerator

from server.llm.base import Delta, ModelRequest

NAME = "preset"
# Characters of a piece, so that a page shows the answer growing as it would with any model.
_PIECE = 12


class PresetModel:
    """A ChatModel that says one thing."""

    name = NAME
    calls_tools = False
    context_tokens = 1_000_000

    def __init__(self, answer: str) -> None:
        self._answer = answer

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:  # noqa: ARG002
        for start in range(0, len(self._answer), _PIECE):
            yield Delta(self._answer[start : start + _PIECE])

    async def close(self) -> None:
        """Nothing is connected."""
