"""One spelling for what people write in two scripts and two widths.

Which Simplified character stands for a Traditional one is OpenCC's knowledge (https://github.com/BYVoid/OpenCC, Apache-2.0).
"""

import unicodedata
from functools import cache

from opencc import OpenCC

# Marks that European letters carry; those of kana and of other scripts are part of the letter.
_ACCENTS = range(0x300, 0x370)
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code).isalnum()}
# Where Han characters are: the basic block with extension A, compatibility forms, the planes of the rare ones.
_HAN = (range(0x3400, 0xA000), range(0xF900, 0xFB00), range(0x20000, 0x32000))


@cache
def _converter() -> OpenCC:
    return OpenCC("t2s")


def is_traditional(text: str) -> bool:
    """True if a character stands in it that Simplified Chinese does not have. 沈 and 著 are characters of both."""
    return any(not _is_simplified(character) for character in set(text) if character > "㐀")


@cache
def _is_simplified(character: str) -> bool:
    if not _is_han(character) or _converter().convert(character) == character:
        return True
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def plain(text: str) -> str:
    """A text as models have read most: Simplified, with half-width letters and digits. Most texts are that already."""
    text = text.translate(_HALF_WIDTH)
    if not is_traditional(text):
        return text
    # Halves of surrogate pairs are no text; OpenCC refuses them.
    converted: str = _converter().convert(text.encode("utf-8", "replace").decode("utf-8"))
    return converted


class _Spelling(dict[int, str]):
    """For `str.translate`: each character as texts are compared by. It learns what it has not seen yet."""

    def __missing__(self, code: int) -> str:
        self[code] = spelled = _spell(chr(code))
        return spelled


def _spell(character: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if ord(c) not in _ACCENTS)
    folded = unicodedata.normalize("NFKC", plain).casefold()
    return "".join(_converter().convert(c) if _is_han(c) else c for c in folded)


def _is_han(character: str) -> bool:
    return any(ord(character) in block for block in _HAN)


_SPELLING = _Spelling()


def fold(text: str) -> str:
    """The spelling that texts are compared by: Simplified, half-width, lower case, without accents.

    Character by character, whatever stands around: 乾 is 干 in 乾隆 too, in both texts that are compared.
    """
    return text.translate(_SPELLING)


def fold_with_places(text: str) -> tuple[str, list[int]]:
    """The same, and for each of its characters which one of `text` it comes from."""
    pieces = [_SPELLING[ord(character)] for character in text]
    return "".join(pieces), [place for place, piece in enumerate(pieces) for _ in piece]
