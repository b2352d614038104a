"""Any embedding model that LangChain has an integration for: `model = PROVIDER:NAME`, say `ollama:nomic-embed-text`.

The integration's package (langchain-ollama, langchain-cohere …) must be installed; langchain-openai comes with the
full installation.
"""

from typing import Any

import numpy as np
from langchain_core.embeddings import Embeddings

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors


class LangChainEmbedder(Embedder):
    """Wraps what `langchain.embeddings.init_embeddings` finds for the provider."""

    is_remote = True

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self._model = _init(config)

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        try:
            rows = (
                [self._model.embed_query(t) for t in texts]
                if is_query
                else self._model.embed_documents(texts)
            )
        except Exception as error:
            raise EmbeddingError(
                f"向量服务 {self.name} 调用失败：{type(error).__name__}",
                f"embedding service {self.name} failed: {type(error).__name__}",
                retry=True,
            ) from error
        return np.array(rows, dtype=np.float32)


def _init(config: EmbedderConfig) -> Embeddings:
    from langchain.embeddings import init_embeddings

    options: dict[str, Any] = {}
    if config.base_url:
        options["base_url"] = config.base_url
    if config.api_key:
        options["api_key"] = config.api_key
    if config.model.startswith("openai:"):
        # LangChain would send token numbers, and fetch a tokenizer's table from the network to make them.
        options["check_embedding_ctx_length"] = False
    try:
        return init_embeddings(config.model, **options)
    except (ImportError, ValueError) as error:
        raise EmbeddingError(
            f"[embedding.{config.name}] model = {config.model} 无法加载：{error}",
            f"[embedding.{config.name}] model = {config.model} cannot be loaded: {error}",
        ) from error
