"""A cross-encoder in a folder of this machine. It runs in the engine process; in this one for commands that run alone."""

import logging
import time
from collections.abc import Sequence

from embeddings.engine import load_cross_encoder
from embeddings.engine_client import EngineCrossEncoder
from embeddings.reranking import CrossEncoderConfig, CrossEncoderModel, RerankError
from server.kb.rerankers.base import Reranker, RerankFailed, Tools

log = logging.getLogger(__name__)


class CrossEncoderReranker(Reranker):
    def __init__(self, tools: Tools) -> None:
        model = tools.model
        self._config = CrossEncoderConfig(
            tools.name,
            tools.models_dir / model.path,
            max_length=model.max_length,
            batch_size=model.batch_size,
            device=model.device,
            threads=tools.threads,
        )
        self._lanes = tools.lanes
        self._engine = (
            EngineCrossEncoder(self._config, tools.engine_socket) if tools.engine_socket is not None else None
        )
        self._loaded: CrossEncoderModel | None = None

    async def score(self, question: str, passages: Sequence[str], seconds: float) -> list[float]:
        until = time.monotonic() + seconds
        try:
            if self._engine is not None:
                return await self._lanes.run("rerank", self._ask, question, passages, until)
            return await self._lanes.run("model", self._compute, question, passages)
        except RerankError as error:
            log.info("cross-encoder failed", extra={"reranker": self._config.name, "why": str(error)})
            raise RerankFailed("model") from error

    def _ask(self, question: str, passages: Sequence[str], until: float) -> list[float]:
        assert self._engine is not None
        left = until - time.monotonic()
        if left <= 0:  # the lane was full
            raise RerankError("too late")
        return self._engine.score(question, passages, left)

    def _compute(self, question: str, passages: Sequence[str]) -> list[float]:
        if self._loaded is None:
            self._loaded = load_cross_encoder(self._config)
        return self._loaded.score(question, passages)
