"""The embedding models of one process: loaded at first use, called in the right lane, errors in the server's words."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from embeddings import Embedder, EmbedderConfig, EmbeddingError, Fingerprint, load_embedder
from server.core.errors import EmbeddingMismatch, EmbeddingUnavailable, ModelNotFound
from server.core.i18n import Text
from server.core.old_embeddings import LOCAL, ONLINE, remedy
from server.core.setting_kinds import is_near
from server.core.settings import EmbeddingSettings
from server.core.threads import Lane, Lanes
from server.kb.models import KnowledgeBase

Vectors = NDArray[np.float32]
T = TypeVar("T")


# Characters of a long question: about what a model of 512 tokens reads at once.
_HEAD, _TAIL = 400, 200


class Embedders:
    """Gives embedders by the names of `[embedding.NAME]`."""

    def __init__(self, settings: EmbeddingSettings, lanes: Lanes, engine_socket: Path | None) -> None:
        """`engine_socket`: where the engine process listens that runs torch models; None runs them in this process."""
        self._settings, self._lanes, self._engine_socket = settings, lanes, engine_socket
        self._loaded: dict[str, Embedder] = {}
        self._loading = asyncio.Lock()
        self._verified: set[tuple[str, str, int]] = set()

    async def get(self, name: str) -> Embedder:
        """Load the model at first use. Raises ModelNotFound, EmbeddingUnavailable."""
        if name not in self._settings.models:
            error = ModelNotFound(name, sorted(self._settings.models))
            if name in LOCAL or name in ONLINE:
                en = remedy(self._settings.models_dir, name)
                zh = (
                    f"未找到模型 {name}：请把 {LOCAL[name]} 的全部文件放进 {self._settings.models_dir / name} 后重启"
                    if name in LOCAL
                    else f"未找到模型 {name}：请在配置文件里加一节 [embedding.{name}]（kind = openai）"
                )
                error.text = Text(zh, f"model not found: {name}: {en}, and start again")
            raise error
        if name not in self._loaded:
            async with self._loading:
                if name not in self._loaded:
                    self._loaded[name] = await self._call(
                        "model", load_embedder_by_name, self._settings, name, self._engine_socket
                    )
        return self._loaded[name]

    async def of(self, kb: KnowledgeBase) -> Embedder:
        """The model a knowledge base is bound to. Raises EmbeddingMismatch when its weights are not the same any more."""
        embedder = await self.get(kb.embed_model)
        bound = (kb.id, kb.embed_model, hash(tuple(kb.fingerprint["probe"])))
        if bound not in self._verified:
            now = await self.fingerprint(embedder)
            if not now.matches(Fingerprint.from_json(kb.fingerprint)):
                raise EmbeddingMismatch(
                    Text(
                        f"知识库 {kb.name} 是用另一个向量模型建立的（{kb.embed_model} 已更换），请恢复原模型或重建该知识库",
                        f"knowledge base {kb.name} was built with another embedding model ({kb.embed_model} was replaced); "
                        "bring the old model back or build the knowledge base again",
                    )
                )
            self._verified.add(bound)
        return embedder

    async def fingerprint(self, embedder: Embedder) -> Fingerprint:
        return await self._call(_lane(embedder), embedder.fingerprint)

    async def embed_question(self, embedder: Embedder, text: str) -> Vectors:
        """(dimension,) unit vector; of a long text its beginning and end. Raises EmbeddingUnavailable."""
        return await self._call(_lane(embedder), embedder.embed_question, _gist(text))

    async def embed_passages(self, embedder: Embedder, texts: Sequence[str]) -> Vectors:
        """(n, dimension) unit vectors. Raises EmbeddingUnavailable."""
        return await self._call(_lane(embedder), embedder.embed_passages, texts)

    async def _call(self, lane: Lane, function: Callable[..., T], *args: object) -> T:
        try:
            return await self._lanes.run(lane, function, *args)
        except EmbeddingError as error:
            raise EmbeddingUnavailable(
                Text(error.zh, error.en), retry_after=5 if error.retry else None
            ) from error


def _gist(text: str) -> str:
    """What the model gets of a question. Pasted letters say what they want first or last, and others wait meanwhile."""
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n{text[-_TAIL:]}"


def _lane(embedder: Embedder) -> Lane:
    """Models that compute here queue for the cores; remote ones only wait for their network."""
    return "io" if embedder.is_remote else "model"


def load_embedder_by_name(settings: EmbeddingSettings, name: str, engine_socket: Path | None) -> Embedder:
    """Turn `[embedding.NAME]` into a loaded model; blocks. Raises EmbeddingError."""
    model = settings.models[name]
    config = EmbedderConfig(
        name=name,
        kind=model.kind,
        path=settings.models_dir / model.path if model.path else None,
        model=model.model,
        base_url=model.base_url,
        api_key=model.api_key.get_secret_value()
        if model.api_key
        else "none"
        if model.kind == "openai" and is_near(model.base_url)
        else "",
        query_prefix=model.query_prefix,
        passage_prefix=model.passage_prefix,
        batch_size=model.batch_size,
        timeout=model.timeout.total_seconds(),
        device=model.device,
        threads=settings.threads,
    )
    return load_embedder(config, engine_socket=engine_socket)
