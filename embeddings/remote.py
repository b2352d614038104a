"""Any server with an OpenAI-compatible `/embeddings`, and what all remote models have in common."""

from abc import abstractmethod
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors

if TYPE_CHECKING:
    from openai import OpenAI

# The request may succeed when it is sent again: time-out, conflict, too many.
_PASSING = {408, 409, 429}
# A server on one's own machine may go without a key.
_HERE = {"127.0.0.1", "::1", "localhost"}


class RemoteEmbedder(Embedder):
    """Puts the prefix in front and sends batches; a subclass sends one of them."""

    is_remote = True

    @abstractmethod
    def _send(self, texts: list[str], *, is_query: bool) -> list[list[float]]:
        """Return one row per text. The library's errors come out as EmbeddingError."""

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        prefix = (self.config.query_prefix if is_query else self.config.passage_prefix) or ""
        size = self.config.batch_size
        rows: list[list[float]] = []
        for start in range(0, len(texts), size):
            batch = [prefix + text for text in texts[start : start + size]]
            answer = self._send(batch, is_query=is_query)
            if len(answer) != len(batch):
                raise self._nonsense()
            rows += answer
        try:
            return np.array(rows, dtype=np.float32)
        except (ValueError, TypeError) as error:  # rows of different lengths, or no numbers in them
            raise self._nonsense() from error

    def _failed(self, error: Exception) -> EmbeddingError:
        """The error for what a library raised. Its own words are not repeated: they may quote the key."""
        name, response = self.name, getattr(error, "response", None)
        status = getattr(error, "status_code", None) or getattr(response, "status_code", None)
        if not isinstance(status, int):
            return EmbeddingError(
                f"向量服务 {name} 连接失败或超时，请检查网络和 [embedding.{name}] base_url",
                f"embedding service {name} cannot be reached or timed out; check the network and [embedding.{name}] base_url",
                retry=True,
            )
        if status in (401, 403):
            return self._key_refused()
        if status in _PASSING or status >= 500:
            return EmbeddingError(
                f"向量服务 {name} 繁忙或出错（HTTP {status}），请稍后再试",
                f"embedding service {name} is busy or failed (HTTP {status}); try again later",
                retry=True,
            )
        return EmbeddingError(
            f"向量服务 {name} 不接受这次请求（HTTP {status}），请检查 [embedding.{name}] 的 model、base_url、batch_size 和账户额度",
            f"embedding service {name} refused the call (HTTP {status}); check model, base_url and batch_size in "
            f"[embedding.{name}] and the account's credit",
        )

    def _nonsense(self) -> EmbeddingError:
        return EmbeddingError(
            f"向量服务 {self.name} 返回的不是每段文本一个向量，请检查 [embedding.{self.name}] 的 model 和 base_url",
            f"embedding service {self.name} did not return one vector per text; check model and base_url in "
            f"[embedding.{self.name}]",
        )

    def _key_refused(self) -> EmbeddingError:
        return EmbeddingError(
            f"向量服务 {self.name} 拒绝了密钥，请检查 [embedding.{self.name}] api_key",
            f"embedding service {self.name} refused the key; check [embedding.{self.name}] api_key",
        )

    def _key(self) -> str:
        """The key, without the blanks that pasting adds. Raises EmbeddingError when it is missing or cannot be one."""
        key = self.config.api_key.strip()
        if not key and urlsplit(self.config.base_url).hostname in _HERE:
            return "none"
        if not key:
            raise EmbeddingError(
                f"向量模型 {self.name} 没有密钥：请在 [embedding.{self.name}] api_key 或环境变量里设置",
                f"embedding model {self.name} has no key: set [embedding.{self.name}] api_key, best by the environment",
            )
        if not (key.isascii() and key.isprintable()):
            # The HTTP library would refuse it too, with the key in its words.
            raise self._key_refused()
        return key


class OpenAIEmbedder(RemoteEmbedder):
    """Sends texts, never token numbers, so that any tokenizer may sit behind the address."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        if not config.base_url.startswith(("https://", "http://")):
            raise EmbeddingError(
                f"[embedding.{config.name}] base_url：请填写服务地址，例如 https://example.com/v1",
                f"[embedding.{config.name}] base_url: write an address such as https://example.com/v1",
            )
        self._client: OpenAI | None = None

    def _send(self, texts: list[str], *, is_query: bool) -> list[list[float]]:  # noqa: ARG002 (the prefix says it)
        import openai

        try:
            if self._client is None:
                self._client = openai.OpenAI(
                    base_url=self.config.base_url, api_key=self._key(), timeout=self.config.timeout
                )
            answer = self._client.embeddings.create(
                model=self.config.model, input=texts, encoding_format="float"
            )
        except openai.OpenAIError as error:
            raise self._failed(error) from error
        except ValueError as error:  # no JSON, or JSON without vectors
            raise self._nonsense() from error
        # The SDK checks nothing of what comes: a web page is a str here.
        rows = sorted(getattr(answer, "data", []), key=lambda row: getattr(row, "index", None) or 0)
        return [row.embedding for row in rows]
