"""A question as somebody gives it, before it is one of a set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.questions import question_key
from server.evaluation.gold import squeezed

MAX_QUESTION, MAX_ANSWER, MAX_PASSAGE = 1000, 2000, 8000
MAX_FILES, MAX_FILE_NAME, MAX_TAGS, MAX_TAG = 20, 255, 10, 32


@dataclass(frozen=True, slots=True)
class NewQuestion:
    """`answerable` None: it is when anything is said of its answer, and else nobody has said."""

    question: str
    gold_answer: str | None = None
    gold_files: tuple[str, ...] = ()
    gold_passage: str | None = None
    answerable: bool | None = None
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return question_key(self.question)

    def checked(self) -> "NewQuestion":
        """As it is stored. Raises Invalid."""
        question = self.question.strip()
        if not question:
            raise Invalid(Text("缺少问题", "the question is missing"))
        passage, answer = (self.gold_passage or "").strip() or None, (self.gold_answer or "").strip() or None
        texts = (question, answer or "", passage or "", *self.gold_files, *self.tags)
        if any("\0" in text for text in texts):
            raise Invalid(Text("不能有 NUL 字符", "NUL characters are not allowed"))
        _check_lengths(question, answer or "", passage or "")
        _check_list(self.gold_files, MAX_FILES, MAX_FILE_NAME, Text("出处文件", "gold files"))
        _check_list(self.tags, MAX_TAGS, MAX_TAG, Text("标签", "tags"))
        if passage and not squeezed(passage):
            raise Invalid(Text("出处原文里没有文字", "the gold passage has no words"))
        has_gold = bool(answer or passage or self.gold_files)
        if self.answerable is False and has_gold:
            raise Invalid(
                Text(
                    "标为不可回答的问题不能有答案或出处",
                    "what is not answerable has no gold answer, file or passage",
                )
            )
        return replace(
            self,
            question=question,
            gold_answer=answer,
            gold_passage=passage,
            answerable=True if has_gold else self.answerable,
            gold_files=tuple(dict.fromkeys(self.gold_files)),
            tags=tuple(dict.fromkeys(self.tags)),
        )

    def columns(self) -> dict[str, Any]:
        """Those of `GoldQuestion` that it says."""
        return {
            "question": self.question,
            "question_key": self.key,
            "gold_answer": self.gold_answer,
            "gold_files": list(self.gold_files),
            "gold_passage": self.gold_passage,
            "answerable": self.answerable,
            "tags": list(self.tags),
        }


def _check_lengths(question: str, answer: str, passage: str) -> None:
    for text, limit, zh, en in (
        (question, MAX_QUESTION, "问题", "the question"),
        (answer, MAX_ANSWER, "标准答案", "the gold answer"),
        (passage, MAX_PASSAGE, "出处原文", "the gold passage"),
    ):
        if len(text) > limit:
            raise Invalid(Text(f"{zh}超过 {limit} 个字符", f"{en} has more than {limit} characters"))


def _check_list(values: Sequence[str], most: int, longest: int, what: Text) -> None:
    if len(values) > most:
        raise Invalid(Text(f"{what.zh}最多 {most} 个", f"at most {most} {what.en}"))
    if any(len(value) > longest for value in values):
        raise Invalid(
            Text(f"{what.zh}每个最多 {longest} 个字符", f"{what.en} have at most {longest} characters each")
        )
