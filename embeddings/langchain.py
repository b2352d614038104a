"""Any embedding model that LangChain has an integration for: `model = PROVIDER:NAME`, say `ollama:nomic-embed-text`.

The integration's package (langchain-ollama, langchain-cohere …) must be installed; langchain-openai comes with the
full installation.
"""

from typing import Any

from langchain_core.embeddings import Embeddings

from embeddings.base import EmbedderConfig, EmbeddingError
from embeddings.remote import RemoteEmbedder


class LangChainEmbedder(RemoteEmbedder):
    """Wraps what `langchain.embeddings.init_embeddings` finds for the provider."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self._model = self._load()

    def _send(self, texts: list[str], *, is_query: bool) -> list[list[float]]:
        try:
            if is_query:
                return [self._model.embed_query(text) for text in texts]
            return self._model.embed_documents(texts)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._nonsense() from error
        except Exception as error:  # every integration has errors of its own
            raise self._failed(error) from error

    def _load(self) -> Embeddings:
        from langchain.embeddings import init_embeddings

        config = self.config
        is_openai = config.model.lower().startswith("openai:")
        options: dict[str, Any] = {}
        if config.base_url:
            options["base_url"] = config.base_url
        if config.api_key or is_openai:
            options["api_key"] = self._key()
        if is_openai:
            options["timeout"] = config.timeout
            # LangChain would send token numbers, and fetch a tokenizer's table from the network to make them.
            options["check_embedding_ctx_length"] = False
        try:
            return init_embeddings(config.model, **options)
        except Exception as error:
            # A ValidationError, also a ValueError, quotes its input, and the key is part of it.
            reason = str(error) if type(error) in (ImportError, ValueError) else type(error).__name__
            raise EmbeddingError(
                f"[embedding.{config.name}] model = {config.model} 无法加载：{reason}",
                f"[embedding.{config.name}] model = {config.model} cannot be loaded: {reason}",
            ) from error
