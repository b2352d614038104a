"""The next version of a document that is read again: the same bytes under a new id, so that the one that is searched stays."""

from typing import Any

from server.core.clock import Clock
from server.core.durable import storage_refusal
from server.core.errors import NotFound
from server.core.i18n import Text
from server.core.ids import new_id
from server.core.threads import Lanes
from server.kb.files import FileStore
from server.kb.loaders.errors import content_gone
from server.kb.models import Document, DocumentState, Slot


class Versions:
    """Makes them. The row is the caller's to add; what it does not add is taken away by `drop` or the sweep."""

    def __init__(self, files: FileStore, lanes: Lanes, clock: Clock) -> None:
        self._files, self._lanes, self._clock = files, lanes, clock

    async def copy(self, document: Document, slot: Slot, chunking: dict[str, Any]) -> Document:
        """Raises NotFound when the content is gone, StorageFull."""
        copy = Document(
            id=new_id("doc"),
            kb_id=document.kb_id,
            file_name=document.file_name,
            name_key=document.name_key,
            slot=slot,
            suffix=document.suffix,
            size=document.size,
            sha256=document.sha256,
            state=DocumentState.WAITING,
            chunking=chunking,
            custom_docs=document.custom_docs,
            copy_of=document.id if slot == Slot.REBUILD else None,
            char_count=0,
            chunk_count=0,
            created_at=self._clock.now(),
        )
        copy.take_over(document)
        try:
            await self._lanes.run(
                "io", self._files.copy_content, document.kb_id, document.id, document.suffix, copy.id
            )
        except FileNotFoundError:
            gone = content_gone()
            raise NotFound(Text(gone.zh, gone.en), code="document_not_found") from None
        except OSError as error:
            raise storage_refusal(error) from error
        return copy

    async def drop(self, documents: list[Document]) -> None:
        """Remove the files of versions whose rows are gone or were never added."""
        await self._lanes.run("io", self._files.remove_documents, documents)

    async def drop_vectors(self, kb_id: str, model: str, segments: list[str]) -> None:
        """Remove segments of documents that stay."""
        for name in segments:
            await self._lanes.run("io", self._files.segment_path(kb_id, model, name).unlink, True)
