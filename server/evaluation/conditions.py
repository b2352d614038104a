"""What a run ran on: whatever may make another run come out otherwise."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from server import VERSION
from server.evaluation.metrics import DEPTH
from server.evaluation.wish import Wish
from server.kb.calibration import floor_of
from server.kb.models import KnowledgeBase
from server.kb.style import Style

Cuts = Sequence[tuple[dict[str, Any], int]]


def describe(kb: KnowledgeBase, cuts: Cuts, style: Style, wish: Wish) -> dict[str, Any]:
    """`cuts`: how each searchable document is cut, and into how many passages. `style`: how it is searched."""
    return {
        "version": VERSION,
        "knowledge_base": {
            "name": kb.name,
            "generation": kb.generation,
            "documents": len(cuts),
            "passages": sum(count for _, count in cuts),
        },
        "embedding": {"model": kb.embed_model, "fingerprint": _digest(kb.fingerprint)},
        "vector_store": kb.vector_store,
        "chunking": _told(cuts),
        "retrieval": asdict(style) | {"stop_words": list(style.stop_words)},
        "search": {
            "top_k": wish.top_k,
            "score_threshold": wish.threshold,
            "floor": floor_of(kb, style.words) if wish.threshold is None else None,
            "depth": max(DEPTH, wish.top_k),
        },
        "answer": {"model": wish.model, "prompt": wish.prompt if wish.costs else None},
    }


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _told(cuts: Cuts) -> list[str]:
    """Each way in which documents are cut, the most usual first: `250/50 × 12`, with `+title` where titles are added, and the
    method where it is not the usual one."""
    counts: dict[str, int] = {}
    for chunking, _ in cuts:
        title = "+title" if chunking.get("zh_title_enhance") else ""
        method = f"{chunking['chunk_method']} " if "chunk_method" in chunking else ""
        parent = f" of {chunking['parent_size']}" if "parent_size" in chunking else ""
        way = f"{method}{chunking.get('chunk_size')}/{chunking.get('chunk_overlap')}{parent}{title}"
        counts[way] = counts.get(way, 0) + 1
    return [f"{way} × {count}" for way, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"search": {"top_k": 3}}` is `("search.top_k", 3)`."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from flat(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", inner
