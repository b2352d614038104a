"""A worker that stops before a step of ingestion, so that a test can look at what there is then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.kb.worker import Worker


class Held:
    """It `came` to the step, and waits until it may `go`."""

    def __init__(self) -> None:
        self.came, self.go = asyncio.Event(), asyncio.Event()


def hold(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Before it embeds."""
    embedding = worker._ingest._embedding
    held, real = Held(), embedding.embed

    async def wait(*args: Any, **options: Any) -> Any:
        held.came.set()
        await held.go.wait()
        return await real(*args, **options)

    monkeypatch.setattr(embedding, "embed", wait)
    return held


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[asyncio.Task[bool]]:
    """One step of it, which ends with the block, as if the process were killed."""
    running = asyncio.create_task(worker.step())
    yield running
    running.cancel()
    await asyncio.wait({running})
