"""What a conversation so far becomes for a model: whole rounds, user first, alternating, plain text, within a budget.

Pages send what they have: an odd number of messages, rendered HTML, empty answers, other names for the roles. Strict
providers refuse all of that, so it is put right here.
"""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Literal

from server.llm.base import ChatMessage

# One question and its answer.
Round = tuple[str, str]
Given = tuple[Literal["user", "assistant"], str]

_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_CJK = re.compile(r"[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
_BLOCKS = {
    "p",
    "div",
    "br",
    "li",
    "tr",
    "pre",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "ul",
    "ol",
    "table",
    "blockquote",
}


def to_rounds(given: Sequence[Given]) -> list[Round]:
    """Pair questions with answers. A question without an answer, an answer without a question and empty ones are dropped."""
    rounds: list[Round] = []
    question = ""
    for role, content in given:
        text = plain_text(content) if role == "assistant" else content.strip()
        if not text:
            continue
        if role == "user":
            question = text
        elif question:
            rounds.append((question, text))
            question = ""
        elif rounds:
            rounds[-1] = (rounds[-1][0], f"{rounds[-1][1]}\n{text}")
    return rounds


def fit(rounds: Sequence[Round], *, limit: int, budget: int) -> list[ChatMessage]:
    """The newest rounds, at most `limit` of them and at most `budget` tokens, as messages."""
    chosen: list[Round] = []
    for question, answer in reversed(rounds[-limit:] if limit else []):
        budget -= estimate_tokens(question) + estimate_tokens(answer)
        if budget < 0:
            break
        chosen.append((question, answer))
    return [
        message
        for question, answer in reversed(chosen)
        for message in (ChatMessage("user", question), ChatMessage("assistant", answer))
    ]


def estimate_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few: one per Chinese character, one per three others."""
    chinese = len(_CJK.findall(text))
    return chinese + (len(text) - chinese) // 3 + 4


def plain_text(content: str) -> str:
    """The words of an answer that a page sends back as HTML; other text unchanged."""
    if not _TAG.search(content):
        return content.strip()
    reader = _TextReader()
    reader.feed(content)
    reader.close()
    return re.sub(r"\n{3,}", "\n\n", "".join(reader.parts)).strip()


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 (HTMLParser's signature)
        if tag in _BLOCKS and self.parts:
            self.parts.append("\n")
