"""HTTP: sessions, their history, and what people think of answers."""

import json
import re
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from server.auth.deps import Chatter, Editor
from server.auth.principal import Principal
from server.chat import sources
from server.chat.answer_schemas import CheckOut, PlaceOut, SourceOut
from server.chat.deps import FeedbackDep, SessionsDep
from server.chat.export import render_head, render_messages
from server.chat.failures import describe_failure
from server.chat.feedback import Report
from server.chat.models import Message, Session
from server.chat.schemas import Id32
from server.chat.session_schemas import (
    FeedbackReport,
    GiveFeedback,
    LatestMessages,
    MessageOut,
    PinSession,
    RatedAnswer,
    SaveSession,
    SessionFilter,
    SessionList,
    SessionOut,
)
from server.chat.sessions import Listed, Sessions, Wanted
from server.core.bare import read_bare
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language, Text
from server.core.mended_json import mend, mend_text
from server.core.pagination import PageParams
from server.core.sse import Stream

router = new_router(tags=["Session Management"])
history_router = new_router(tags=["History Management"])
feedback_router = new_router(tags=["Chat"])

# FastAPI sees no body where a dependency reads it.
_BARE_ID = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "string", "title": "session_id"}},
            "text/plain": {"schema": {"type": "string"}},
        },
    }
}


async def _bare_id(request: Request) -> str:
    return await read_bare(request, "session_id")


BareId = Annotated[str, Depends(_bare_id)]


@router.get("/session/list")
async def list_sessions(
    caller: Chatter, sessions: SessionsDep, wanted: Annotated[SessionFilter, Query()]
) -> SessionList:
    """The caller's sessions, the newest first."""
    offset, limit = wanted.window
    found, total = await sessions.list_all(
        caller, Wanted(wanted.q.strip(), wanted.pinned_first, offset, limit)
    )
    return SessionList(data=[_session_out(one) for one in found], total=total)


@router.post("/session/save")
async def save_session(caller: Chatter, sessions: SessionsDep, body: SaveSession) -> Envelope[bool]:
    """Keep a session, rename it, change what it keeps."""
    await sessions.save(caller, body.session_id, body.session_name, body.mode, body.param)
    return Envelope(data=True)


@router.post("/session/pin")
async def pin_session(caller: Chatter, sessions: SessionsDep, body: PinSession) -> Envelope[bool]:
    """Keep a session at the top of lists that ask for `pinned_first`, or let it go."""
    await sessions.pin(caller, body.session_id, pinned=body.pinned)
    return Envelope(data=body.pinned)


@router.post("/session/delete", openapi_extra=_BARE_ID)
async def delete_session(caller: Chatter, sessions: SessionsDep, session_id: BareId) -> Envelope[bool]:
    """The body is the id: a JSON string, raw text, or `{"session_id": …}`. Its messages go with it."""
    await sessions.delete(caller, session_id)
    return Envelope(data=True)


@router.get(
    "/session/export", response_class=StreamingResponse, responses={200: {"content": {"text/markdown": {}}}}
)
async def export_session(
    caller: Chatter, sessions: SessionsDep, language: Lang, session_id: Annotated[Id32, Query()]
) -> StreamingResponse:
    """The whole conversation as a Markdown file."""
    row = await sessions.open(caller, session_id)
    name = re.sub(r'[\s/\\:*?"<>|\x00-\x1f]+', " ", row.name).strip(" .") or row.id
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.md",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    body = _markdown(sessions, caller, row, language)
    return StreamingResponse(body, media_type="text/markdown; charset=utf-8", headers=headers)


async def _markdown(sessions: Sessions, caller: Principal, row: Session, language: Language) -> Stream:
    yield render_head(row, language).encode("utf-8", "replace")
    number = 1
    async for messages in sessions.messages(caller, row):
        yield render_messages(messages, number, language).encode("utf-8", "replace")
        number += len(messages)


@history_router.post("/history/latest")
async def latest_messages(
    caller: Chatter, sessions: SessionsDep, body: LatestMessages, language: Lang
) -> Envelope[list[MessageOut]]:
    """The last questions and answers of a session, or those before one of them; the newest first."""
    rows = await sessions.latest(caller, body.session_id, body.num, body.chat_id)
    return Envelope(data=[_message_out(row, language) for row in rows])


@feedback_router.post("/chat/feedback")
async def give_feedback(
    caller: Chatter, feedback: FeedbackDep, body: GiveFeedback, language: Lang
) -> Envelope[None]:
    """Rate an answer to one's own question."""
    await feedback.give(caller, body.chat_history_id, body.score, body.reason)
    number = body.chat_history_id
    words = Text(f"已反馈聊天记录 {number}", f"feedback on message {number} taken")
    return Envelope(msg=words.in_language(language), data=None)


@feedback_router.get("/chat/feedback/report")
async def report_feedback(
    caller: Editor,
    feedback: FeedbackDep,
    paging: Annotated[PageParams, Query()],
    knowledge_base_name: str | None = None,
) -> Envelope[FeedbackReport]:
    """How the client's people rate answers: of one knowledge base, of none (`knowledge_base_name=`), or all."""
    report = await feedback.report(caller, knowledge_base_name, offset=paging.offset, limit=paging.page_size)
    return Envelope(data=_report_out(report, knowledge_base_name))


def _session_out(listed: Listed) -> SessionOut:
    row = listed.session
    return SessionOut(
        session_id=row.id,
        session_name=row.name,
        mode=row.mode,
        param=_json(row.param),
        create_time=row.created_at,
        pinned=row.pinned_at is not None,
        snippet=listed.snippet,
    )


def _json(value: Any) -> str:
    """As it was stored; where a browser could not read that, mended: one odd row must not hide the others."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, RecursionError):
        return json.dumps(mend(value), ensure_ascii=False)
    return text


def _message_out(row: Message, language: Language) -> MessageOut:
    return MessageOut(
        id=row.id,
        query=row.query,
        response=_shown_response(row, language),
        docs=[mend_text(doc) for doc in row.docs],
        create_time=row.created_at,
        state=row.state,
        error_code=row.error_code,
        feedback_score=row.feedback_score,
        outcome=row.outcome,
        sources=[SourceOut(**source) for source in sources.tell(row.sources or [], language)],
        checks=[CheckOut(**check) for check in (row.progress or {}).get("checks") or []],
        nearest=[
            PlaceOut(**place)
            for place in sources.tell_places((row.progress or {}).get("nearest") or [], language)
        ],
        follow_ups=row.follow_ups or [],
    )


def _shown_response(row: Message, language: Language) -> str:
    """Of an answer that failed before its first word, why: pages of chat2llm know no states and show this alone."""
    if row.state == "failed" and not row.response.strip():
        return f"【{describe_failure(row.error_code, row.model).in_language(language)}】"
    return row.response


def _report_out(report: Report, kb_name: str | None) -> FeedbackReport:
    reasons = [
        RatedAnswer(
            query=row.query,
            response=row.response,
            score=row.feedback_score or 0,
            reason=row.feedback_reason,
            time=row.feedback_at or row.created_at,
        )
        for row in report.reasons
    ]
    return FeedbackReport(
        knowledge_base_name=kb_name,
        answers=report.answers,
        rated=report.rated,
        good=report.good,
        mean_score=report.mean,
        reasons=reasons,
        total_reasons=report.total_reasons,
    )
