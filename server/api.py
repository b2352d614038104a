"""The table of contents: every router, in the order of the documentation."""

from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI

from server.admin.routes import router as admin
from server.auth.routes import router as sso
from server.auth.routes import sessions_router, users_router
from server.auth.wecom_routes import router as wecom
from server.auth.wecom_routes import verification_router
from server.catalog.routes import router as catalog
from server.chat.answer_routes import router as answers
from server.chat.explain_routes import router as explain
from server.chat.raw_routes import router as raw
from server.chat.routes import router as chat
from server.chat.session_file_routes import router as session_files
from server.chat.session_routes import feedback_router, history_router
from server.chat.session_routes import router as sessions
from server.chat.template_routes import router as templates
from server.core.settings import Settings
from server.evaluation.routes import router as evaluation
from server.evaluation.run_routes import router as evaluation_runs
from server.health import router as health
from server.kb.chunk_routes import preview_router as previews
from server.kb.chunk_routes import router as chunks
from server.kb.job_routes import router as jobs
from server.kb.package_routes import router as packages
from server.kb.question_routes import recommend_router
from server.kb.routes import router as kb
from server.kb.tuning_routes import router as tuning
from server.kb.upkeep_routes import router as upkeep
from server.kb.version_routes import router as versions


def include_routers(app: FastAPI, settings: Settings) -> None:
    """Take routes as they are: `include_router` would have each built once more, with the first request."""
    session_files_, kb_, previews_, packages_, recommend_, evaluation_ = _with_form_limits(
        settings.kb.max_upload_files
    )
    routers = (
        chat,
        answers,
        feedback_router,
        sessions,
        session_files_,
        history_router,
        raw,
        templates,
        kb_,
        previews_,
        chunks,
        explain,
        upkeep,
        versions,
        packages_,
        tuning,
        jobs,
        recommend_,
        evaluation_,
        evaluation_runs,
        catalog,
        sso,
        sessions_router,
        users_router,
        admin,
        wecom,
        verification_router(settings.wecom),
        health,
    )
    for router in routers:
        app.router.routes.extend(router.routes)


@cache
def _with_form_limits(max_files: int) -> list[APIRouter]:
    """What takes forms, for all applications of a process: an included router builds its routes with the first request."""
    limits: Any = {"max_files": max_files, "max_fields": 50, "max_part_size": 4 * 1024**2}
    limited = []
    for router in (session_files, kb, previews, packages, recommend_router, evaluation):
        limited.append(APIRouter())
        limited[-1].include_router(router, form_limits=limits)
    return limited
