"""The passages of an answer as they are kept with it: JSON that says the same in every language, number 1 first."""

from collections.abc import Sequence
from typing import Any

from server.chat.events import Source
from server.core.i18n import Language
from server.kb.anchors import describe_place
from server.kb.hits import Hit
from server.search.base import WebPage


def to_json(sources: Sequence[Source]) -> list[dict[str, Any]]:
    return [_to_json(number, source) for number, source in enumerate(sources, start=1)]


def _to_json(number: int, source: Source) -> dict[str, Any]:
    if isinstance(source, WebPage):
        return {"number": number, "title": source.title, "url": source.url, "text": source.text}
    kept = {
        "number": number,
        "document_id": source.document_id,
        "chunk_id": source.chunk_id,
        "file_name": source.file_name,
        "anchor": source.anchor,
        "text": source.text,
        "score": source.score,
        "kb_id": source.kb_id,
        "kb_name": source.kb_name,
    }
    if source.reading != source.text:
        kept["read"] = source.reading
    # Files of the conversation have a knowledge base that nobody is told of.
    return kept | {"kb_name": None, "attached": True} if source.session_id else kept


def tell(kept: Sequence[dict[str, Any]], language: Language) -> list[dict[str, Any]]:
    """For a reader: with the place in words, and without what only the server needs."""
    return [_tell(source, language) for source in kept]


def places(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    """Where passages stand, each place once: what an answer without sources leaves to look at."""
    found = [{"file_name": hit.file_name, "anchor": hit.anchor} for hit in hits]
    return [place for index, place in enumerate(found) if place not in found[:index]]


def tell_places(kept: Sequence[dict[str, Any]], language: Language) -> list[dict[str, Any]]:
    """For a reader."""
    return [
        {"file_name": one["file_name"], "place": describe_place(one["file_name"], one["anchor"], language)}
        for one in kept
    ]


def _tell(source: dict[str, Any], language: Language) -> dict[str, Any]:
    if "url" in source:
        return source
    told = {name: value for name, value in source.items() if name not in ("kb_id", "read")}
    return told | {"place": describe_place(source["file_name"], source["anchor"], language)}
