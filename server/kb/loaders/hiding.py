"""What a text does not show to its reader: the common part of what each format calls hidden; and what only its reader sees.

White letters count as hidden only where nothing tells of a background, as white on blue is how tables and buttons are made.
"""

import re

# In points: nobody reads less.
SMALLEST_FONT = 1.0
# In EMU, of which 360,000 are a centimetre: a smaller picture is a logo or an ornament, a larger one may hold text.
_LARGE = (6 * 360_000, 3 * 360_000)
_WHITE = re.compile(
    r"\s*(?:#?f{6}(?:f{2})?|#fff|white|rgba?\(\s*255\s*,\s*255\s*,\s*255\s*(?:,\s*1(?:\.0*)?\s*)?\))\s*$",
    re.I,
)


def is_white(color: str | None) -> bool:
    """A colour as files spell it: "FFFFFF", "#fff", "white", "rgb(255, 255, 255)"."""
    return color is not None and len(color) < 64 and _WHITE.match(color) is not None


def is_large(width: int, height: int) -> bool:
    """May a picture of this size, in EMU, say something?"""
    return width >= _LARGE[0] and height >= _LARGE[1]


def count_shown(text: str) -> int:
    """How many characters a reader would have read of it."""
    return len("".join(text.split()))
