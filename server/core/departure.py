"""Work for a reader who may go away before it is done."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What comes of it. A reader who leaves before ends it: None."""
    result, gone = asyncio.ensure_future(work), asyncio.ensure_future(_departure(request))
    try:
        await asyncio.wait({result, gone}, return_when=asyncio.FIRST_COMPLETED)
        return result.result() if result.done() else None
    finally:
        result.cancel()
        gone.cancel()
        await asyncio.wait({result, gone})


async def _departure(request: Request) -> None:
    """Return when the reader goes away; the body has been read, so nothing else is to come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
