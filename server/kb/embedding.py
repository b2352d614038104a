"""The vectors of a document's passages: copied where the knowledge base has them, made by its embedding model where not."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.core.chinese import plain
from server.core.threads import Lanes
from server.db.session import Database
from server.kb import chunk_repository
from server.kb.anchors import text_for_model
from server.kb.chunk_repository import KnownVector
from server.kb.embedders import Embedders
from server.kb.files import FileStore
from server.kb.models import KnowledgeBase
from server.kb.segments import SegmentError, read_segment
from server.kb.splitters import Passage

log = logging.getLogger(__name__)
Vectors = NDArray[np.float32]

# Characters per call of a model: about two seconds of the bundled one on two cores. A call cannot be stopped, so this is
# how long a worker takes to notice that it should end, or that its document was deleted. A network only costs waiting.
_BATCH_CHARS = 3000
_REMOTE_BATCH_CHARS = 8000
# Told how many passages of how many are embedded; raises when the work is not wanted any more.
Progress = Callable[[int, int], Awaitable[None]]


class Content(NamedTuple):
    """What the model reads of a passage, and the hash by which its vector is found again."""

    text: str
    hash: str


class Embedding:
    """Makes them, for any knowledge base."""

    def __init__(self, database: Database, files: FileStore, embedders: Embedders, lanes: Lanes) -> None:
        self._database, self._files, self._embedders, self._lanes = database, files, embedders, lanes

    async def embed(
        self,
        kb: KnowledgeBase,
        contents: Sequence[Content],
        progress: Progress,
        *,
        rebuild: bool = False,
    ) -> Vectors:
        """One row per passage, in their order. Vectors of unchanged passages are copied, equal passages are embedded once.

        `rebuild`: under the model that the knowledge base changes over to. Raises EmbeddingUnavailable, and what `progress` raises.
        """
        embedder = await self._embedders.of(kb)
        vectors = await self._copy_known(kb, {content.hash for content in contents}, rebuild=rebuild)
        missing = {content.hash: content.text for content in contents if content.hash not in vectors}
        done = len(contents) - len(missing)
        await progress(done, len(contents))
        for batch in _batches(missing, _REMOTE_BATCH_CHARS if embedder.is_remote else _BATCH_CHARS):
            fresh = await self._embedders.embed_passages(embedder, [missing[h] for h in batch])
            vectors.update(zip(batch, fresh, strict=True))
            done += len(batch)
            await progress(done, len(contents))
        return np.stack([vectors[content.hash] for content in contents])

    async def _copy_known(
        self, kb: KnowledgeBase, hashes: Collection[str], *, rebuild: bool
    ) -> dict[str, NDArray[np.float32]]:
        async with self._database.read() as session:
            known = await chunk_repository.find_known_vectors(session, kb.id, sorted(hashes), rebuild=rebuild)
        return await self._lanes.run("io", self._read_known, kb, known) if known else {}

    def _read_known(self, kb: KnowledgeBase, known: dict[str, KnownVector]) -> dict[str, NDArray[np.float32]]:
        segments: dict[str, Vectors | None] = {}
        vectors = {}
        for h, place in known.items():
            if place.segment not in segments:
                path = self._files.segment_path(kb.id, kb.embed_model, place.segment)
                try:
                    segments[place.segment] = read_segment(path, place.sha256)
                except SegmentError as error:  # then these passages are simply embedded again
                    log.warning("segment unusable", extra={"kb": kb.name, "reason": str(error)})
                    segments[place.segment] = None
            segment = segments[place.segment]
            if segment is not None:
                vectors[h] = segment[place.row]
        return vectors


def content_of(file_name: str, passage: Passage, *, is_plain: bool) -> Content:
    """Of a passage: where it stands and what it says, so that a short one keeps its subject."""
    text = text_for_model(file_name, passage.anchor, passage.text)
    text = plain(text) if is_plain else text
    return Content(text, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _batches(missing: dict[str, str], size: int) -> Iterator[list[str]]:
    """Hashes in batches of at most `size` characters, or of one passage that is longer."""
    batch: list[str] = []
    chars = 0
    for h, content in missing.items():
        if batch and chars + len(content) > size:
            yield batch
            batch, chars = [], 0
        batch.append(h)
        chars += len(content)
    if batch:
        yield batch
