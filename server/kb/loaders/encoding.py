"""Bytes to text: never wrong characters in silence. What cannot be told is refused.

Order: byte order mark, UTF-8 strictly, UTF-8 with a little damage, GB18030 or Big5 (whichever gives the commoner
characters), what an HTML page declares, charset-normalizer.
"""

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
_MIN_DETECTED = 32  # bytes; on less, detection is guesswork
_SAMPLE = 200_000
_BAD = ("\ufffd", *(chr(code) for code in range(32) if chr(code) not in "\t\n\v\f\r"))

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
    if text is None:
        text = _strictly(data, "utf-8")
    if text is None:
        text = _damaged_utf8(data) or _east_asian(data)
    if text is None and declared:
        text = _strictly(data, declared)
    if text is None:
        text = _detected(data)
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
    return best if credible else None


def _foreign(text: str) -> list[str]:
    return [char for char in text[:_SAMPLE] if char > "\x7f"]


def _share_of_common(text: str) -> float:
    foreign = _foreign(text)
    return sum(char in _common() for char in foreign) / len(foreign) if foreign else 0.0


@cache
def _common() -> frozenset[str]:
    """The everyday characters of both Chinese scripts: GB2312 without its foreign alphabets, Big5's first level."""
    parts = (
        ("gb2312", (*range(0xA1, 0xA4), *range(0xB0, 0xF8)), range(0xA1, 0xFF)),
        ("cp950", range(0xA1, 0xC7), (*range(0x40, 0x7F), *range(0xA1, 0xFF))),
    )
    return frozenset(
        bytes((lead, trail)).decode(encoding, "ignore")
        for encoding, leads, trails in parts
        for lead in leads
        for trail in trails
    ) - frozenset(map(chr, range(0x3040, 0x3100)))  # kana: EUC-JP would look like GB2312


def _detected(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    with library("text"):
        matches = from_bytes(data[:_SAMPLE])
        best = matches.best()
    if best is None or len(data) < _MIN_DETECTED or best.percent_chaos > 100 * _MAX_DAMAGE:
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
