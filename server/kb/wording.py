"""Words that say the same in one knowledge base, for one question. All texts here are folded (core.chinese.fold)."""

import re
from collections.abc import Sequence

_EDGE = re.compile(r"[a-z0-9]")


class SameWords:
    """What stands for words of a question: `others`, each with the question's own word."""

    def __init__(self, question: str, groups: Sequence[Sequence[str]]) -> None:
        """`groups`: of words that say the same."""
        self.others: dict[str, str] = {}
        for group in groups:
            asked = [word for word in group if word and is_said(word, question)]
            # The longest is the one that was meant: 年休假 holds 休假.
            for other in group if asked else ():
                if other and other not in asked:
                    self.others.setdefault(other, max(asked, key=len))
        longest_first = sorted(self.others, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_whole, longest_first))) if longest_first else None

    def translate(self, text: str) -> str:
        """A text in the question's words."""
        return self._pattern.sub(lambda found: self.others[found.group()], text) if self._pattern else text

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the others stand."""
        return [found.span() for found in self._pattern.finditer(text)] if self._pattern else []


def is_said(word: str, text: str) -> bool:
    """Thousands of words may be looked for, and few of them be there: those alone are worth a pattern."""
    return word in text and re.search(_whole(word), text) is not None


def without(word: str, text: str) -> str:
    """The text with a space where the word stands."""
    return re.sub(_whole(word), " ", text) if word and word in text else text


def _whole(word: str) -> str:
    """A pattern for a word; letters and digits are no part of a longer word."""
    before = "(?<![a-z0-9])" if _EDGE.match(word[0]) else ""
    after = "(?![a-z0-9])" if _EDGE.match(word[-1]) else ""
    return before + re.escape(word) + after
