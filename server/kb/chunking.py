"""How documents are cut when nobody says: by what the knowledge base prefers, or else by the server's settings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.settings import KBSettings
from server.kb.splitters import Chunking

# A section is meant to stay whole: the server's size, which is for running text, is too small for most.
_SIZES = {"heading": 1000}
_PARENT_SIZE, _MAX_PARENT_SIZE = 1500, 20_000


@dataclass(frozen=True, slots=True)
class ChunkingWish:
    """What somebody asks for; None is "as usual"."""

    chunk_size: int | None = None
    chunk_overlap: int | None = None
    zh_title_enhance: bool | None = None
    chunk_method: str | None = None
    parent_size: int | None = None

    def to_json(self) -> dict[str, Any] | None:
        """Only what was said; None when nothing was."""
        return {key: value for key, value in asdict(self).items() if value is not None} or None


def choose_chunking(
    wish: ChunkingWish, preferred: Mapping[str, Any] | None, settings: KBSettings
) -> Chunking:
    """The wish, then what the knowledge base prefers, then the settings. Raises Invalid when they do not fit."""
    preferred = preferred or {}
    method = wish.chunk_method or preferred.get("chunk_method", "recursive")
    size = wish.chunk_size or preferred.get("chunk_size") or _SIZES.get(method, settings.chunk_size)
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
    return Chunking(size, overlap, enhance, method, _choose_parent_size(wish, preferred, method, size))


def _choose_parent_size(
    wish: ChunkingWish, preferred: Mapping[str, Any], method: str, size: int
) -> int | None:
    if method != "parent_child":
        if wish.parent_size is not None:
            raise Invalid(
                Text(
                    f"parent_size 只用于 chunk_method = parent_child，这里是 {method}",
                    f"parent_size is for chunk_method parent_child only, and this is {method}",
                )
            )
        return None
    parent_size = wish.parent_size
    if parent_size is None:
        usual: int = preferred.get("parent_size", _PARENT_SIZE)
        parent_size = usual if usual > size else min(4 * size, _MAX_PARENT_SIZE)
    if parent_size <= size:
        raise Invalid(
            Text(
                f"parent_size（{parent_size}）必须大于 chunk_size（{size}）",
                f"parent_size ({parent_size}) must be larger than chunk_size ({size})",
            )
        )
    return parent_size
