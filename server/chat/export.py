"""A conversation as Markdown, for people to keep."""

import re
from collections.abc import Sequence

from server.chat.models import Message, Session
from server.core.i18n import Language, Text

_UNFINISHED = {
    "cut": Text("（回答中断，以下是已说的部分）", "(the answer was cut; this is what had been said)"),
    "failed": Text("（回答失败，以下是已说的部分）", "(the answer failed; this is what had been said)"),
    "writing": Text("（还在回答）", "(still being answered)"),
}
_SOURCES = Text("出处", "Sources")
_MODE, _BEGUN = Text("模式", "Mode"), Text("开始于", "Begun")
# What a Markdown line would take for more than words.
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|])")


def render_head(row: Session, language: Language) -> str:
    title = _SPECIAL.sub(r"\\\1", " ".join(row.name.split())) or row.id
    mode, begun = _MODE.in_language(language), _BEGUN.in_language(language)
    return f"# {title}\n\n- {mode}: {row.mode}\n- {begun}: {row.created_at:%Y-%m-%d %H:%M:%S} UTC\n"


def render_messages(messages: Sequence[Message], first: int, language: Language) -> str:
    """Each question as a heading's quotation, its answer as it was said, its citations as a list; numbered from `first`."""
    return "".join(_render(number, message, language) for number, message in enumerate(messages, start=first))


def _render(number: int, message: Message, language: Language) -> str:
    parts = [f"\n## {number} · {message.created_at:%Y-%m-%d %H:%M:%S}", _quoted(message.query)]
    if message.state in _UNFINISHED:
        parts.append(f"*{_UNFINISHED[message.state].in_language(language)}*")
    if message.response:
        parts.append(message.response.strip())
    if message.docs:
        parts.append(f"### {_SOURCES.in_language(language)}")
        parts += [_item(doc) for doc in message.docs]
    return "\n\n".join(parts) + "\n"


def _quoted(text: str) -> str:
    """Whatever people wrote stays inside the quotation."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _item(doc: str) -> str:
    head, *rest = doc.strip().splitlines() or [""]
    return "\n".join([f"- {head}", *(f"  {line}".rstrip() for line in rest)])
