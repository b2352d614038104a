"""Pages of the web for a question; long ones cut into pieces, of which the nearest to the question are taken."""

from itertools import chain, zip_longest

import numpy as np

from server.core.threads import Lanes
from server.kb.embedders import Embedders
from server.kb.splitters import Chunking, cut_text
from server.search.base import WebPage
from server.search.engines import SearchEngines

# Pieces of a page, and how many of all pages are embedded at most: a model here reads a few of them a second.
_PIECES = Chunking(chunk_size=300, chunk_overlap=30)
_MAX_PIECES = 24
# Embedded at once: between two batches other people's questions get their turn.
_BATCH = 4


class WebSearch:
    """Searches with one of the configured engines."""

    def __init__(self, engines: SearchEngines, embedders: Embedders, embed_model: str, lanes: Lanes) -> None:
        self._engines, self._embedders, self._embed_model, self._lanes = (
            engines,
            embedders,
            embed_model,
            lanes,
        )

    async def find(self, engine: str, query: str, count: int, *, split: bool) -> list[WebPage]:
        """Up to `count` pages as the engine ranks them; with `split`, of their pieces the nearest `count`.

        Raises SearchEngineNotFound, SearchEngineNotReady, UpstreamError, EmbeddingUnavailable.
        """
        pages = await self._engines.search(self._engines.get(engine), query, count)
        if not split:
            return pages
        pieces = await self._lanes.run("io", _cut, pages)
        return await self._nearest(query, pieces, count) if len(pieces) > len(pages) else pages

    async def _nearest(self, query: str, pieces: list[WebPage], count: int) -> list[WebPage]:
        embedder = await self._embedders.get(self._embed_model)
        question = await self._embedders.embed_question(embedder, query)
        scores: list[float] = []
        for start in range(0, len(pieces), _BATCH):
            texts = [f"{piece.title}\n{piece.text}" for piece in pieces[start : start + _BATCH]]
            scores += (await self._embedders.embed_passages(embedder, texts) @ question).tolist()
        best = np.argsort(scores)[::-1][:count]
        return [pieces[index] for index in best]


def _cut(pages: list[WebPage]) -> list[WebPage]:
    """The first pieces of all pages, then the second ones: what is left out stands at the end of long pages."""
    columns = [
        [WebPage(page.title, page.url, text) for text in cut_text(page.text, _PIECES)] or [page]
        for page in pages
    ]
    rows = chain.from_iterable(zip_longest(*columns))
    return [piece for piece in rows if piece is not None][:_MAX_PIECES]
