"""Numbers with a measure: Chinese numerals as digits, and ranges (满10年不满20年, 4至6级) that hold a number.

All texts here are normalised (half-width, lower case).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIGITS = {
    character: value
    for value, characters in enumerate(("零〇", "一", "二两兩", "三", "四", "五", "六", "七", "八", "九"))
    for character in characters
}
_POWERS = {"十": 10, "百": 100, "千": 1000}
_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
# What is counted. 一 is too often no number (一下, 一般), so it stays as it is unless one of the first few follows.
_MEASURE = r"(?:个?月|個月|工作日|自然日|小时|小時|分钟|分鐘|公里|平方米|块钱|人次|[年天日周岁歲级級元块塊次个個位名人台部张張份条條层層倍米件页頁])"
_NUMERAL = re.compile(rf"[{''.join(_DIGITS)}{''.join(_POWERS)}{''.join(_MYRIADS)}]+(?=[多余餘]?{_MEASURE})")
# 一 alone, and a bare power (百年, 千里), are figures of speech as often as numbers.
_NO_NUMBER = frozenset({"一", "百", "千", "万", "萬", "亿", "億"})

_NUMBER = r"(?:(?<![\d.])\d+(?:\.\d+)?|一)"
_QUANTITY = re.compile(rf"({_NUMBER})\s*({_MEASURE})")
_SAME_MEASURE = {
    "块": "元",
    "塊": "元",
    "块钱": "元",
    "個月": "个月",
    "小時": "小时",
    "分鐘": "分钟",
    "級": "级",
    "歲": "岁",
}
# Words before a number and behind its measure that make it an end of a range.
_BELOW = r"不满|不滿|不足|不到|少于|少於|低于|低於|未满|未滿"
_AT_MOST = r"不超过|不超過|最多|至多|不多于|不多於"
_ABOVE = r"超过|超過|多于|多於|高于|高於"
_AT_LEAST = r"满|滿|不少于|不少於|不低于|不低於|至少"
_RANGE = re.compile(rf"({_NUMBER})\s*{_MEASURE}?\s*(?:至|到|-|–|~|—)\s*({_NUMBER})\s*({_MEASURE})")
_END = re.compile(
    rf"(?:(每\w{{0,4}})?({_BELOW}|{_AT_MOST}|{_ABOVE}|{_AT_LEAST}))?({_NUMBER})\s*({_MEASURE})(以内|以下|以上|及以上|及以下)?"
)
_UPPER = re.compile(rf"^(?:{_BELOW}|{_AT_MOST})$")
# Two ends belong together when nothing but such marks stands between them.
_TOGETHER = re.compile(r"^[\s,、，的]*(?:但|且|而)?$")


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers of that measure between two ends."""

    low: float
    high: float
    measure: str
    with_low: bool = True
    with_high: bool = True

    def holds(self, value: float, measure: str) -> bool:
        if measure != self.measure:
            return False
        above = value >= self.low if self.with_low else value > self.low
        return above and (value <= self.high if self.with_high else value < self.high)


def with_digits(text: str) -> str:
    """Write Chinese numerals in front of a measure in digits: 十二年 → 12年."""
    return _NUMERAL.sub(lambda match: _in_digits(match.group()), text)


def _in_digits(numeral: str) -> str:
    if numeral in _NO_NUMBER or len(numeral) > 12:
        return numeral
    if all(character in _DIGITS for character in numeral):
        # 二〇一四年 is read digit by digit; 三四天 is no number.
        is_year = len(numeral) == 4 or len(numeral) == 1
        return "".join(str(_DIGITS[character]) for character in numeral) if is_year else numeral
    total = section = digit = 0
    for character in numeral:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character in _POWERS:
            section += (digit or 1) * _POWERS[character]
            digit = 0
        else:
            total += (section + digit) * _MYRIADS[character]
            section = digit = 0
    return str(total + section + digit)


def quantities(text: str) -> Iterator[tuple[str, float, str]]:
    """Every number with a measure: how it is written, its value and what is counted."""
    for match in _QUANTITY.finditer(text):
        yield match[1], _value(match[1]), _measure(match[2])


def ranges(text: str) -> list[Range]:
    """The ranges in a text; `满10年不满20年` is one."""
    found = [
        Range(_value(match[1]), _value(match[2]), _measure(match[3]))
        for match in _RANGE.finditer(text)
        if _value(match[1]) <= _value(match[2])
    ]
    before: tuple[int, Range] | None = None
    for match in _END.finditer(text):
        end = _end_of(match)
        if end is None:
            continue
        if before is not None and _meet(before[1], end) and _TOGETHER.match(text[before[0] : match.start()]):
            low = found.pop()
            end = Range(low.low, end.high, end.measure, low.with_low, end.with_high)
        found.append(end)
        before = match.end(), end
    return found


def _meet(one: Range, other: Range) -> bool:
    """Is the first a lower end and the second an upper end of the same measure?"""
    return (
        one.measure == other.measure
        and math.isinf(one.high)
        and math.isinf(other.low)
        and one.low < other.high
    )


def _end_of(match: re.Match[str]) -> Range | None:
    every, before, number, measure, behind = match.groups()
    value, measure = _value(number), _measure(measure)
    if every:
        return None  # 每满2年: again and again, not from then on
    if (before and _UPPER.match(before)) or behind in ("以内", "以下", "及以下"):
        is_open = bool(before and re.match(_BELOW, before))
        return Range(-math.inf, value, measure, with_high=not is_open)
    if before or behind:
        return Range(value, math.inf, measure, with_low=not (before and re.match(_ABOVE, before)))
    return None


def _value(number: str) -> float:
    return 1.0 if number == "一" else float(number)


def _measure(text: str) -> str:
    return _SAME_MEASURE.get(text, text)
