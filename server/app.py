"""The application: everything is built in the lifespan, and handed to routes through `app.state`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from server import VERSION
from server.admin.deps import Desk
from server.api import include_routers
from server.auth.client_keys import warn_of_weak_keys
from server.auth.demo import Demo, read_passphrase
from server.auth.door import Door
from server.auth.framing import Framing
from server.auth.wecom_login import open_wecom_login
from server.catalog.service import Catalog
from server.chat.answers import Answers
from server.chat.feedback import Feedback
from server.chat.raw import RawAnswers
from server.chat.session_files import SessionFiles
from server.chat.sessions import Sessions
from server.chat.shown import ShownSources
from server.chat.template_routes import Templates
from server.core.http import BodyLimits, install_error_handlers
from server.core.middleware import RequestContext
from server.core.settings import Settings
from server.evaluation.deps import Evaluation
from server.kb.loaders import SUFFIXES, can_read
from server.pages import mount_pages
from server.services import Services, open_services


def create_app(
    settings: Settings, services: Callable[[], AbstractAsyncContextManager[Services]] | None = None
) -> FastAPI:
    """Build the application. `services` replaces how the services are opened, for tests."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            services() if services else open_services(settings) as opened,
            open_wecom_login(settings, opened.database, opened.runtime.clock, opened.signon) as wecom,
        ):
            app.state.settings = settings
            app.state.database = opened.database
            app.state.tasks = opened.runtime.tasks
            app.state.authenticator = opened.authenticator
            app.state.kb = opened.kb
            app.state.upkeep = opened.upkeep
            app.state.jobs = opened.jobs
            app.state.history = opened.history
            app.state.exports, app.state.imports = opened.exports, opened.imports
            app.state.desk = Desk(
                opened.database,
                opened.vault,
                settings,
                opened.runtime,
                opened.authenticator,
                opened.chat.running,
            )
            app.state.chat = opened.chat
            answers = Answers(opened.chat, opened.database, opened.runtime, settings.chat)
            app.state.answers = answers
            app.state.shown = ShownSources(opened.kb.passages, opened.runtime.lanes)
            app.state.sessions = Sessions(opened.database, opened.runtime.clock, opened.attachments)
            app.state.session_files = SessionFiles(opened.database, opened.attachments, settings)
            app.state.feedback = Feedback(opened.database, opened.kb, opened.runtime.clock)
            app.state.evaluation = Evaluation.over(opened.database, opened.chat, opened.runtime)
            app.state.raw = RawAnswers(opened.chat.means, opened.chat.limits)
            app.state.search = opened.search
            app.state.templates = Templates(opened.prompts, opened.runtime)
            app.state.catalog = Catalog(settings, opened.gateway, opened.embedders)
            app.state.signon = opened.signon
            app.state.demo = Demo(
                opened.database,
                opened.vault,
                opened.signon,
                opened.guard,
                settings.auth,
                opened.runtime.clock,
                read_passphrase(settings.server.data_dir) if settings.auth.demo else None,
            )
            app.state.wecom = wecom
            app.state.framing = Framing(opened.database)
            async with opened.database.read() as session:
                await warn_of_weak_keys(session, opened.runtime.clock.now())
            watches = (opened.chat.running.watch(), opened.chat.abandoned.watch(), answers.watch())
            watching = [asyncio.create_task(watch) for watch in watches]
            yield
            for watch in watching:
                watch.cancel()
            await answers.close()

    app = FastAPI(
        title="chat2llm",
        version=VERSION,
        description="A knowledge-base RAG server with RSA client tokens.",
        lifespan=lifespan,
        # An address is one or it is not; a redirection would go wherever the Host header says.
        redirect_slashes=False,
        docs_url=None,  # see pages.py
        redoc_url=None,
    )
    app.state.body_limits = BodyLimits(
        json=settings.server.max_json_size,
        form=settings.kb.max_upload_size,
        package=settings.kb.max_package_size,
    )
    install_error_handlers(app, http_200_errors=settings.compat.http_200_errors)
    include_routers(app, settings)
    mount_pages(
        app,
        demo=settings.auth.demo,
        wecom=settings.wecom.client if settings.wecom.corp_id else "",
        file_types=sorted(suffix for suffix in SUFFIXES if can_read(suffix)),
        max_file_size=int(min(settings.kb.max_file_size, settings.kb.max_upload_size)),
    )
    app.add_middleware(Door)
    if settings.server.cors_origins:
        origins = [origin.strip() for origin in settings.server.cors_origins.split(",")]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(RequestContext)
    return app
