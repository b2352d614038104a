"""Any server with an OpenAI-compatible `/embeddings`."""

from typing import TYPE_CHECKING

import numpy as np

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors

if TYPE_CHECKING:
    from openai import OpenAI


class OpenAIEmbedder(Embedder):
    """Sends texts, never token numbers, so that any tokenizer may sit behind the address."""

    is_remote = True

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self._client: OpenAI | None = None

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        prefix = (self.config.query_prefix if is_query else self.config.passage_prefix) or ""
        size = self.config.batch_size
        parts = [
            self._call([prefix + text for text in texts[i : i + size]]) for i in range(0, len(texts), size)
        ]
        return np.concatenate(parts)

    def _call(self, texts: list[str]) -> Vectors:
        import openai

        if self._client is None:
            if (
                not self.config.api_key
                and "127.0.0.1" not in self.config.base_url
                and "localhost" not in self.config.base_url
            ):
                raise EmbeddingError(
                    f"向量模型 {self.name} 没有密钥：请在 [embedding.{self.name}] api_key 或环境变量里设置",
                    f"embedding model {self.name} has no key: set [embedding.{self.name}] api_key, best by the environment",
                )
            self._client = openai.OpenAI(
                base_url=self.config.base_url,
                api_key=self.config.api_key or "none",
                timeout=self.config.timeout,
            )
        try:
            answer = self._client.embeddings.create(
                model=self.config.model, input=texts, encoding_format="float"
            )
        except openai.APIStatusError as error:
            retry = error.status_code in (408, 409, 429) or error.status_code >= 500
            raise EmbeddingError(
                f"向量服务 {self.name} 拒绝了请求（HTTP {error.status_code}）",
                f"embedding service {self.name} refused the call (HTTP {error.status_code})",
                retry=retry,
            ) from error
        except openai.OpenAIError as error:
            raise EmbeddingError(
                f"向量服务 {self.name} 连接失败或超时",
                f"embedding service {self.name} cannot be reached or timed out",
                retry=True,
            ) from error
        rows = sorted(answer.data, key=lambda row: row.index)
        return np.array([row.embedding for row in rows], dtype=np.float32)
