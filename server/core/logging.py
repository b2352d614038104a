"""One place that configures logging. Everywhere else: `log = logging.getLogger(__name__)`, a short event, fields in
`extra`. Never logged: tokens, keys, questions, answers, text of documents."""

import json
import logging
import re
import sys
from contextvars import ContextVar
from typing import Literal

request_id: ContextVar[str] = ContextVar("request_id", default="-")
caller_of_request: ContextVar[str] = ContextVar("caller_of_request", default="-")

# What every LogRecord has; the rest came in by `extra`.
_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", "request_id", "caller", "taskName"),
    "color_message",  # uvicorn's own message again, with colours
}


# A word or an id of this server's; secrets are longer, of both cases, or begin as ours do.
_HARMLESS = re.compile(r"(?!sk-|st_|tk_)(?:[a-z0-9_.-]{1,40}|[A-Za-z0-9_.-]{1,16})")


def loggable_path(path: str) -> str:
    """A request's path without what may be a secret or somebody's words, put there by mistake."""
    parts = path.split("/")
    return "/".join(part if not part or _HARMLESS.fullmatch(part) else "***" for part in parts)


class _ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        record.caller = caller_of_request.get()
        return True


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class TextFormatter(logging.Formatter):
    """One line a record: time, level, logger, event, key=value …"""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{key}={value}" for key, value in _extra(record).items())
        context = "" if record.__dict__["request_id"] == "-" else f" [{record.__dict__['request_id']}]"
        line = f"{self.formatTime(record)} {record.levelname:<7} {record.name}{context} {record.getMessage()} {fields}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JSONFormatter(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            "request_id": record.__dict__["request_id"],
            "caller": record.__dict__["caller"],
            **_extra(record),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def configure_logging(level: str, style: Literal["text", "json"]) -> None:
    """Send every log record to stderr. Called once per process, by its entry point."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if style == "json" else TextFormatter())
    handler.addFilter(_ContextFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Chatty at INFO, and some of it would show addresses with keys in them.
    for name in (
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "openai",
        "sqlalchemy",
        "alembic",
        "aiosqlite",
        "faiss.loader",
        "uvicorn.access",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
