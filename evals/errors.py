"""What people mistype: one error per question, the same in every run.

The place is drawn from the question itself, so that adding questions changes none of the others.
"""

import random
from collections.abc import Callable
from functools import cache

from pypinyin import Style, lazy_pinyin, pinyin

# The 3,755 characters of GB 2312's first level: what an input method offers first.
_COMMON = bytes(
    byte for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF) for byte in (high, low)
).decode("gb2312", "ignore")


def swap_homophone(question: str) -> str:
    """Another character that sounds the same, as an input method offers it."""
    draw = random.Random(f"homophone {question}")  # noqa: S311 - reproducible, not a secret
    places = _han(question)
    draw.shuffle(places)
    sounds = _sounds(question)
    for place in places:
        others = [other for other in _homophones().get(sounds[place], "") if other != question[place]]
        if others:
            return question[:place] + draw.choice(others) + question[place + 1 :]
    return question


def drop_character(question: str) -> str:
    """One character is missing."""
    draw = random.Random(f"drop {question}")  # noqa: S311 - reproducible, not a secret
    places = _han(question)
    if not places:
        return question
    place = draw.choice(places)
    return question[:place] + question[place + 1 :]


def widen(question: str) -> str:
    """All letters, digits and marks in their full-width forms."""
    return "".join(
        chr(ord(character) + 0xFEE0) if "!" <= character <= "~" else character for character in question
    )


def type_pinyin(question: str) -> str:
    """Two characters that follow one another are left as the letters they are typed with (zhejiang)."""
    draw = random.Random(f"pinyin {question}")  # noqa: S311 - reproducible, not a secret
    han = set(_han(question))
    places = [place for place in sorted(han) if place + 1 in han]
    if not places:
        return question
    place = draw.choice(places)
    letters = "".join(_sounds(question)[place : place + 2])
    return question[:place] + letters + question[place + 2 :]


ERRORS: dict[str, Callable[[str], str]] = {
    "homophone": swap_homophone,
    "dropped": drop_character,
    "full-width": widen,
    "pinyin": type_pinyin,
}


def _sounds(text: str) -> list[str]:
    """One sound per character."""
    return lazy_pinyin(text, errors=lambda others: list(others))  # type: ignore[arg-type, return-value]


def _han(text: str) -> list[int]:
    return [place for place, character in enumerate(text) if "一" <= character <= "鿿"]


@cache
def _homophones() -> dict[str, str]:
    found: dict[str, str] = {}
    for character in _COMMON:
        for sound in pinyin(character, style=Style.NORMAL, heteronym=True)[0]:
            found[sound] = found.get(sound, "") + character
    return found
