"""What passages are found by when they are searched by words. Plain functions from text to terms.

Chinese by pairs of characters: they need no dictionary and find Chinese about as well as words do (Nie et al., On the Use of
Words and N-grams for Chinese Information Retrieval, IRAL 2000). Everything else by its pieces, runs of letters or of digits, and
by pairs of pieces that are written together: `GB/T 1234-2020` is gb, t, 1234, 2020, gbt, t1234 and 12342020, so `GBT1234` meets
it, and so does `gb/t1234`. All of it in one spelling (core.chinese.fold).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from server.core.chinese import fold, fold_with_places
from server.kb.wording import SameWords, without
from server.llm.question_types import without_fillers

# Raise it when the terms of a text change: every document is indexed again.
VERSION = 1

# Scripts without spaces between words: Han, kana and hangul.
_DENSE = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
# Terms of other scripts sort before it, but for a few that have no case to care for here.
_FIRST_DENSE = "\u3040"
_IS_DENSE = re.compile(f"[{_DENSE}]")
_TOKEN = re.compile(
    rf"(?P<dense>[{_DENSE}]+)|(?P<digits>\d+(?:,\d{{3}})+(?!\d)|\d+)|(?P<letters>[^\W\d_{_DENSE}]+)"
)
# What may stand between two pieces of one code: nothing, one mark, or one space.
_JOINT = re.compile(r"[-_./:+#&·–—]?|[ ]")
_SUFFIX = re.compile(r"(?:ing|ed|es|e|s)\Z")
# Letters that stay when a suffix goes.
_SHORTEST_STEM = 3
# Longer words and numbers are none that anybody looks for: base64, keys, dumps.
_LONGEST = 40
# Terms of one question; a pasted page is looked for by its beginning.
MAX_QUESTION_TERMS = 200


@dataclass(frozen=True, slots=True)
class _Piece:
    """A run of one kind in a folded text. `term` is what it is found by: digits without commas, the stem of a word."""

    kind: str
    term: str
    written: str
    start: int
    end: int


def _pieces(folded: str) -> Iterator[_Piece]:
    for match in _TOKEN.finditer(folded):
        kind, written = match.lastgroup or "", match.group()
        term = (
            written.replace(",", "") if kind == "digits" else _stem(written) if kind == "letters" else written
        )
        yield _Piece(kind, term, term if kind == "digits" else written, *match.span())


def _stem(word: str) -> str:
    """Without an English ending, so that `claims` meets `claim`."""
    stem = _SUFFIX.sub("", word)
    return stem if len(stem) >= _SHORTEST_STEM else word


def _joined(folded: str, one: _Piece | None, other: _Piece) -> str:
    """The term of two pieces that are written together; empty if they are not."""
    if one is None or "dense" in (one.kind, other.kind):
        return ""
    between = folded[one.end : other.start]
    if not _JOINT.fullmatch(between) or (between == " " and "digits" not in (one.kind, other.kind)):
        return ""
    return one.written + other.written


def _spans(folded: str, *, singles: bool) -> Iterator[tuple[str, int, int]]:
    """The terms of a folded text and where they stand, in order; `singles`: single characters of Chinese too."""
    before: _Piece | None = None
    for piece in _pieces(folded):
        if piece.kind == "dense":
            length = piece.end - piece.start
            for place in range(piece.start, piece.end - 1):
                yield folded[place : place + 2], place, place + 2
            if singles or length == 1:
                for place in range(piece.start, piece.end):
                    yield folded[place], place, place + 1
        elif len(piece.term) <= _LONGEST:
            yield piece.term, piece.start, piece.end
            pair = _joined(folded, before, piece)
            if pair and pair != piece.term and len(pair) <= _LONGEST:
                yield pair, before.start if before else 0, piece.end
        before = piece


def terms(text: str) -> list[str]:
    """The terms that a passage is found by, each as often as it stands there."""
    return [term for term, _, _ in _spans(fold(text), singles=True)]


def question_terms(question: str, stop_words: Sequence[str] = ()) -> list[str]:
    """The different terms of a question, in order, without words that only ask. A code stays whole: A-01, IT-2."""
    folded = fold(question)
    text = without_fillers(folded)
    for word in stop_words:
        text = without(fold(word), text)
    found = dict.fromkeys(term for term, _, _ in _spans(text, singles=True))
    found |= dict.fromkeys(term for term, _, _ in _spans(folded, singles=False) if _is_code(term))
    return list(found)[:MAX_QUESTION_TERMS]


def _is_code(term: str) -> bool:
    return any(c.isdigit() for c in term) and any(c.isalpha() for c in term) and not _IS_DENSE.match(term)


def is_indexed(term: str) -> bool:
    """False for a single Chinese character: it is weighed, but no passage is looked up by it alone."""
    return len(term) > 1 or not _IS_DENSE.match(term)


def places(wanted: Sequence[str], folded: str) -> list[tuple[int, int, int]]:
    """Where terms stand in a folded text: start, end and the term's number, in reading order."""
    found: list[tuple[int, int, int]] = []
    others: dict[str, int] = {}
    find = folded.find
    for number, term in enumerate(wanted):
        if term < _FIRST_DENSE:  # most questions have few of these
            others[term] = number
            continue
        length = len(term)
        place = find(term)
        while place >= 0:
            found.append((place, place + length, number))
            place = find(term, place + 1)
    if others:
        spans = _spans(folded, singles=False)
        found += [(start, end, others[term]) for term, start, end in spans if term in others]
    found.sort()
    return found


def same_words(question: str, groups: Sequence[Sequence[str]]) -> SameWords:
    """What says the same as words of a question."""
    return SameWords(fold(question), [[fold(word) for word in group] for group in groups])


def highlight(
    question: str, text: str, stop_words: Sequence[str] = (), synonyms: Sequence[Sequence[str]] = ()
) -> list[tuple[int, int]]:
    """The ranges of one text that `highlighter` finds."""
    return highlighter(question, stop_words, synonyms)(text)


def highlighter(
    question: str, stop_words: Sequence[str] = (), synonyms: Sequence[Sequence[str]] = ()
) -> Callable[[str], list[tuple[int, int]]]:
    """Finds the ranges of texts, as they were written, that a question's terms stand in, or what says the same; what touches is
    one range. The question is taken apart once.

    Single characters are not marked: alone they say little, and stand everywhere.
    """
    wanted = [term for term in question_terms(question, stop_words) if is_indexed(term)]
    same = same_words(question, synonyms)
    return lambda text: _ranges(wanted, same, text)


def _ranges(wanted: Sequence[str], same: SameWords, text: str) -> list[tuple[int, int]]:
    folded, origin = fold_with_places(text)
    ranges: list[tuple[int, int]] = []
    found = [(start, end) for start, end, _ in places(wanted, folded)]
    for start, end in sorted(found + same.spans(folded)):
        begin, stop = origin[start], origin[end - 1] + 1
        if ranges and begin <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(stop, ranges[-1][1]))
        else:
            ranges.append((begin, stop))
    return ranges
