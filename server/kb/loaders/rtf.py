"""RTF in Chinese, Japanese and Korean code pages, rewritten in Unicode escapes: pandoc takes all bytes for Western ones."""

import re

_TOKEN = re.compile(
    rb"\\'([0-9a-fA-F]{2})|\\([a-z]{1,32})(-?\d{1,10})? ?|\\.|[{}]|[\r\n]+|[^\\{}\r\n]+", re.S
)
_CODE_PAGES = {932: "cp932", 936: "gb18030", 949: "cp949", 950: "cp950"}
_CHARSETS = {128: "cp932", 129: "cp949", 134: "gb18030", 136: "cp950"}  # of fonts


def to_unicode_escapes(data: bytes) -> bytes:
    """Replace each run of \\'hh in an East Asian encoding by \\uN, leaving everything else as it is."""
    rewriter = _Rewriter()
    for token in _TOKEN.finditer(data):
        rewriter.take(token)
    rewriter.flush()
    return b"".join(rewriter.parts)


class _Rewriter:
    """Follows what decides the meaning of a byte: code page, font, and the fallback that an \\uN brings along."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._run = bytearray()
        self._page: str | None = None
        self._charsets: dict[int, str] = {}  # by font
        self._font, self._fallback = 0, 1
        self._groups: list[tuple[int, int]] = []
        self._skip = 0  # characters of a fallback still to come

    def take(self, token: re.Match[bytes]) -> None:
        text = token[0]
        if token[1]:
            self._take_byte(text, int(token[1], 16))
            return
        if (
            self._run and text.isspace()
        ):  # a line break in the file is none in the text, not even in a character
            return
        self.flush()
        if token[2]:
            self._take_word(token[2], int(token[3] or 0))
        elif text in b"{}":
            self._take_brace(text)
        elif not text.startswith(b"\\"):
            self._skip = max(0, self._skip - len(text))
        self.parts.append(text)

    def _take_byte(self, text: bytes, byte: int) -> None:
        if self._skip:
            self._skip -= 1
            self.parts.append(text)
        elif self._encoding is None:
            self.parts.append(text)
        else:
            self._run.append(byte)

    def _take_word(self, word: bytes, number: int) -> None:
        if word == b"u":
            self._skip = self._fallback
        elif word == b"uc":
            self._fallback = min(max(number, 0), 9)
        elif word == b"ansicpg":
            self._page = _CODE_PAGES.get(number)
        elif word == b"f":
            self._font = number
        elif word == b"fcharset" and number in _CHARSETS:
            self._charsets[self._font] = _CHARSETS[number]

    def _take_brace(self, text: bytes) -> None:
        self._skip = 0  # no fallback goes beyond its group
        if text == b"{":
            self._groups.append((self._font, self._fallback))
        elif self._groups:
            self._font, self._fallback = self._groups.pop()

    @property
    def _encoding(self) -> str | None:
        return self._charsets.get(self._font, self._page)

    def flush(self) -> None:
        """Write the run of bytes that has ended."""
        if self._run and self._encoding:
            units = self._run.decode(self._encoding, "replace").encode("utf-16-le")
            for index in range(0, len(units), 2):
                number = int.from_bytes(units[index : index + 2], "little", signed=True)
                self.parts.append(b"\\u%d " % number + b"?" * self._fallback)
            self._run.clear()
