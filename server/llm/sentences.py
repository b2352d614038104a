"""Cut a passage into the pieces that can be quoted: sentences, table rows, and clauses of very long sentences."""

import re
from collections.abc import Iterable, Iterator

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


def split(text: str, longest: int = 120) -> list[Span]:
    """Return the spans of all pieces, in order, none longer than `longest` (at least 1) characters.

    A sentence stays whole if it fits, together with the quotation or bracket it opened; a short line without an end
    mark (heading, table row) is joined with what follows it; a longer sentence is cut between clauses.
    """
    spans: list[Span] = []
    for span in _sentences(text):
        if spans and _belongs_to(text, spans[-1], span, longest):
            spans[-1] = (spans[-1][0], span[1])
        else:
            spans.append(span)
    return [piece for span in spans for piece in _fit(text, span, longest)]


def _sentences(text: str) -> Iterator[Span]:
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return _between(text, 0, [*ends, len(text)])


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
