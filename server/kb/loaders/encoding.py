"""Bytes to text: never wrong characters in silence. What cannot be told is refused.

Order: byte order mark, UTF-16 without one, UTF-8 strictly, UTF-8 with a little damage, Japanese by its kana, GB18030 or
Big5 (whichever gives the commoner characters), UTF-16 of Chinese alone, what an HTML page declares, charset-normalizer.
"""

import re
from functools import cache
from pathlib import Path

from server.kb.loaders.base import LoadLimits
from server.kb.loaders.errors import bad_encoding, library, too_long

# UTF-32 before UTF-16: its little-endian mark begins with the other's.
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_MAX_DAMAGE = 0.05  # share of characters that may be undecodable or control characters
_MIN_COMMON = 0.9  # share of common characters that makes an East Asian encoding credible
_MIN_KNOWN = 0.95
_MIN_KANA, _MIN_JAPANESE = 0.1, 6
_MAX_ASCII = 0.75  # share of bytes that are ASCII, beyond which they are hardly halves of Chinese characters
_MIN_ZEROS = 0.005  # share of bytes: one space in a hundred characters
_MIN_UTF16 = 8  # bytes
_MIN_DETECTED = 32  # bytes; on less, detection is guesswork
_SAMPLE, _MIN_SAMPLE = 200_000, 20_000
_BAD = ("\ufffd", *(chr(code) for code in range(32) if chr(code) not in "\t\n\v\f\r"))

_MAX_ACCENTS = 0.25  # share of letters
_ACCENTED = frozenset("àâçéèêëîïôùûüœæäößñáíóúãå¿¡«»°§€£©®…–—‘’“”„\u00a0")
# What a detector may find: code pages of DOS and of the Macintosh are never more likely than its mistake, and encodings
# of several bytes are told above.
_SINGLE_BYTE = re.compile(r"cp125\d$|iso8859_|koi8_|cp874$|tis_620$|latin_1$|ascii$")

# What web pages declare, and the superset that decodes it.
DECLARED = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "cp950",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "iso-8859-1": "cp1252",
    "windows-1252": "cp1252",
    "windows-1251": "cp1251",
    "koi8-r": "koi8_r",
}
_MULTIBYTE = frozenset({"utf-8", "gb18030", "cp950", "cp932", "euc_jp", "cp949"})


def read_text(path: Path, limits: LoadLimits, declared: str | None = None) -> str:
    """Read a text file. `declared` is an encoding that the file names itself. Raises LoadError."""
    # No encoding takes more than four bytes a character: such a file is too long in any of them.
    if path.stat().st_size > 4 * limits.max_chars + 4:
        raise too_long(limits)
    return decode(path.read_bytes(), declared)


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode the bytes of a text file. Raises LoadError("encoding")."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return refuse_garbage(data[len(bom) :].decode(encoding, "replace"))
    text = _strictly(data, declared) if declared in _MULTIBYTE else None
    if text is None and looks_like_utf16(data):
        text = _utf16(data)
    if text is None:
        text = _strictly(data, "utf-8")
        if text is not None and _is_rather_chinese(data, text):
            raise bad_encoding()
    if text is None:
        text = _damaged_utf8(data) or _japanese(data) or _utf16(data) or _east_asian(data)
    if text is None and declared:
        text = _strictly(data, declared)
    if text is None:
        text = _western(data) or _detected(data)
    if text is None:
        raise bad_encoding()
    return refuse_garbage(text)


def _strictly(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except UnicodeDecodeError:
        return None


def _damaged_utf8(data: bytes) -> str | None:
    """UTF-8 with a few broken bytes: far more whole multi-byte characters than broken ones."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    whole = sum(char > "\x7f" for char in text) - broken
    return text if broken <= min(_MAX_DAMAGE * len(text), whole / 2) else None


def _east_asian(data: bytes) -> str | None:
    """GB18030 or Big5. Either often decodes the other without an error, so the commoner characters win."""
    korean = _foreign(data.decode("cp949", "replace"))
    if len(korean) >= 20 and sum("가" <= char <= "힣" for char in korean) >= 0.98 * len(korean):
        return data.decode(
            "cp949", "replace"
        )  # which GB18030 would decode too, to nonsense of common characters
    texts = [data.decode(encoding, "replace") for encoding in ("gb18030", "cp950")]
    best = max(texts, key=_share_of_common)
    credible = _share_of_common(best) >= _MIN_COMMON and best.count("\ufffd") <= _MAX_DAMAGE * len(best)
    return best if credible and not _may_be_another(data, best) else None


def _may_be_another(data: bytes, text: str) -> bool:
    """Could so few bytes as well be Japanese in EUC, whose kana are common Big5, or UTF-16 without a mark?"""
    if len(_foreign(text)) >= _MIN_JAPANESE:
        return False
    japanese = _strictly(data, "euc_jp") or ""
    if any(map(_is_kana, japanese)) and all(map(_is_known, _foreign(japanese))):
        return True
    is_torn = len(data) % 2 == 0 and any(
        char < "0" or "Z" < char < "a" or "z" < char < "\x80" for char in text
    )
    unmarked = [_strictly(data, name) for name in ("utf-16-le", "utf-16-be")] if is_torn else []
    return any(other and min(other) > "\x7f" and all(map(_is_known, other)) for other in unmarked)


def _is_rather_chinese(data: bytes, text: str) -> bool:
    """A few GB18030 characters that by chance are UTF-8: two of its letters of two bytes, and no ASCII beside them."""
    is_doubtful = len(data) <= _MIN_UTF16 and text != "" and all("\x80" <= char < "\u0800" for char in text)
    return is_doubtful and _share_of_common(data.decode("gb18030", "replace")) == 1


def looks_like_utf16(data: bytes) -> bool:
    """Every other byte is often zero, and those between hardly ever: spaces, digits and line breaks do that."""
    even, odd = data[:_SAMPLE:2].count(0), data[1:_SAMPLE:2].count(0)
    return max(even, odd) >= _MIN_ZEROS * len(data[:_SAMPLE]) and min(even, odd) * 50 <= max(even, odd)


def _utf16(data: bytes) -> str | None:
    """UTF-16 without a mark: the order of bytes that gives common characters, which by chance hardly any bytes do."""
    if len(data) % 2 or len(data) < _MIN_UTF16:
        return None
    if not looks_like_utf16(data):
        ascii_ = sum(0x20 <= byte < 0x7F for byte in data[:_MIN_SAMPLE])
        if ascii_ > _MAX_ASCII * len(data[:_MIN_SAMPLE]):
            return None
    texts = [text for name in ("utf-16-le", "utf-16-be") if (text := _strictly(data, name)) is not None]
    best = max(
        texts, key=lambda text: (_share_of_known(text), sum(char < "\x80" for char in text)), default=""
    )
    return best if _share_of_known(best) >= _MIN_KNOWN else None


def _share_of_known(text: str) -> float:
    sample = text[:_SAMPLE]
    return sum(map(_is_known, sample)) / max(len(sample), 1)


def _is_known(char: str) -> bool:
    if char < "\x80":
        return " " <= char < "\x7f" or char in "\t\r\n"
    return char in _common() or _is_kana(char) or char in _kanji() or char.lower() in _ACCENTED


def _is_kana(char: str) -> bool:
    return "\u3041" <= char <= "\u30ff"


def _japanese(data: bytes) -> str | None:
    """Shift JIS or EUC: kana among common characters, and none of half width, to which bytes of others decode."""
    for encoding in ("cp932", "euc_jp"):
        text = _strictly(data, encoding)
        foreign = _foreign(text) if text else []
        kana = sum(map(_is_kana, foreign))
        is_japanese = len(foreign) >= _MIN_JAPANESE and kana >= _MIN_KANA * len(foreign)
        # Chinese has hardly a character where Shift JIS has its kana, so that two of them will do.
        is_japanese |= encoding == "cp932" and kana > 1 and 2 * kana >= len(foreign)
        if is_japanese and sum(map(_is_known, foreign)) >= _MIN_KNOWN * len(foreign):
            return text
    return None


@cache
def _kanji() -> frozenset[str]:
    """The everyday characters of Japanese: the first level of JIS."""
    return frozenset(
        bytes((lead, trail)).decode("euc_jp", "ignore")
        for lead in (0xA1, *range(0xB0, 0xD0))
        for trail in range(0xA1, 0xFF)
    )


def _foreign(text: str) -> list[str]:
    return [char for char in text[:_SAMPLE] if char > "\x7f"]


def _share_of_common(text: str) -> float:
    foreign = _foreign(text)
    return sum(char in _common() for char in foreign) / len(foreign) if foreign else 0.0


@cache
def _common() -> frozenset[str]:
    """The everyday characters of both Chinese scripts: GB2312 and Big5's first level without their foreign alphabets."""
    parts = (
        ("gb2312", (*range(0xA1, 0xA4), *range(0xB0, 0xF8)), range(0xA1, 0xFF)),
        ("cp950", (0xA1, *range(0xA4, 0xC7)), (*range(0x40, 0x7F), *range(0xA1, 0xFF))),
    )
    return frozenset(
        bytes((lead, trail)).decode(encoding, "ignore")
        for encoding, leads, trails in parts
        for lead in leads
        for trail in trails
    ) - frozenset(map(chr, range(0x3040, 0x3100)))  # kana: EUC-JP would look like GB2312


def _western(data: bytes) -> str | None:
    """Latin letters with a few accents, all of them such as Western languages have: no detector knows better."""
    text = _strictly(data, "cp1252")
    if text is None or len(data) < _MIN_DETECTED:
        return None
    foreign = "".join(_foreign(text))
    letters = sum(map(str.isalpha, text[:_SAMPLE]))
    is_portuguese = "ã" in foreign or "ç" in foreign  # else Hungarian has õ in this place
    marks = sum(char in _ACCENTED or (char == "õ" and is_portuguese) for char in foreign.lower())
    accents = sum(map(str.isalpha, foreign))
    return text if marks == len(foreign) and accents <= _MAX_ACCENTS * letters else None


def _detected(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    with library("text"):
        matches = from_bytes(data[:_SAMPLE])
        best = matches.best()
    if best is None or len(data) < _MIN_DETECTED or best.percent_chaos > 100 * _MAX_DAMAGE:
        return None
    if not _SINGLE_BYTE.match(best.encoding):
        return None
    # A tie between the Central European and the Western code page goes to the latter.
    is_western = any(
        "cp1252" in match.could_be_from_charset
        and match.percent_chaos <= best.percent_chaos
        and match.percent_coherence >= best.percent_coherence
        for match in matches
    )
    return data.decode("cp1252" if is_western else best.encoding, "replace")


def refuse_garbage(text: str) -> str:
    """Refuse what is no text after all: too many replaced or control characters."""
    bad = sum(map(text.count, _BAD))
    if bad > _MAX_DAMAGE * len(text):
        raise bad_encoding()
    return text
