"""A data set as a knowledge base of the product: real uploads, worker, SQLite, text index, FAISS, model and search.

Only the model remembers what it embedded in an earlier run (evals/vectors.py).
"""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePath

from tqdm import tqdm

from bench.stage import CALLER, stage
from embeddings import Embedder
from evals.datasets import Dataset
from evals.vectors import bundled
from server.kb.hits import Hit, Trace
from server.kb.models import KnowledgeBase
from server.kb.splitters import Chunking
from server.kb.uploads import Upload
from server.services import Services
from server.worker import open_worker

WHOLE = Chunking(chunk_size=8000, chunk_overlap=0)
# As users chunk by default.
CHUNKS = Chunking(chunk_size=250, chunk_overlap=50)
MODEL = "e5-small"


@dataclass(frozen=True, slots=True)
class Product:
    """The services, with knowledge bases that data sets were uploaded to."""

    services: Services

    async def upload(
        self, name: str, dataset: Dataset, chunking: Chunking, only: Collection[int] | None = None
    ) -> KnowledgeBase:
        """A knowledge base with one file for each passage (`only`: of these), named by its number."""
        kb = await self.services.kb.create(CALLER, name)
        for number, text in enumerate(tqdm(dataset.passages, desc=f"{name}: uploads", leave=False)):
            if only is None or number in only:
                data = text.encode("utf-8")
                await self.services.kb.uploads.take(
                    kb, Upload(f"{number}.txt", len(data), io.BytesIO(data)), chunking
                )
        async with open_worker(self.services) as worker:
            await worker.run_until_idle()
        return await self.services.kb.get(CALLER, name)

    async def ask(
        self,
        kb: KnowledgeBase,
        questions: Sequence[str],
        *,
        top_k: int,
        style: dict[str, object] | None = None,
    ) -> list[tuple[list[Hit], Trace]]:
        """Search for every question; `style` instead of the server's settings (retriever.Style)."""
        kb.retrieval = style
        return [
            await self.services.kb.search_in(kb, question, viewer=None, top_k=top_k, threshold=4.0)
            for question in tqdm(questions, desc=kb.name, leave=False)
        ]


def passage_of(hit: Hit) -> int:
    """The number of the passage that a hit's file is."""
    return int(PurePath(hit.file_name).stem)


@asynccontextmanager
async def product() -> AsyncIterator[Product]:
    """The product over a folder of its own."""
    logging.getLogger("server").setLevel(logging.WARNING)
    async with stage() as services:
        embedder: Embedder = await asyncio.to_thread(bundled)
        services.embedders._loaded[MODEL] = embedder
        yield Product(services)
