"""Where an answer repeats a passage word for word, so that a reader sees what it is based on."""

# Characters that have to be the same in a row: of Chinese, and of other scripts, whose words are longer.
_CJK, _OTHER = 8, 24
# Of an answer and a passage, so much is compared.
_MAX = 50_000


def quoted_ranges(text: str, answer: str) -> list[tuple[int, int]]:
    """[start, end) of the parts of `text` that `answer` repeats, in code points. Takes time with their length only."""
    text, answer = text[:_MAX], answer[:_MAX]
    known = {answer[start : start + _CJK] for start in range(len(answer) - _CJK + 1)}
    ranges: list[tuple[int, int]] = []
    for start in range(len(text) - _CJK + 1):
        end = start + _CJK
        if text[start:end] not in known:
            continue
        if ranges and start < ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    whole = (_trim(text, *found) for found in ranges)
    return [(start, end) for start, end in whole if _weight(text[start:end]) >= 1]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _weight(part: str) -> float:
    """1 from where it can hardly be chance."""
    wide = sum(char > "\u2e7f" for char in part)
    return wide / _CJK + (len(part) - wide) / _OTHER
