"""Custom docs: passages that people give for a file, instead of what a reading of it would find.

    {"制度.txt": [{"page_content": "年假五天。", "metadata": {"heading": "假期"}}, …], …}

They are stored as they are: not cut, not enhanced. Their metadata is kept where it is short and plain; keys that loaders
know (page, sheet, heading …) say where the passage stands, like those of any other.
"""

import math
from typing import Any

from server.core import strict_json
from server.kb.anchors import QUESTION
from server.kb.loaders.clean import clean_label, clean_text

# Of one file.
MAX_PASSAGES = 10_000
MAX_CHARS = 20_000
_MAX_KEYS, _MAX_VALUE = 32, 500
# What the server says itself about a hit, or means something else inside.
_RESERVED = {"source", "document_id", "chunk_id", "atomic", "qa", QUESTION}

Passages = list[dict[str, Any]]


def parse_custom_docs(text: str) -> dict[str, Passages]:
    """Passages by file name, as `text` and `anchor`. Raises ValueError that says what is wrong."""
    if not text.strip():
        return {}
    given = strict_json.loads(text.encode("utf-8", "surrogatepass"))
    if not isinstance(given, dict):
        raise ValueError("must be an object of file names")
    return {name: _passages(name, docs) for name, docs in given.items()}


def _passages(name: str, docs: object) -> Passages:
    if not isinstance(docs, list) or not 1 <= len(docs) <= MAX_PASSAGES:
        raise ValueError(f"{name[:100]}: must be a list of 1 to {MAX_PASSAGES} passages")
    return [_passage(name, doc) for doc in docs]


def _passage(name: str, doc: object) -> dict[str, Any]:
    content = doc.get("page_content") if isinstance(doc, dict) else None
    metadata = (doc.get("metadata") if isinstance(doc, dict) else None) or {}
    text = clean_text(content).strip() if isinstance(content, str) else ""
    if not 1 <= len(text) <= MAX_CHARS or not isinstance(metadata, dict):
        raise ValueError(
            f"{name[:100]}: each passage has page_content (1 to {MAX_CHARS} characters) and perhaps metadata (an object)"
        )
    return {"text": text, "anchor": _anchor(metadata)}


def _anchor(metadata: dict[str, Any]) -> dict[str, Any]:
    """What of the metadata is worth keeping: short, plain values."""
    kept: dict[str, Any] = {}
    for key, value in metadata.items():
        plain = clean_label(value) if isinstance(value, str) else value
        if key in _RESERVED or len(key) > _MAX_KEYS or not isinstance(plain, str | int | float):
            continue
        if isinstance(plain, float) and not math.isfinite(plain):
            continue  # no database and no browser reads it
        if len(str(plain)) <= _MAX_VALUE and len(kept) < _MAX_KEYS:
            kept[key] = plain
    return kept
