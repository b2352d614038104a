"""Conversations from a chat2llm of old."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from server.chat.models import Message, Session
from server.cli.old_database import Row, json_of, number_of, text_of, time_of
from server.cli.taking import Taking


class Chats:
    """Takes sessions first, then messages."""

    def __init__(self, taking: Taking) -> None:
        self._taking, self._report = taking, taking.report
        self._refused: set[str] = set()
        # The time of a conversation's last message: chat2llm kept whole seconds only.
        self._last: dict[str, datetime] = {}

    async def session(self, session: AsyncSession, row: Row) -> None:
        session_id = text_of(row.get("id"))
        if not await self._take_session(session, row, session_id):
            self._refused.add(session_id)

    async def _take_session(self, session: AsyncSession, row: Row, session_id: str) -> bool:
        client_id, user_id = text_of(row.get("client_id")), text_of(row.get("user_id"), 64)
        known = await session.get(Session, session_id) if session_id else None
        if not 1 <= len(session_id) <= 32:
            self._report.refuse("sessions", session_id, "a session's id has 1 to 32 characters")
        elif client_id not in self._taking.clients:
            self._report.refuse("sessions", session_id, f"client {client_id} was not taken")
        elif known is not None and (known.client_id, known.user_id) != (client_id, user_id):
            self._report.refuse("sessions", session_id, "somebody else has a session with this id")
        elif known is not None:
            self._report.count("sessions", "there already")
            return True
        else:
            param = json_of(row.get("param"))
            fresh = Session(
                id=session_id,
                client_id=client_id,
                user_id=user_id,
                name=text_of(row.get("session_name"), 20),
                mode=text_of(row.get("mode"), 20),
                param=param if isinstance(param, dict) else {},
                created_at=time_of(row.get("create_time"), self._taking.now),
            )
            return await self._taking.insert(session, "sessions", session_id, fresh)
        return False

    async def message(self, session: AsyncSession, row: Row) -> None:
        message_id, session_id = text_of(row.get("id")), text_of(row.get("session_id"))
        owner = await session.get(Session, session_id) if session_id else None
        known = await session.get(Message, message_id) if message_id else None
        if session_id in self._refused:
            self._report.refuse("messages", message_id, f"its session {session_id} was not taken")
        elif owner is None or owner.client_id not in self._taking.clients:
            # Pages of old saved a session when they were left: what was said before that is in no list of anybody's.
            self._report.count("messages", "left out, as they are of no session and so nobody's")
        elif not 1 <= len(message_id) <= 32:
            self._report.refuse("messages", message_id, "a message's id has 1 to 32 characters")
        elif known is None:
            await self._taking.insert(
                session, "messages", message_id, self._make_message(row, owner, message_id)
            )
        elif (known.session_id, known.client_id) == (session_id, owner.client_id):
            self._last[owner.id] = max(known.created_at, self._last.get(owner.id, known.created_at))
            self._report.count("messages", "there already")
        else:
            self._report.refuse("messages", message_id, "somebody else has a message with this id")

    def _make_message(self, row: Row, owner: Session, message_id: str) -> Message:
        docs, response = json_of(row.get("docs")), text_of(row.get("response"))
        created = time_of(row.get("create_time"), self._taking.now)
        last = self._last.get(owner.id)
        # In the order in which they were written, also within a second.
        self._last[owner.id] = created if last is None or created > last else last + timedelta(microseconds=1)
        score = number_of(row.get("feedback_score"), -1)
        values: dict[str, Any] = {
            "id": message_id,
            "client_id": owner.client_id,
            "user_id": owner.user_id,
            "session_id": owner.id,
            "chat_type": text_of(row.get("chat_type"), 50) or "llm_chat",
            "model": "",
            "query": text_of(row.get("query")),
            "response": response,
            "docs": [text_of(doc) for doc in docs] if isinstance(docs, list) else [],
            "trace": {},
            # chat2llm wrote the question first, and nothing more when the answer failed.
            "state": "done" if response else "cut",
            "created_at": self._last[owner.id],
        }
        if 0 <= score <= 100:
            values |= {
                "feedback_score": score,
                "feedback_reason": text_of(row.get("feedback_reason"), 255),
                "feedback_at": self._last[owner.id],
            }
        return Message(**values)
