"""The table of contents: every router, in the order of the documentation."""

from typing import Any

from fastapi import APIRouter, FastAPI

from server.admin.routes import router as admin
from server.auth.routes import router as sso
from server.auth.routes import sessions_router, users_router
from server.auth.wecom_routes import router as wecom
from server.auth.wecom_routes import verification_router
from server.catalog.routes import router as catalog
from server.chat.answer_routes import router as answers
from server.chat.raw_routes import router as raw
from server.chat.routes import router as chat
from server.chat.session_file_routes import router as session_files
from server.chat.session_routes import feedback_router, history_router
from server.chat.session_routes import router as sessions
from server.chat.template_routes import router as templates
from server.core.settings import Settings
from server.health import router as health
from server.kb.question_routes import recommend_router
from server.kb.routes import jobs_router
from server.kb.routes import router as kb
from server.kb.upkeep_routes import router as upkeep


def include_routers(app: FastAPI, settings: Settings) -> None:
    limits: Any = {"max_files": settings.kb.max_upload_files, "max_fields": 50, "max_part_size": 4 * 1024**2}
    _add(app, chat, answers, feedback_router, sessions)
    app.include_router(session_files, form_limits=limits)
    _add(app, history_router, raw, templates)
    app.include_router(kb, form_limits=limits)
    _add(app, upkeep, jobs_router)
    app.include_router(recommend_router, form_limits=limits)
    _add(
        app,
        catalog,
        sso,
        sessions_router,
        users_router,
        admin,
        wecom,
        verification_router(settings.wecom),
        health,
    )


def _add(app: FastAPI, *routers: APIRouter) -> None:
    """Take routes as they are: `include_router` would have each built once more, with the first request."""
    for router in routers:
        app.router.routes.extend(router.routes)
