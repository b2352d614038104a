"""Columns of questions and answers, known by their names: what a file of questions and answers is cut by (chunk_methods/qa.py)."""

from collections.abc import Mapping, Sequence
from typing import Any

from server.kb.loaders.clean import clean_text

_QUESTION = frozenset(
    [
        "question",
        "questions",
        "q",
        "query",
        "prompt",
        "ask",
        "instruction",
        "faq",
        "问题",
        "问",
        "提问",
        "问句",
        "标准问题",
        "标准问",
        "常见问题",
        "用户问题",
        "题目",
        "问题描述",
    ]
)
_ANSWER = frozenset(
    [
        "answer",
        "answers",
        "a",
        "reply",
        "response",
        "completion",
        "output",
        "答案",
        "答",
        "回答",
        "回复",
        "答复",
        "标准答案",
        "标准回答",
        "问题答案",
        "解答",
        "解决方案",
    ]
)
# Characters. An answer that is longer is told by None: a way of cutting that needs it must refuse.
_MAX_QUESTION, MAX_ANSWER = 2000, 20_000


def find_columns(names: Sequence[str]) -> tuple[int, int] | None:
    """Which columns hold questions and which answers; None when not both are there. The first of each counts."""
    plain = [_plain(name) for name in names]
    question = next((place for place, name in enumerate(plain) if name in _QUESTION), None)
    answer = next((place for place, name in enumerate(plain) if name in _ANSWER), None)
    return None if question is None or answer is None else (question, answer)


def _plain(name: str) -> str:
    """A name as the lists have it: of a header of several rows the lowest, without marks around it."""
    return name.rpartition(" / ")[2].strip(" *：:()（）[]【】").casefold()


def pair(cells: Sequence[str], columns: tuple[int, int] | None) -> dict[str, Any]:
    """What the metadata of a row says of its question and its answer."""
    if columns is None:
        return {}
    question, answer = (cells[place] if place < len(cells) else "" for place in columns)
    answer = clean_text(answer).strip()
    told = " ".join(clean_text(question).split())[:_MAX_QUESTION]
    return {"qa": [told, answer if len(answer) <= MAX_ANSWER else None]}


def pair_of(members: Mapping[str, str]) -> dict[str, Any]:
    """The same of an object's members."""
    return pair(list(members.values()), find_columns(list(members)))
