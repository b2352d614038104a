"""HTTP: answers that go on whether or not somebody reads them, and that can be read again from any place."""

import json
from contextlib import aclosing
from typing import Annotated, Any, cast

from fastapi import Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from server.auth.deps import Chatter
from server.auth.principal import Principal
from server.chat import sources
from server.chat.answer_schemas import (
    AnswerOut,
    AnswerState,
    AskAnswer,
    CheckOut,
    PassageOut,
    PlaceOut,
    SourceOut,
)
from server.chat.answers import Answers
from server.chat.deps import Answering, AnswersDep, ShownDep
from server.chat.reading import Position, Reader
from server.chat.schemas import Id32
from server.chat.turn import Ask
from server.core.http import Envelope, Lang, new_router
from server.core.sse import EventStream, Stream
from server.search.engines import SearchEngines

router = new_router(tags=["Answers"])
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {}}}
}
# What `EventSource` sends by itself, and the same for whoever cannot set headers.
LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=32)]

SourceNumber = Annotated[int, Path(ge=1, le=1000)]


@router.post("/chat/answers", status_code=202)
async def begin_answer(
    caller: Chatter, answers: AnswersDep, request: Request, response: Response, body: AskAnswer
) -> Envelope[AnswerState]:
    """Begin an answer: 202. The same `message_id` again: 200, and how it stands. 409 `answer_running`: `regenerate` of one
    that is being written."""
    engine = body.search_engine_name
    if engine is None and body.mode == "search_engine_chat":
        engine = next(iter(cast("SearchEngines", request.app.state.search).names()), "")
    begun = await answers.begin(caller, _ask(body, engine or ""))
    response.status_code = 202 if begun.is_new else 200
    return Envelope(
        code=response.status_code, data=AnswerState(message_id=begun.message_id, state=begun.state)
    )


@router.get("/chat/answers/{message_id}")
async def get_answer(
    caller: Chatter, answers: AnswersDep, language: Lang, message_id: Id32
) -> Envelope[AnswerOut]:
    """An answer as far as it has come."""
    message, told = await answers.look(caller, message_id)
    return Envelope(
        data=AnswerOut(
            message_id=message.id,
            session_id=message.session_id,
            query=message.query,
            response=str(told.text),
            state=message.state,
            outcome=message.outcome,
            error_code=message.error_code,
            sources=[SourceOut(**source) for source in sources.tell(told.sources or [], language)],
            checks=[CheckOut(**check) for check in told.checks or []],
            nearest=[PlaceOut(**place) for place in sources.tell_places(told.nearest, language)],
            follow_ups=told.follow_ups,
            feedback_score=message.feedback_score,
            create_time=message.created_at,
        )
    )


@router.get("/chat/answers/{message_id}/events", response_class=StreamingResponse, responses=_EVENTS)
async def read_answer(
    caller: Chatter,
    answers: AnswersDep,
    answering: Answering,
    message_id: Id32,
    last_id: LastId = None,
    after: Annotated[str | None, Query(max_length=32)] = None,
) -> StreamingResponse:
    """Read an answer, from the beginning or after the last `id` that arrived (`Last-Event-ID`, or `after`), to its end.

    `started`, `status`, `sources`, `tool`, `delta`, `replace` (the text is another), `usage`; `finished`, `failed` or `cut`.
    """
    await answers.find(caller, message_id)
    has = last_id or after
    reader = Reader(answering.language, Position.read(has) if has else None)
    events = _frames(answers, caller, message_id, reader)
    return EventStream(events, answering.tasks, heartbeat=answering.heartbeat)


@router.get("/chat/answers/{message_id}/sources/{number}")
async def get_source(
    caller: Chatter,
    answers: AnswersDep,
    shown: ShownDep,
    language: Lang,
    message_id: Id32,
    number: SourceNumber,
) -> Envelope[PassageOut]:
    """What the `[n]` of an answer points to, as it is now, with its neighbours and what of it the answer quotes."""
    _, told = await answers.look(caller, message_id)
    passage = await shown.find(caller, told, number, language)
    return Envelope(data=PassageOut(**passage))


@router.post("/chat/answers/{message_id}/stop")
async def stop_answer(caller: Chatter, answers: AnswersDep, message_id: Id32) -> Envelope[AnswerState]:
    """End an answer; what was said is kept. One that has ended stays as it is."""
    message = await answers.stop(caller, message_id)
    return Envelope(data=AnswerState(message_id=message.id, state=message.state))


async def _frames(answers: Answers, caller: Principal, message_id: str, reader: Reader) -> Stream:
    async with aclosing(answers.follow(caller, message_id, reader)) as frames:
        async for frame in frames:
            data = json.dumps(frame.data, ensure_ascii=False)
            yield format_sse_event(data_str=data, event=frame.event, id=frame.id)


def _ask(body: AskAnswer, engine: str) -> Ask:
    return Ask(
        query=body.query,
        mode=body.mode,
        knowledge_base_name=body.knowledge_base_name or "",
        other_knowledge_bases=tuple(body.other_knowledge_bases),
        session_id=body.session_id,
        session_is_new=body.session_is_new,
        message_id=body.message_id,
        history=None,
        history_count=body.history_count,
        model_name=body.model_name,
        prompt_name=body.prompt_name,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        top_k=body.top_k,
        score_threshold=body.score_threshold,
        filters=body.filters.wanted if body.filters else None,
        search_engine_name=engine,
        again=body.regenerate,
    )
