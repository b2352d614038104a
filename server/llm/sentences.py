"""Cut a passage into the pieces that can be quoted: sentences, table rows, and clauses of very long sentences."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# A span is (start, end): text[start:end] is the piece, without white space around it.
Span = tuple[int, int]

# Marks that end a sentence wherever they stand, and what may close behind them.
_ENDS = "。！？!?…"
_CLOSERS = "”’」』）)】》〉]\"'"
# A full stop ends a sentence only before white space, and not after an abbreviation or an initial ("Dr. J. Smith").
_ABBREVIATION = r"(?<!\b[A-Za-z])(?<!\b(?:Dr|Mr|Ms|No|vs|St|Jr|Sr))(?<!\b(?:Mrs|Inc|Ltd|etc|Fig|Vol))"
# Nor behind the number of a list item at the start of a line ("12. Leave").
_LIST_NUMBER = r"(?<!^\d)(?<!\n\d)(?<!^\d\d)(?<!\n\d\d)"
_SENTENCE_END = re.compile(
    rf"[{_ENDS}]+[{re.escape(_CLOSERS)}]*|{_ABBREVIATION}{_LIST_NUMBER}\.[{re.escape(_CLOSERS)}]*(?=\s)|\n"
)
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
# A clause ends at these marks, but a comma inside a number ("1,000") ends nothing.
_CLAUSE_END = re.compile(r"[；;，、]|,(?!\d)")
_OPENERS = "“‘「『（(【《〈["
_PAIRED_CLOSERS = "”’」』）)】》〉]"

# A line of a table record; one record a line uses `; ` between its fields and is a sentence of its own.
_FIELD = re.compile(r"[^\n:：;；。]{1,20}[:：] [^\n;]*(?:\n|$)")
# Characters: a clause group shorter than this says too little on its own.
_SHORTEST_CLAUSE = 40
# Characters: headings and table rows ("列名: 值") are joined with the lines after them up to this length.
_SHORT_LINE = 40


# A Markdown table row, the line under its header, and a row whose cells name themselves (`列名: 值; 列名: 值`).
_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*")
_RULE = re.compile(r"[ \t]*\|[ \t:|-]*-[ \t:|-]*\|[ \t]*")
_NAMED_ROW = re.compile(r"[^\n:;。]{1,30}: [^\n;。]*(?:; [^\n:;。]{1,30}: [^\n;。]*)+")
_CAPTION = re.compile(r"[^\n。！？!?;；:：|]{1,40}")
_LINE = re.compile(r"[^\n]+")
# An item of a list, numbered or not.
_ITEM = re.compile(r"[ \t]*(?:[-*+•·]|\d{1,2}[.、)）]|[（(]\d{1,2}[)）]|[①-⑳]|[一二三四五六七八九十]{1,3}、)")
_LEADS_IN = re.compile(r"[:：]$")


@dataclass(frozen=True, slots=True)
class Piece:
    """What is quoted whole. `head` is the header or caption of the table that the piece is a row of."""

    span: Span
    head: Span | None = None
    is_row: bool = False


def leads_in(text: str) -> bool:
    """True if the piece ends in a colon: what it says comes after it."""
    return _LEADS_IN.search(text) is not None


def is_item(text: str) -> bool:
    """True for an item of a list."""
    return _ITEM.match(text) is not None


def split(text: str, longest: int = 120) -> list[Piece]:
    """Return all pieces, in order, none longer than `longest` (at least 1) characters.

    A sentence stays whole if it fits, together with the quotation or bracket it opened; a short line without an end
    mark (heading, record) is joined with what follows it; a longer sentence is cut between clauses. Every row of a
    table is a piece of its own, and keeps the table's header if that is no longer than a piece may be.
    """
    pieces: list[Piece] = []
    done = 0
    for head, rows in _tables(text):
        start = head[0] if head else rows[0][0]
        pieces += [Piece(span) for span in _prose(text, done, start, longest)]
        if head and head[1] - head[0] > longest:
            pieces += [Piece(span) for span in _fit(text, head, longest)]
            head = None
        pieces += [Piece(span, head, is_row=True) for row in rows for span in _fit(text, row, longest)]
        done = rows[-1][1]
    return [*pieces, *(Piece(span) for span in _prose(text, done, len(text), longest))]


def _tables(text: str) -> Iterator[tuple[Span | None, list[Span]]]:
    """The head and the rows of every table: rows in lines that follow one another."""
    lines = [match.span() for match in _LINE.finditer(text)]
    index = 0
    while index < len(lines):
        kind = next((kind for kind in (_ROW, _NAMED_ROW) if kind.fullmatch(text, *lines[index])), None)
        end = index
        while kind and end < len(lines) and kind.fullmatch(text, *lines[end]) and _touch(lines, index, end):
            end += 1
        if kind is None:
            index += 1
            continue
        head, rows = _take_head(text, lines, index, end, kind)
        if rows:
            yield head, rows
        index = end


def _touch(lines: list[Span], first: int, last: int) -> bool:
    """True if no blank line stands in front of the last one."""
    return last == first or lines[last][0] - lines[last - 1][1] == 1


def _take_head(
    text: str, lines: list[Span], index: int, end: int, kind: re.Pattern[str]
) -> tuple[Span | None, list[Span]]:
    """Tell the head of a table from its rows: two lines of Markdown, or a caption right above rows that name their cells."""
    rows = lines[index:end]
    if kind is _ROW:
        if len(rows) > 1 and _RULE.fullmatch(text, *rows[1]):
            return (rows[0][0], rows[1][1]), rows[2:]
        return None, rows
    if index and lines[index][0] - lines[index - 1][1] == 1 and _CAPTION.fullmatch(text, *lines[index - 1]):
        return lines[index - 1], rows
    return None, rows


def _prose(text: str, start: int, end: int, longest: int) -> Iterator[Span]:
    """The pieces of running text and records between two places."""
    spans: list[Span] = []
    for span in _sentences(text, start, end):
        if spans and _belongs_to(text, spans[-1], span, longest):
            spans[-1] = (spans[-1][0], span[1])
        else:
            spans.append(span)
    for span in spans:
        yield from _fit(text, span, longest)


def _sentences(text: str, start: int, end: int) -> Iterator[Span]:
    ends = [match.end() for match in _SENTENCE_END.finditer(text, start, end)]
    return _between(text, start, [*ends, end])


def _between(text: str, start: int, ends: Iterable[int]) -> Iterator[Span]:
    """The spans between the ends, trimmed; empty ones are left out."""
    for end in ends:
        piece = text[start:end]
        if stripped := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            yield first, first + len(stripped)
        start = end


def _belongs_to(text: str, before: Span, after: Span, longest: int) -> bool:
    """True if two neighbours are better read as one: a short line and the next, or an open bracket and its rest."""
    if after[1] - before[0] > longest:
        return False
    if _is_field(text, before) and _is_field(text, after):
        return not _BLANK_LINE.search(text, before[1], after[0])
    piece = text[before[0] : before[1]]
    is_line = piece[-1] not in _ENDS + _CLOSERS + "."
    if is_line and len(piece) < _SHORT_LINE:
        return not _BLANK_LINE.search(text, before[1], after[0])
    return _open_brackets(piece) > 0


def _is_field(text: str, span: Span) -> bool:
    """True for `列名: 值`, the first or the next line of a record, which is read whole or not at all."""
    return _FIELD.match(text, *span) is not None


def _open_brackets(piece: str) -> int:
    return sum(piece.count(mark) for mark in _OPENERS) - sum(piece.count(mark) for mark in _PAIRED_CLOSERS)


def _fit(text: str, span: Span, longest: int) -> Iterator[Span]:
    """Cut one span at clause marks, or anywhere if there are none, so that every piece is short enough."""
    start, end = span
    if end - start <= longest:
        yield span
        return
    cuts: list[int] = []
    last = start
    for mark in _CLAUSE_END.finditer(text, start, end):
        if mark.end() - last >= min(_SHORTEST_CLAUSE, longest):
            cuts.append(mark.end())
            last = mark.end()
    for piece_start, piece_end in _between(text, start, [*cuts, end]):
        hard_cuts = range(piece_start + longest, piece_end, longest)
        yield from _between(text, piece_start, [*hard_cuts, piece_end])
