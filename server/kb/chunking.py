"""How documents are cut when nobody says: by what the knowledge base prefers, or else by the server's settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.settings import KBSettings
from server.kb.splitters import Chunking


@dataclass(frozen=True, slots=True)
class ChunkingWish:
    """What somebody asks for; None is "as usual"."""

    chunk_size: int | None = None
    chunk_overlap: int | None = None
    zh_title_enhance: bool | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Only what was said; None when nothing was."""
        said = {
            "chunk_size": self.chunk_size,
            "chunk_overlap": self.chunk_overlap,
            "zh_title_enhance": self.zh_title_enhance,
        }
        return {key: value for key, value in said.items() if value is not None} or None


def choose_chunking(
    wish: ChunkingWish, preferred: Mapping[str, Any] | None, settings: KBSettings
) -> Chunking:
    """The wish, then what the knowledge base prefers, then the settings. Raises Invalid when they do not fit."""
    preferred = preferred or {}
    size = wish.chunk_size or preferred.get("chunk_size", settings.chunk_size)
    overlap = wish.chunk_overlap
    if overlap is None:
        overlap = preferred.get("chunk_overlap", settings.chunk_overlap)
        # Who asks for small passages and nothing else means an overlap that fits them.
        overlap = overlap if overlap < size else size // 5
    enhance = wish.zh_title_enhance
    if enhance is None:
        enhance = preferred.get("zh_title_enhance", settings.zh_title_enhance)
    if overlap >= size:
        raise Invalid(
            Text(
                f"chunk_overlap（{overlap}）必须小于 chunk_size（{size}）",
                f"chunk_overlap ({overlap}) must be smaller than chunk_size ({size})",
            )
        )
    return Chunking(chunk_size=size, chunk_overlap=overlap, zh_title_enhance=enhance)
