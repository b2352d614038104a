"""What there is to tell of an answer: while it is made, it gathers here; what is stored of it is this; and whoever reads
it, now or later, here or by another process, is told from this."""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from server.chat import sources
from server.chat.events import Event, FinalAnswer, Sources, TextDelta, ToolUse, Usage
from server.chat.models import Message
from server.core.errors import AppError
from server.core.logging import request_id


class GrowingText:
    """A text that grows at its end. To have what came last costs what that is long."""

    def __init__(self, text: str = "") -> None:
        self._pieces: list[str] = []
        self._ends: list[int] = []
        self.append(text)

    def __len__(self) -> int:
        """In characters, which are code points."""
        return self._ends[-1] if self._ends else 0

    def __str__(self) -> str:
        return "".join(self._pieces)

    def append(self, piece: str) -> None:
        if piece:
            self._ends.append(len(self) + len(piece))
            self._pieces.append(piece)

    def since(self, start: int) -> str:
        """From the character number `start` on."""
        first = bisect_right(self._ends, start)
        if first == len(self._pieces):
            return ""
        begin = start - (self._ends[first - 1] if first else 0)
        return self._pieces[first][begin:] + "".join(self._pieces[first + 1 :])


@dataclass(slots=True)
class Telling:
    """Everything so far. `changes` counts what is not text."""

    message_id: str
    query: str
    session_id: str | None
    attempt: int
    # What is being done: searching, reading (so many passages), writing, using_tool (so many so far).
    stage: str
    count: int | None = None
    sources: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, int] | None = None
    text: GrowingText = field(default_factory=GrowingText)
    # The text is another than what was told before, and not only longer.
    replaced: bool = False
    state: str = "writing"
    # Why it failed: code, zh, en, request_id.
    error: dict[str, str] | None = None
    # answered, partly, not_found: see `checking.judge`.
    outcome: str = "answered"
    # Sentences that cite, as `Check.to_json` has them; None: not checked.
    checks: list[dict[str, Any]] | None = None
    # Of an answer without sources: what comes nearest, by file name and anchor.
    nearest: list[dict[str, Any]] = field(default_factory=list)
    follow_ups: list[str] = field(default_factory=list)
    changes: int = 0

    @property
    def version(self) -> int:
        """The same number, the same text, but for its length."""
        return 2 * (self.attempt - 1) + self.replaced

    def take(self, event: Event) -> None:
        """One more event of the answer."""
        match event:
            case TextDelta():
                self.text.append(event.text)
                self._enter("writing")
                return
            case Sources():
                self.sources = sources.to_json(event.hits)
                if not self.text:
                    self._enter("reading", len(self.sources))
            case ToolUse():
                self.tools.append(_tool(len(self.tools) + 1, event))
                self._enter("using_tool", len(self.tools))
            case FinalAnswer():
                if event.text != str(self.text):
                    self.text, self.replaced = GrowingText(event.text), True
            case Usage():
                # An agent asks its model several times.
                counted = self.usage or {"prompt_tokens": 0, "completion_tokens": 0}
                self.usage = {
                    "prompt_tokens": counted["prompt_tokens"] + event.prompt_tokens,
                    "completion_tokens": counted["completion_tokens"] + event.completion_tokens,
                }
            case _:
                return
        self.changes += 1

    def fail(self, error: AppError) -> None:
        """What readers are told of it; the state is another matter."""
        told = {"code": error.code, "zh": error.text.zh, "en": error.text.en}
        self.error = told | {"request_id": request_id.get()}

    def _enter(self, stage: str, count: int | None = None) -> None:
        if (stage, count) != (self.stage, self.count):
            self.stage, self.count = stage, count
            self.changes += 1

    @property
    def progress(self) -> dict[str, Any]:
        """What is kept in a column of that name; `told` reads it."""
        return {
            "stage": self.stage,
            "count": self.count,
            "tools": self.tools,
            "usage": self.usage,
            "replaced": self.replaced,
            "error": self.error,
            "checks": self.checks,
            "nearest": self.nearest,
        }


def told(row: Message) -> Telling:
    """What there is to tell of a stored answer."""
    progress = row.progress or {}
    error = progress.get("error")
    if error is None and row.error_code is not None:
        error = {"code": row.error_code, "zh": "回答失败", "en": "the answer failed", "request_id": ""}
    return Telling(
        message_id=row.id,
        query=row.query,
        session_id=row.session_id,
        attempt=row.attempt,
        stage=progress.get("stage") or first_stage(row.chat_type),
        count=progress.get("count"),
        sources=row.sources,
        tools=progress.get("tools") or [],
        usage=progress.get("usage"),
        text=GrowingText(row.response),
        replaced=bool(progress.get("replaced")),
        state=row.state,
        error=error,
        outcome=row.outcome or "answered",
        checks=progress.get("checks"),
        nearest=progress.get("nearest") or [],
        follow_ups=row.follow_ups or [],
    )


def first_stage(mode: str) -> str:
    return "writing" if mode == "llm_chat" else "searching"


def _tool(number: int, use: ToolUse) -> dict[str, Any]:
    return {
        "number": number,
        "name": use.name,
        "title": {"zh": use.title.zh, "en": use.title.en},
        "arguments": use.arguments,
        "output": use.output,
        "failed": use.failed,
    }
