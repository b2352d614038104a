"""What vendors send as text, and what of it is text."""

import re

_HALF = re.compile("[\ud800-\udfff]")


def proper(text: str) -> tuple[str, str]:
    """Text that can be stored and sent, and what of it must wait: the first half of a pair, cut off by the provider.

    JSON allows halves of surrogate pairs and NUL; UTF-8 and the databases do not.
    """
    held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
    text = text.removesuffix(held).replace("\0", "")
    if _HALF.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text, held


def proper_whole(text: str) -> str:
    """The same for a text of which no more comes."""
    head, held = proper(text)
    return head + "\ufffd" if held else head
