"""HTTP: is this process alive, and may it be sent requests?"""

import shutil
from typing import cast

from anyio import to_thread
from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import text

from server.core.errors import AppError
from server.core.http import new_router
from server.db.session import Database

# Bytes below which writing will fail before long.
_ROOM = 16 * 1024**2

router = new_router(tags=["Health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """The process and its database answer, and there is room to write; 503 with the reason otherwise."""
    state = request.app.state
    try:
        async with cast("Database", state.database).read() as session:
            await session.execute(text("SELECT 1"))
        free = (await to_thread.run_sync(shutil.disk_usage, state.settings.server.data_dir)).free
    except (AppError, OSError) as error:
        code = error.code if isinstance(error, AppError) else "storage_unavailable"
        return JSONResponse({"status": "unavailable", "reason": code}, status_code=503)
    if free < _ROOM:
        return JSONResponse({"status": "unavailable", "reason": "disk_full"}, status_code=503)
    return JSONResponse({"status": "ready"})
