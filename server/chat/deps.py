"""What the routes of the chat take from the application and from the request's headers."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from server.chat.answers import Answers
from server.chat.feedback import Feedback
from server.chat.raw import RawAnswers
from server.chat.service import ChatService
from server.chat.session_files import SessionFiles
from server.chat.sessions import Sessions
from server.chat.shown import ShownSources
from server.core.i18n import Language, negotiate
from server.core.settings import Settings
from server.core.tasks import BackgroundTasks


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """The service, and how this request wants its answer."""

    chat: ChatService
    raw: RawAnswers
    max_query_chars: int
    tasks: BackgroundTasks
    language: Language
    # `Accept` names text/event-stream: real server-sent events instead of the contract's objects.
    sse: bool
    # Seconds of silence before a sign of life.
    heartbeat: float


async def _context(request: Request) -> AnswerContext:
    state = request.app.state
    return AnswerContext(
        chat=cast("ChatService", state.chat),
        raw=cast("RawAnswers", state.raw),
        max_query_chars=cast("Settings", state.settings).chat.max_query_chars,
        tasks=cast("BackgroundTasks", state.tasks),
        language=negotiate(request.headers.get("accept-language")),
        sse="text/event-stream" in request.headers.get("accept", ""),
        heartbeat=cast("Settings", state.settings).chat.heartbeat.total_seconds(),
    )


async def _answers(request: Request) -> Answers:
    return cast("Answers", request.app.state.answers)


async def _shown(request: Request) -> ShownSources:
    return cast("ShownSources", request.app.state.shown)


async def _sessions(request: Request) -> Sessions:
    return cast("Sessions", request.app.state.sessions)


async def _session_files(request: Request) -> SessionFiles:
    return cast("SessionFiles", request.app.state.session_files)


async def _feedback(request: Request) -> Feedback:
    return cast("Feedback", request.app.state.feedback)


SessionsDep = Annotated[Sessions, Depends(_sessions)]
AnswersDep = Annotated[Answers, Depends(_answers)]
ShownDep = Annotated[ShownSources, Depends(_shown)]
SessionFilesDep = Annotated[SessionFiles, Depends(_session_files)]
FeedbackDep = Annotated[Feedback, Depends(_feedback)]
Answering = Annotated[AnswerContext, Depends(_context)]
