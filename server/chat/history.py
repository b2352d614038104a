"""What a conversation so far becomes for a model: whole rounds, user first, alternating, plain text, within a budget.

Pages send what they have: an odd number of messages, rendered HTML, empty answers, other names for the roles. Strict
providers refuse all of that, so it is put right here.
"""

import html
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

from server.llm.base import ChatMessage

# One question and its answer.
Round = tuple[str, str]
Given = tuple[Literal["user", "assistant"], str]

# Each of these looks at a character a bounded number of times: what a page sends may be built to keep a parser busy.
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_BLOCK = re.compile(r"<(?:p|div|br|li|tr|pre|h[1-6]|ul|ol|table|blockquote)(?=[\s/>])[^<>]*>", re.I)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_CJK = re.compile(r"[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+")


def to_rounds(given: Sequence[Given], limit: int) -> list[Round]:
    """Pair questions with answers, the newest `limit` rounds, oldest of them first.

    A question without an answer, an answer without a question and empty ones are dropped. May take tens of
    milliseconds for megabytes.
    """
    return list(islice(_newest_first(given), limit))[::-1]


def _newest_first(given: Sequence[Given]) -> Iterator[Round]:
    answers: list[str] = []
    for role, content in reversed(given):
        text = plain_text(content) if role == "assistant" else content.strip()
        if not text:
            continue
        if role == "assistant":
            answers.append(text)
        elif answers:
            yield text, "\n".join(reversed(answers))
            answers = []


def fit(rounds: Sequence[Round], budget: int) -> list[ChatMessage]:
    """The newest of these rounds that take at most `budget` tokens together, as messages."""
    chosen: list[Round] = []
    for question, answer in reversed(rounds):
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
    chinese = len(text) - len(_CJK.sub("", text))
    return chinese + (len(text) - chinese) // 3 + 4


def plain_text(content: str) -> str:
    """The words of an answer that a page sends back as HTML; other text unchanged."""
    if not _TAG.search(content):
        return content.strip()
    text = _TAG.sub("", _BLOCK.sub("\n", _without_comments(content)))
    text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _without_comments(content: str) -> str:
    """One that is never closed goes on to the next, or to the end."""
    head, *rest = content.split("<!--")
    return head + "".join(part.partition("-->")[2] for part in rest)
