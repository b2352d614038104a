"""The last step of every loader: no hidden characters, one kind of newline. Nothing invisible reaches a prompt."""

import re

_NEWLINES = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Controls, soft hyphen, zero-width and bidirectional marks, the byte order mark and other non-characters,
# and plane 14, whose tags and variation selectors can spell a hidden text.
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e0fff]"
)
# Of these, what ordinary files have too: controls, soft hyphens, the byte order mark, the joiner inside an emoji.
_HARMLESS = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u200c\u200d\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")

MAX_LABEL = 1000


def clean_text(text: str) -> str:
    """Strip what a reader would not see; half surrogate pairs, which no encoder takes, become U+FFFD."""
    text = _NEWLINES.sub("\n", text)
    text = _HIDDEN.sub("", text)
    return _SURROGATES.sub("\ufffd", text)


def count_invisible(text: str) -> int:
    """How many characters without a shape a text holds that can hide something from its reader."""
    if not _HIDDEN.search(text):
        return 0
    return len(_HIDDEN.findall(_HARMLESS.sub("", text)))


def clean_label(text: str) -> str:
    """The same for a heading or a sheet's name: one line, of bounded length."""
    return " ".join(clean_text(text).split())[:MAX_LABEL]
