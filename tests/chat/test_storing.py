"""A whole answer is stored although the database is held just then; if it cannot be, its reader is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from server.auth.principal import Principal
from server.chat.encoders import legacy_stream, legacy_whole, sse_stream
from server.chat.models import Message
from server.chat.service import ChatService
from server.chat.turn import Ask
from server.core.settings import DatabaseSettings
from server.db.session import Database
from server.services import Services
from tests.conftest import Callers
from tests.support.api import Caller, objects, sse_events

CALLER = Principal("acme", "u1", "", frozenset())
QUESTION = "年假有几天？"
ANSWER = f"你问的是：{QUESTION}"


@pytest.fixture
def environ() -> dict[str, str]:
    return {"DATABASE__LOCK_TIMEOUT": "1s"}


@pytest.fixture
def chat(services: Services, callers: Callers) -> ChatService:
    """Gives up at the second try."""
    return ChatService(
        services.database, services.chat.means, services.runtime, services.settings.chat, pauses=(0.1,)
    )


@asynccontextmanager
async def _held(url: str, message_id: str) -> AsyncIterator[None]:
    """Somebody else holds what an answer must write: the row, or SQLite's one lock."""
    database = Database(url, DatabaseSettings(lock_timeout=timedelta(seconds=5)))
    try:
        async with database.write() as session:
            await session.scalar(select(Message.id).where(Message.id == message_id).with_for_update())
            yield
    finally:
        await database.close()


async def _message(services: Services) -> Message:
    async with services.database.read() as session:
        return (await session.scalars(select(Message))).one()


async def test_an_answer_is_stored_when_the_database_is_free_again(
    services: Services, callers: Callers, database_url: str
) -> None:
    turn = await services.chat.prepare(CALLER, Ask(QUESTION, "llm_chat", model_name="echo"))
    async with _held(database_url, turn.message_id):
        answering = asyncio.ensure_future(legacy_whole(services.chat.answer(turn), "llm_chat", "zh"))
        await asyncio.sleep(2.2)  # one try has failed by now
        assert not answering.done()
    assert (await answering)["text"] == ANSWER
    message = await _message(services)
    assert (message.state, message.response) == ("done", ANSWER)


@pytest.mark.parametrize("form", ["whole", "stream", "sse"])
async def test_a_reader_is_told_that_the_answer_is_not_stored(
    chat: ChatService, services: Services, database_url: str, form: str
) -> None:
    turn = await chat.prepare(CALLER, Ask(QUESTION, "llm_chat", model_name="echo"))
    events = chat.answer(turn)
    async with _held(database_url, turn.message_id):
        if form == "whole":
            whole = await legacy_whole(events, "llm_chat", "zh")
            assert whole["text"].startswith(ANSWER)
            error, text = whole["error"], whole["text"]
        elif form == "stream":
            told = objects(
                b"".join([part async for part in legacy_stream(events, "llm_chat", "zh")]).decode()
            )
            text = "".join(part["text"] for part in told)
            error = told[-1]["error"]
        else:
            sent = [_bytes(part) async for part in sse_stream(events, "zh")]
            told_events = sse_events(b"".join(sent).decode())
            text = "".join(data.get("text", "") for _, data in told_events)
            assert "finished" not in dict(told_events)
            error = dict(told_events)["failed"]["error"]
    assert text.startswith(ANSWER)
    assert error["code"] == "answer_not_stored"
    assert (await _message(services)).state == "writing"


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else part.encode()


async def test_a_reader_does_not_wait_for_long(
    services: Services, callers: Callers, editor: Caller, database_url: str
) -> None:
    """The citations come before the wait, and after the wait the answer is stored nevertheless."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    chat = ChatService(
        services.database,
        services.chat.means,
        services.runtime,
        services.settings.chat,
        pauses=(0.1,) * 20,
        patience=4,
    )
    turn = await chat.prepare(
        CALLER, Ask(QUESTION, "knowledge_base_chat", knowledge_base_name="kb", model_name="quote")
    )
    stream = legacy_stream(chat.answer(turn), "knowledge_base_chat", "zh")
    async with _held(database_url, turn.message_id):
        async with asyncio.timeout(3.9):
            async for part in stream:
                (told,) = objects(_bytes(part).decode())
                if "docs" in told:
                    break
        assert "a.txt" in told["docs"][0]
        async with asyncio.timeout(15):
            (last,) = objects(b"".join([_bytes(part) async for part in stream]).decode())
        assert last["error"]["code"] == "answer_not_stored"
    await services.runtime.tasks.drain()
    message = await _message(services)
    assert (message.state, message.error_code) == ("done", None)


async def test_the_end_of_the_process_waits_for_one_more_try(
    services: Services, callers: Callers, database_url: str
) -> None:
    ask = Ask(QUESTION, "llm_chat", model_name="echo")
    chat = ChatService(
        services.database, services.chat.means, services.runtime, services.settings.chat, pauses=(600,)
    )
    turn = await chat.prepare(CALLER, ask)
    async with _held(database_url, turn.message_id):
        answering = asyncio.ensure_future(legacy_whole(chat.answer(turn), "llm_chat", "zh"))
        await asyncio.sleep(2.2)
    async with asyncio.timeout(30):
        await services.runtime.tasks.drain()
        assert "error" not in await answering
    assert (await _message(services)).state == "done"
