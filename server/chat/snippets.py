"""What stands around the words that somebody looked for, as a line of plain text."""

import re
from collections.abc import Sequence

LENGTH = 80
# How much of it stands before the words.
_BEFORE = 24
# Characters of the raw text that are looked at, each side: marks and spaces take a part of them.
_AROUND = 240
_ELLIPSIS = "…"

_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_MARKS = re.compile(r"\*{1,3}|`+|~~|(?<!\w)__?|__?(?!\w)|^\s{0,3}(?:#{1,6}|>|[-+])\s+|[|]|-{3,}", re.M)
_SPACES = re.compile(r"\s+")


def find_words(words: str, text: str) -> tuple[int, int] | None:
    """Where the words stand first, in whatever case."""
    match = re.search(re.escape(words), text, re.IGNORECASE)
    return match.span() if match else None


def snippet(words: str, texts: Sequence[str]) -> str | None:
    """At most `LENGTH` characters around the first hit in the first of the texts that has one, without Markdown's marks."""
    for text in texts:
        if (span := find_words(words, text)) is not None:
            return _around(text, *span)
    return None


def _around(text: str, start: int, end: int) -> str:
    left, right = max(0, start - _AROUND), end + _AROUND
    before = (_ELLIPSIS if left else "") + _plain(text[left:start]).lstrip()
    after = _plain(text[end:right]).rstrip() + (_ELLIPSIS if right < len(text) else "")
    hit = _SPACES.sub(" ", text[start:end])
    line = f"{before}{hit}{after}"
    lead = max(0, min(_BEFORE, (LENGTH - len(hit)) // 2))
    first = max(0, min(len(before) - lead, len(line) - LENGTH))
    shown = line[first : first + LENGTH]
    if first > 0:
        shown = _ELLIPSIS + shown[1:]
    if first + LENGTH < len(line):
        shown = shown[:-1] + _ELLIPSIS
    return shown.strip()


def _plain(text: str) -> str:
    return _SPACES.sub(" ", _MARKS.sub("", _LINK.sub(r"\1", text)))
