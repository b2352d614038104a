"""A rerank service: `{model, query, documents, top_n}` → `{"results": [{"index", "relevance_score"}]}`.

So it is at Jina, Cohere (v2), SiliconFlow, DashScope (compatible-api) and in vLLM and Xinference.
"""

import json
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from server.core.fetching import Call, Fetcher, FetchError
from server.kb.rerankers.base import Reranker, RerankFailed, Tools


class ApiReranker(Reranker):
    is_remote = True

    def __init__(self, tools: Tools) -> None:
        model = tools.model
        self._url, self._model, self._max_chars = model.url, model.model, model.max_chars
        key = model.api_key.get_secret_value().strip() if model.api_key else ""
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._fetcher = Fetcher(max(tools.settings.timeout, timedelta(milliseconds=1)))

    async def score(self, question: str, passages: Sequence[str], seconds: float) -> list[float]:  # noqa: ARG002 (the caller cancels)
        body = {
            "model": self._model,
            "query": question,
            "documents": [passage[: self._max_chars] for passage in passages],
            "top_n": len(passages),
        }
        try:
            status, answer = await self._fetcher.fetch(
                Call("POST", self._url, headers=self._headers, json=body)
            )
        except FetchError as error:
            raise RerankFailed("late" if error.timed_out else "unreachable") from error
        except UnicodeEncodeError:  # a key that no header can carry; the words would quote it
            raise RerankFailed("key") from None
        except ValueError as error:
            raise RerankFailed("nonsense") from error
        if status in (401, 403):
            raise RerankFailed("key")
        if status != 200:
            raise RerankFailed(f"http_{status}")
        return _read(answer, len(passages))

    async def close(self) -> None:
        await self._fetcher.close()


def _read(answer: bytes, wanted: int) -> list[float]:
    """Exactly one number for each of the passages, or none is believed. Raises RerankFailed."""
    try:
        results = json.loads(answer)["results"]
        scores = dict(map(_pair, results))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
        raise RerankFailed("nonsense") from error
    if len(results) != wanted or scores.keys() != set(range(wanted)):
        raise RerankFailed("nonsense")
    return [scores[number] for number in range(wanted)]


def _pair(result: Any) -> tuple[int, float]:
    index, score = result["index"], result["relevance_score"]
    # True is 1 to Python.
    if type(index) is not int or type(score) not in (int, float) or not math.isfinite(score):
        raise ValueError("no index, or no score")
    return index, float(score)
