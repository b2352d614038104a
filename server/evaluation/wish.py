"""What a run is to do, as it is kept with it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from server.llm.quote_model import NAME as QUOTE


@dataclass(frozen=True, slots=True)
class Wish:
    """`model` None: search only. `tags`: only questions that have one of them; none: all. `retrieval`: tried over the
    knowledge base's own settings (`KnowledgeBase.retrieval`), for this run only. `threshold` None: as it was calibrated."""

    top_k: int = 3
    threshold: float | None = None
    model: str | None = None
    prompt: str = "default"
    tags: tuple[str, ...] = ()
    retrieval: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Wish":
        return cls(**(kept | {"tags": tuple(kept["tags"])}))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def costs(self) -> bool:
        """Does a language model work for it?"""
        return self.model not in (None, QUOTE)
