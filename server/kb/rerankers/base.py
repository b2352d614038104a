"""What a reranker is, for whoever asks one and whoever adds one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from server.core.settings import RerankModelSettings, RerankSettings
from server.core.threads import Lanes


class RerankFailed(Exception):
    """There is no order. `reason` is a word for traces and logs; what a provider said is not repeated."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Tools:
    """What one is made from: its section of the settings, the common one, and where blocking work goes.

    `engine_socket`: where the engine process listens that runs torch models; None runs them in this process.
    """

    name: str
    model: RerankModelSettings
    settings: RerankSettings
    models_dir: Path
    threads: int
    lanes: Lanes
    engine_socket: Path | None


class Reranker(ABC):
    """Nothing is loaded or connected before the first question."""

    # Passages leave this machine.
    is_remote: ClassVar[bool] = False

    @abstractmethod
    async def score(self, question: str, passages: Sequence[str], seconds: float) -> list[float]:
        """A finite number for each passage, larger is better. Raises RerankFailed.

        `seconds`: nobody waits any longer; then it may be cancelled.
        """

    async def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Let go of connections."""
