"""The rerankers of one process: within a deadline, and with a pause after failures, so that a dead one costs nothing."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from server.core.breaker import Breaker
from server.core.settings import EmbeddingSettings, RerankSettings
from server.core.threads import Lanes
from server.kb.rerankers import RERANKERS
from server.kb.rerankers.base import Reranker, RerankFailed, Tools

log = logging.getLogger(__name__)

# Failures in a row that begin a pause, its seconds, and those of the longest.
_FAILURES, _PAUSE, _LONGEST = 3, 30.0, 300.0
# Characters of a question: a longer one would leave no room for a passage.
_QUESTION = 600


class Rerankers:
    """Gives scores by the names of `[rerank.NAME]`."""

    def __init__(
        self,
        settings: RerankSettings,
        embedding: EmbeddingSettings,
        lanes: Lanes,
        engine_socket: Path | None,
    ) -> None:
        self.seconds = settings.timeout.total_seconds()
        self._rerankers: dict[str, Reranker] = {
            name: RERANKERS[model.kind](
                Tools(name, model, settings, embedding.models_dir, embedding.threads, lanes, engine_socket)
            )
            for name, model in settings.models.items()
        }
        self._breakers = {name: Breaker(_FAILURES, _PAUSE, _LONGEST) for name in self._rerankers}
        # Those that nobody waits for any more.
        self._late: set[asyncio.Task[list[float]]] = set()

    def is_remote(self, name: str) -> bool:
        """Do passages leave this machine?"""
        return name in self._rerankers and self._rerankers[name].is_remote

    async def score(self, name: str, question: str, passages: Sequence[str]) -> list[float]:
        """A number for each passage, larger is better. Raises RerankFailed, at the latest after `seconds`."""
        if name not in self._rerankers:
            raise RerankFailed("unknown")
        breaker = self._breakers[name]
        if not breaker.admit():
            raise RerankFailed("paused")
        texts = [text.encode("utf-8", "replace").decode() for text in (question[:_QUESTION], *passages)]
        task = asyncio.ensure_future(self._rerankers[name].score(texts[0], texts[1:], self.seconds))
        try:
            scores = await self._in_time(task)
        except RerankFailed as error:
            breaker.fail()
            log.warning("not reranked", extra={"reranker": name, "reason": error.reason})
            raise
        else:
            breaker.succeed()
            return scores
        finally:
            breaker.leave()
            self._drop(task)

    async def _in_time(self, task: "asyncio.Task[list[float]]") -> list[float]:
        done, _ = await asyncio.wait({task}, timeout=self.seconds)
        if not done:
            raise RerankFailed("late")
        return task.result()

    def _drop(self, task: "asyncio.Task[list[float]]") -> None:
        """A thread cannot be stopped: it ends in its time, and its lane is held until then."""
        if not task.done():
            self._late.add(task)
            task.add_done_callback(self._forget)
            task.cancel()

    def _forget(self, task: "asyncio.Task[list[float]]") -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, or asyncio would complain

    async def close(self) -> None:
        if self._late:
            await asyncio.wait(set(self._late))
        for reranker in self._rerankers.values():
            await reranker.close()
