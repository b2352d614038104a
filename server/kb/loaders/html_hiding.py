"""Which elements of a page its reader does not see: by their own style, or by a plain rule of the page's style sheet."""

import re

from bs4 import BeautifulSoup
from bs4.element import Tag

from server.kb.loaders.hiding import SMALLEST_FONT, is_white

_MAX_STYLE = 2000  # of an element
_MAX_SHEET = 500_000  # of a page
_MAX_RULES = 5000
_NOT_SHOWN = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?:\.0*)?\s*(?:;|!|$))", re.I
)
_FONT_SIZE = re.compile(r"(?:^|;)\s*font-size\s*:\s*(\d{0,9}\.?\d{0,9})\s*(px|pt|em|rem|%|;|!|$)", re.I)
_COLOR = re.compile(r"(?:^|;)\s*color\s*:([^;!]{1,64})", re.I)
_BACKGROUND = re.compile(r"(?:^|;)\s*background", re.I)
# Only what says by itself which elements it means; `a:hover .b > c` is beyond us.
_PLAIN_SELECTOR = re.compile(r"([a-z][\w-]*)?(?:([.#])([\w-]+))?$", re.I)
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_EM = 12.0


class Hiding:
    """Knows the rules of one page."""

    def __init__(self, soup: BeautifulSoup) -> None:
        sheets = [style.get_text() for style in soup.find_all("style")]
        self._hidden = set(_hidden_selectors("\n".join(sheets)[:_MAX_SHEET]))
        # Where style sheets may set backgrounds, a class or id may bring one.
        self._has_sheets = bool(sheets) or soup.find("link", rel="stylesheet") is not None

    def hides(self, tag: Tag) -> bool:
        """Is this element, with all that is in it, hidden?"""
        if tag.has_attr("hidden") or (self._hidden and self._is_ruled_out(tag)):
            return True
        if not tag.has_attr("style") and tag.name != "font":
            return False
        style = str(tag.get("style", ""))[:_MAX_STYLE]
        color = _COLOR.search(style)
        white = is_white(color[1] if color else str(tag.get("color", "")))
        return _is_hiding(style) or (white and not self._has_background(tag))

    def _is_ruled_out(self, tag: Tag) -> bool:
        names = [("", ""), *((".", name) for name in tag.get_attribute_list("class")), ("#", tag.get("id"))]
        return any((prefix, mark, name) in self._hidden for mark, name in names for prefix in ("", tag.name))

    def _has_background(self, tag: Tag) -> bool:
        for element in (tag, *tag.parents):
            if element.has_attr("bgcolor") or element.has_attr("background"):
                return True
            if _BACKGROUND.search(str(element.get("style", ""))[:_MAX_STYLE]):
                return True
            if self._has_sheets and (element.has_attr("class") or element.has_attr("id")):
                return True
        return False


def _is_hiding(style: str) -> bool:
    if _NOT_SHOWN.search(style):
        return True
    size = _FONT_SIZE.search(style)
    if size is None or not size[1].strip("."):
        return False
    factor = {"em": _EM, "rem": _EM, "%": _EM / 100, "px": 0.75}.get(size[2].lower(), 1.0)
    return float(size[1]) * factor < SMALLEST_FONT


def _hidden_selectors(sheet: str) -> list[tuple[str, str, str]]:
    """(element, mark, name) of the plain rules that hide. What stands under @media or the like does not always hold."""
    hidden: list[tuple[str, str, str]] = []
    sheet = _COMMENT.sub("", sheet)
    position = 0
    for _ in range(_MAX_RULES):
        opening = sheet.find("{", position)
        closing = sheet.find("}", opening)
        if opening < 0 or closing < 0:
            break
        selectors = sheet[position:opening].strip()
        position = closing + 1
        if selectors.startswith("@"):
            position = _end_of_block(sheet, opening)
        elif _is_hiding(sheet[opening + 1 : closing][:_MAX_STYLE]):
            for selector in selectors.split(","):
                if match := _PLAIN_SELECTOR.match(selector.strip()):
                    hidden.append((match[1] or "", match[2] or "", match[3] or ""))
    return [rule for rule in hidden if any(rule)]


def _end_of_block(sheet: str, opening: int) -> int:
    depth = 0
    for match in re.finditer("[{}]", sheet[opening:]):
        depth += 1 if match[0] == "{" else -1
        if not depth:
            return opening + match.end()
    return len(sheet)
