"""Recommended questions like one that was asked, by the embedding model of their knowledge base."""

import asyncio
import logging
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from embeddings import Embedder
from server.auth.principal import Principal
from server.core.errors import EmbeddingMismatch, EmbeddingUnavailable
from server.core.questions import question_key
from server.core.tasks import BackgroundTasks
from server.db.session import Database
from server.kb import question_repository as repository
from server.kb.embedders import Embedders
from server.kb.models import KnowledgeBase

log = logging.getLogger(__name__)

# Questions of a knowledge base that are looked at, those that were asked most; and vectors that are kept.
_CANDIDATES, _KEPT = 64, 4096
# Embedded at once: between two batches other people's questions get their turn.
_BATCH = 4

Vector = NDArray[np.float32]
# Model, its fingerprint, key of the question.
Key = tuple[str, int, str]


class RelatedQuestions:
    """Finds them. The first time for a knowledge base its questions are embedded; after that they are remembered."""

    def __init__(self, database: Database, embedders: Embedders, tasks: BackgroundTasks) -> None:
        self._database, self._embedders, self._tasks = database, embedders, tasks
        self._vectors: OrderedDict[Key, Vector] = OrderedDict()
        self._filling: asyncio.Task[None] | None = None

    async def find(self, caller: Principal, kb: KnowledgeBase, question: str, count: int) -> list[str]:
        """Up to `count` enabled ones, the most similar first, never the asked one; none while the model is away."""
        asked = question_key(question)
        async with self._database.read() as session:
            known = await repository.list_most_asked(session, caller.client_id, kb.id, _CANDIDATES)
        texts = {key: text for key, text in known if key != asked}
        if not texts:
            return []
        model = (kb.embed_model, hash(tuple(kb.fingerprint["probe"])))
        wanted = {(*model, key): text for key, text in texts.items()}
        try:
            embedder = await self._embedders.of(kb)
            target = await self._embedders.embed_question(embedder, question)
            while any(key not in self._vectors for key in wanted):
                if self._filling is None or self._filling.done():
                    self._filling = self._tasks.start(self._fill(embedder, wanted))
                # It goes on for the next one who asks, should this one not wait for it.
                await asyncio.shield(self._filling)
        except (EmbeddingUnavailable, EmbeddingMismatch):
            log.info("no related questions: the embedding model is away", extra={"kb": kb.id})
            return []
        vectors = np.stack([self._vectors[key] for key in wanted])
        found = list(wanted.values())
        return [found[index] for index in np.argsort(vectors @ target)[::-1][:count]]

    async def _fill(self, embedder: Embedder, wanted: dict[Key, str]) -> None:
        """Have the vectors of all of these. Raises EmbeddingUnavailable."""
        missing = [key for key in wanted if key not in self._vectors]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            new = await self._embedders.embed_passages(embedder, [wanted[key] for key in batch])
            self._vectors.update(zip(batch, new, strict=True))
        for key in wanted:
            self._vectors.move_to_end(key)
        while len(self._vectors) > _KEPT:
            self._vectors.popitem(last=False)
