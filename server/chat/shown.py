"""A source of an answer as a reader opens it: the passage of today, or what was shown when it is gone."""

from typing import Any

from server.auth.principal import Principal
from server.chat import sources
from server.chat.models import Message
from server.chat.quoted import quoted_ranges
from server.chat.telling import Telling
from server.core.errors import NotFound
from server.core.i18n import Language, Text
from server.core.threads import Lanes
from server.kb.anchors import describe_place
from server.kb.media import plain_type
from server.kb.passages import Passages


class ShownSources:
    """Opens them."""

    def __init__(self, passages: Passages, lanes: Lanes) -> None:
        self._passages, self._lanes = passages, lanes

    async def find(self, caller: Principal, told: Telling, number: int, language: Language) -> dict[str, Any]:
        """Number `number` of an answer of the caller's own. Raises NotFound."""
        kept = next((one for one in told.sources or [] if one["number"] == number), None)
        if kept is None:
            raise NotFound(Text(f"这个回答没有出处 [{number}]", f"this answer has no source [{number}]"))
        (shown,) = sources.tell([kept], language)
        shown |= {"before": None, "after": None, "media_type": None, "is_gone": False}
        if "url" not in kept:
            shown |= await self._today(caller, kept, language)
        quote = await self._lanes.run("io", quoted_ranges, shown["text"], str(told.text))
        return shown | {"quote": quote}

    async def name_candidates(
        self, caller: Principal, message: Message, language: Language
    ) -> list[dict[str, Any]]:
        """Where the passages stand that the search of an answer considered; of those alone that the caller may see today."""
        told: list[dict[str, Any]] = (message.trace or {}).get("candidates", [])
        found = await self._passages.find_all(caller, [one["chunk"] for one in told], message.session_id)
        return [
            {
                "chunk_id": chunk.id,
                "file_name": document.file_name,
                "place": describe_place(document.file_name, chunk.anchor, language),
            }
            for chunk, document in found.values()
        ]

    async def _today(self, caller: Principal, kept: dict[str, Any], language: Language) -> dict[str, Any]:
        """What is another now."""
        found = await self._passages.find(
            caller,
            chunk_id=kept["chunk_id"],
            kb_id=kept["kb_id"],
            file_name=kept["file_name"],
            text=kept["text"],
        )
        if found is None:
            return {"is_gone": True}
        chunk, document = found.chunk, found.document
        return {
            "document_id": document.id,
            "chunk_id": chunk.id,
            "file_name": document.file_name,
            "place": describe_place(document.file_name, chunk.anchor, language),
            "anchor": chunk.anchor,
            "text": chunk.text,
            "before": found.before,
            "after": found.after,
            "kb_name": None if found.kb.session_id else found.kb.name,
            "media_type": plain_type(document.suffix),
        }
