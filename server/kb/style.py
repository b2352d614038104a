"""How a search is done, by what the server and the knowledge bases say."""

from dataclasses import dataclass
from typing import Any

from server.core.settings import RerankSettings, RetrievalSettings
from server.kb.fusion import Method
from server.kb.models import KnowledgeBase


@dataclass(frozen=True, slots=True)
class Style:
    """The weight of words against meaning (0 to 1), the fusion, what it leaves out, words that tell nothing, and groups of words
    that say the same."""

    words: float = 0.5
    fusion: Method = "score"
    collapse: bool = True
    diversity: float = 0.0
    stop_words: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    # The name of a `[rerank.NAME]` or empty, and how many of the best it orders.
    rerank: str = ""
    candidates: int = 30
    # Characters up to which a hit is read together with its neighbours.
    expand: int = 600

    @classmethod
    def of(cls, settings: RetrievalSettings, rerank: RerankSettings, *kbs: KnowledgeBase) -> "Style":
        """What the first of them says that says anything, and for the rest what the server says; the words of all."""
        said = [kb.retrieval for kb in kbs if kb.retrieval]
        given: dict[str, Any] = {
            **settings.model_dump(),
            "rerank": rerank.default,
            "candidates": rerank.candidates,
            **(said[0] if said else {}),
            "stop_words": tuple(word for each in said for word in each.get("stop_words", ())),
            "synonyms": tuple(tuple(group) for each in said for group in each.get("synonyms", ())),
        }
        return cls(**{key: value for key, value in given.items() if key in cls.__slots__})
