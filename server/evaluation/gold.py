"""What a question should find and be told, and whether it was: by file names and by words, which outlive every re-chunking."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Protocol

from server.core.chinese import fold
from server.kb.files import name_key

# What stands between several accepted answers; rows of tables have single ones.
SEPARATOR = "||"
# Characters in a row by which two passages are compared, and the share of them that must be the same: documents that are
# cut anew cut a gold passage too, and one of its halves is still it.
_GRAM, _SHARE = 6, 0.4
# A chunk that lies within a long gold passage: so much of the chunk must be the passage's, and so long must it be.
_WITHIN, _LEAST = 0.8, 20
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# What ties digits to one number, what keeps two numbers or two Latin words apart, and what says nothing.
_TIE, _GAP, _IGNORED = r"(?<=\d)[.:/-](?=\d)", r"(?<=[a-z\d])[\W_]+(?=[a-z\d])", r"[\W_]+"
_MARKS = re.compile(f"({_TIE})|({_GAP})|{_IGNORED}")
_CITED = re.compile(r"\[(\d{1,3})\]")


class Found(Protocol):
    """A hit, as far as it matters here."""

    @property
    def file_name(self) -> str: ...
    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class Asked:
    """A question of a set, with its gold, as it stood when a run began. `answerable` None: nobody has said."""

    question: str
    gold_answer: str | None = None
    gold_files: tuple[str, ...] = ()
    gold_passage: str | None = None
    answerable: bool | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Asked":
        files, tags = tuple(kept["gold_files"]), tuple(kept["tags"])
        return cls(**(kept | {"gold_files": files, "tags": tags}))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def has_place(self) -> bool:
        """Is it said where the answer stands?"""
        return self.answerable is not False and bool(self.gold_files or self.gold_passage)

    @property
    def has_words(self) -> bool:
        """Is it said what a right answer says?"""
        return self.answerable is not False and bool(self.gold_answer)

    @cached_property
    def _keys(self) -> list[str]:
        return [name_key(name) for name in self.gold_files]

    @cached_property
    def _passage(self) -> str:
        return squeezed(self.gold_passage or "")

    def items(self, hit: Found) -> set[int]:
        """Which of the things that should be found this is: the gold passage (in one of the gold files, if any is named) is
        the one thing; without a passage each gold file is one."""
        key = name_key(hit.file_name)
        if self._passage:
            is_there = not self._keys or key in self._keys
            return {0} if is_there and is_same_passage(self._passage, squeezed(hit.text)) else set()
        return {number for number, gold in enumerate(self._keys) if gold == key}

    def ranks(self, hits: Sequence[Found]) -> list[int | None]:
        """Of each thing that should be found, the rank (from 1) of the first hit that has it."""
        count = 0 if not self.has_place else 1 if self._passage else len(self._keys)
        ranks: list[int | None] = [None] * count
        for rank, hit in enumerate(hits, start=1):
            for item in self.items(hit):
                if item < count and ranks[item] is None:
                    ranks[item] = rank
        return ranks

    def is_in(self, answer: str) -> bool:
        """Does the answer say one of the accepted ones?"""
        told = squeezed(_CITED.sub("", answer))
        return any(
            _stands_in(squeezed(one), told)
            for one in (self.gold_answer or "").split(SEPARATOR)
            if one.strip()
        )


def squeezed(text: str) -> str:
    """For comparing: one script, width and case, without what is neither letter nor digit; numbers and Latin words stay apart."""
    folded = _THOUSANDS.sub("", fold(text))
    return _MARKS.sub(lambda found: found[1] or (" " if found[2] else ""), folded)


def is_same_passage(gold: str, text: str) -> bool:
    """Do two squeezed passages say the same, though they may be cut at other places?"""
    if not gold or not text:
        return False
    if gold in text:
        return True
    if len(gold) < 2 * _GRAM:
        return False
    wanted, there = _grams(gold), _grams(text)
    common = len(wanted & there)
    return common >= _SHARE * len(wanted) or (len(text) >= _LEAST and common >= _WITHIN * len(there))


def _grams(text: str) -> set[str]:
    return {text[start : start + _GRAM] for start in range(max(1, len(text) - _GRAM + 1))}


def _stands_in(words: str, text: str) -> bool:
    """Not within a longer number or a longer Latin word: 5 days are not 15."""
    if not words:
        return False
    start = text.find(words)
    while start >= 0:
        end = start + len(words)
        if not (_goes_on(text[start - 1 : start], words[0]) or _goes_on(words[-1], text[end : end + 1])):
            return True
        start = text.find(words, start + 1)
    return False


def _goes_on(one: str, other: str) -> bool:
    """Are these two neighbours parts of one number or one Latin word?"""
    if not one or not other:
        return False
    if one.isdigit() or other.isdigit():
        return (one.isdigit() or one in ".:/-") and (other.isdigit() or other in ".:/-")
    return one.isascii() and one.isalpha() and other.isascii() and other.isalpha()


def cited_numbers(answer: str, sources: int) -> list[int]:
    """The different sources that an answer cites; 0 for each number that no source has."""
    numbers = dict.fromkeys(int(number) for number in _CITED.findall(answer))
    return [number if 1 <= number <= sources else 0 for number in numbers]
