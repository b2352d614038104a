"""HTTP: is this process alive, and may it be sent requests?"""

from typing import cast

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy import text

from server.core.errors import AppError
from server.core.http import new_router
from server.db.session import Database

router = new_router(tags=["Health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """The process and its database answer; 503 otherwise."""
    try:
        async with cast("Database", request.app.state.database).read() as session:
            await session.execute(text("SELECT 1"))
    except (AppError, OSError) as error:
        return JSONResponse({"status": "unavailable", "reason": type(error).__name__}, status_code=503)
    return JSONResponse({"status": "ready"})
