"""Embedding models: text → unit vectors. This package knows nothing of the server.

To add a kind: one file with a subclass of Embedder, and one line in EMBEDDERS.
"""

from collections.abc import Callable
from pathlib import Path

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Fingerprint

__all__ = ["EMBEDDERS", "Embedder", "EmbedderConfig", "EmbeddingError", "Fingerprint", "load_embedder"]


def _bundled(config: EmbedderConfig) -> Embedder:
    from embeddings.bundled import BundledEmbedder

    return BundledEmbedder(config)


def _local(config: EmbedderConfig) -> Embedder:
    from embeddings.local import LocalEmbedder

    return LocalEmbedder(config)


def _openai(config: EmbedderConfig) -> Embedder:
    from embeddings.remote import OpenAIEmbedder

    return OpenAIEmbedder(config)


def _langchain(config: EmbedderConfig) -> Embedder:
    from embeddings.langchain import LangChainEmbedder

    return LangChainEmbedder(config)


EMBEDDERS: dict[str, Callable[[EmbedderConfig], Embedder]] = {
    "bundled": _bundled,
    "local": _local,
    "openai": _openai,
    "langchain": _langchain,
}


def load_embedder(config: EmbedderConfig, *, engine_socket: Path | None = None) -> Embedder:
    """Load the model that `config` describes; blocks while weights are read. Raises EmbeddingError.

    With `engine_socket`, a model that needs torch runs in the engine process that listens there (see engine.py), so
    that the caller stays small and all processes share one copy of the weights.
    """
    if config.kind == "local" and engine_socket is not None:
        from embeddings.engine_client import EngineEmbedder

        return EngineEmbedder(config, engine_socket)
    return EMBEDDERS[config.kind](config)
