"""From an answer to an HTTP response, in the form that was asked for: SSE, the contract's pieces, or one object."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from server.auth.principal import Principal
from server.chat.deps import Answering
from server.chat.encoders import Events, legacy_stream, legacy_whole, raw_stream, raw_whole, sse_stream
from server.chat.events import Event, Failed
from server.chat.turn import Ask
from server.core.departure import unless_gone
from server.core.sse import EventStream


async def respond(
    request: Request, answering: Answering, caller: Principal, ask: Ask, *, stream: bool
) -> Response:
    """Refuse before the first byte, then answer."""
    turn = await answering.chat.prepare(caller, ask)
    events = answering.chat.answer(turn)
    if answering.sse:
        return _sse(answering, events)
    if stream:
        return EventStream(legacy_stream(events, ask.mode, answering.language), answering.tasks)
    whole = await unless_gone(request, legacy_whole(events, ask.mode, answering.language))
    return _LEFT if whole is None else JSONResponse(whole)


async def respond_raw(request: Request, answering: Answering, events: Events, *, stream: bool) -> Response:
    """An answer as nothing but its text. A failure before the first word is a refusal: text cannot tell it well."""
    if not stream and not answering.sse:
        text = await unless_gone(request, raw_whole(events))
        return _LEFT if text is None else PlainTextResponse(text)
    first = await unless_gone(request, _first(events))
    if first is None:
        return _LEFT
    events = _joined(first, events)
    if answering.sse:
        return _sse(answering, events)
    return EventStream(raw_stream(events, answering.language), answering.tasks)


# Nobody reads it; the number, nginx's, is for the log.
_LEFT = Response(status_code=499)


def _sse(answering: Answering, events: Events) -> EventStream:
    return EventStream(sse_stream(events, answering.language), answering.tasks, heartbeat=answering.heartbeat)


async def _first(events: Events) -> Event:
    """Raises the error of an answer that fails before it begins."""
    event = await anext(events)
    if isinstance(event, Failed):
        await events.aclose()
        raise event.error
    return event


async def _joined(first: Event, rest: Events) -> AsyncGenerator[Event, None]:
    async with aclosing(rest):
        yield first
        async for event in rest:
            yield event
