"""Makes screenshots small: 128 colours are enough for a page. `python scripts/shrink_pictures.py FROM TO`, see make pictures."""

import sys
from pathlib import Path

from PIL import Image

# What a reader of the README or of an issue may want to see; the rest is for whoever took them.
_PAGES = [
    "entry",
    "home",
    "chat",
    "source",
    "original",
    "options",
    "sessions",
    "documents",
    "test",
    "jobs",
    "preview",
    "passages",
    "versions",
]
_LOOKS = ("phone", "phone-dark", "desktop", "desktop-dark")


def main() -> None:
    source, target = map(Path, sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    for name in [f"{page}-{look}.png" for page in _PAGES for look in _LOOKS]:
        picture = Image.open(source / name).convert("RGB")
        small = picture.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(target / name, optimize=True)


if __name__ == "__main__":
    main()
