"""What an answer claims: its sentences, and the passages that each of them cites by `[n]`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MARK = re.compile(r"\[(\d{1,2})\]")
_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
# A heading, a rule, or the line under the header of a table.
_SILENT = re.compile(r"[ \t]*(?:#{1,6}[ \t]|[-*_=|:][-*_=|: \t]*$)")
_ITEM = re.compile(r"[ \t>]*(?:[-*+•·][ \t]+|\d{1,2}[.)、][ \t]*|[（(]\d{1,2}[)）][ \t]*)?")
_MARKS = re.compile(r"(?:[ \t]*\[\d{1,2}\])+")
# A sentence ends at its mark and what closes behind it; an English one only before white space.
_END = re.compile(r"(?:[。！？!?]+|(?<=\w)\.(?=[ \t\[]|$))[”’」』）)】》\"']*")
_SIGNS = re.compile(r"[*_`~|>]+|!?\[([^\[\]\n]{2,})\]\([^()\n]*\)")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer: `text[start:end]`, in code points, with the numbers that it cites.

    `content` is what it says, without marks and Markdown. `leads_in`: it announces what follows, or asks.
    """

    start: int
    end: int
    numbers: tuple[int, ...]
    content: str

    @property
    def leads_in(self) -> bool:
        return self.content.endswith((":", "：", "?", "？"))


def claims(text: str) -> list[Claim]:
    """All sentences of a Markdown text in order, but for headings and code. Marks on a line of their own, as behind a table,
    belong to every sentence of the paragraph above that has none."""
    found: list[Claim] = []
    # Where the paragraph above began: its first claim.
    paragraph, is_blank = 0, True
    for start, line in _lines(text):
        if not line or line.isspace():
            is_blank = True
        elif _MARKS.fullmatch(line.rstrip()):
            numbers = _numbers(line)
            for index in range(paragraph, len(found)):
                if not found[index].numbers:
                    one = found[index]
                    found[index] = Claim(one.start, one.end, numbers, one.content)
        else:
            if is_blank:
                paragraph, is_blank = len(found), False
            found += _sentences(line, start)
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with where they begin, without code and what claims nothing."""
    start, in_code = 0, False
    for line in text.split("\n"):
        is_fence = _FENCE.match(line) is not None
        if not (in_code or is_fence or _SILENT.match(line)):
            yield start, line
        in_code ^= is_fence
        start += len(line) + 1


def _sentences(line: str, start: int) -> Iterator[Claim]:
    item = _ITEM.match(line)
    begin = item.end() if item else 0
    while begin < len(line):
        ending = _END.search(line, begin)
        end = ending.end() if ending else len(line)
        marks = _MARKS.match(line, end)
        end = marks.end() if marks else end
        sentence = line[begin:end]
        content = " ".join(_SIGNS.sub(r"\1", MARK.sub("", sentence)).split())
        if any(char.isalnum() for char in content):
            first = begin + len(sentence) - len(sentence.lstrip())
            last = end - len(sentence) + len(sentence.rstrip())
            yield Claim(start + first, start + last, _numbers(sentence), content)
        begin = end


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(number) for number in MARK.findall(text)))
