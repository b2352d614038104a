"""Rerankers: models that read question and passage together. A kind is a file here and a line in RERANKERS."""

from collections.abc import Callable

from server.kb.rerankers.api import ApiReranker
from server.kb.rerankers.base import Reranker, Tools
from server.kb.rerankers.cross_encoder import CrossEncoderReranker

RERANKERS: dict[str, Callable[[Tools], Reranker]] = {
    "cross-encoder": CrossEncoderReranker,
    "api": ApiReranker,
}
