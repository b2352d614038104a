"""The styles of an OpenDocument file, as far as they hide something."""

import re
from typing import Any

from server.kb.loaders.hiding import SMALLEST_FONT, is_white

Element = Any  # an lxml element: lxml says no more

_OASIS = "urn:oasis:names:tc:opendocument:xmlns:"
NAMESPACES = {
    **{
        name: f"{_OASIS}{name}:1.0"
        for name in ("office", "text", "table", "style", "presentation", "manifest")
    },
    "draw": f"{_OASIS}drawing:1.0",
    "fo": f"{_OASIS}xsl-fo-compatible:1.0",
}
_POINTS = re.compile(r"(\d{1,4}(?:\.\d{1,9})?)pt$")
_MAX_BASE_STYLES = 20


def odf(name: str) -> str:
    """A name as lxml spells it: "text:p" → "{urn:…}p"."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


class Styles:
    """By name and family. What a style does not say, the style that it is based on does."""

    def __init__(self, *roots: Element | None) -> None:
        self._styles: dict[tuple[str, str], Element] = {}
        for root in roots:
            for style in root.iter(odf("style:style")) if root is not None else ():
                key = (style.get(odf("style:family"), ""), style.get(odf("style:name"), ""))
                self._styles.setdefault(key, style)
        self._hides: dict[tuple[str, str], bool] = {}

    def hides(self, element: Element, attribute: str) -> bool:
        """Is the text of a paragraph or span unseen, by the style that `attribute` names?"""
        name = element.get(attribute)
        if name is None:
            return False
        family = "text" if element.tag == odf("text:span") else "paragraph"
        key = (family, name)
        if key not in self._hides:
            self._hides[key] = self._is_hiding(family, name)
        if not self._hides[key]:
            return False
        # White letters may stand on a coloured cell or paragraph.
        return not self._is_white(family, name) or not self._has_background(element)

    def says(self, family: str, name: str | None, properties: str, attribute: str) -> str | None:
        """What a style says, or the first of those it is based on that says something."""
        for _ in range(_MAX_BASE_STYLES):
            style = self._styles.get((family, name or ""))
            if style is None:
                return None
            found = style.find(odf(properties))
            if found is not None and (value := found.get(odf(attribute))) is not None:
                return str(value)
            name = style.get(odf("style:parent-style-name"))
        return None

    def _is_hiding(self, family: str, name: str) -> bool:
        if self.says(family, name, "style:text-properties", "text:display") == "none":
            return True
        size = _POINTS.match(self.says(family, name, "style:text-properties", "fo:font-size") or "")
        return (size is not None and float(size[1]) <= SMALLEST_FONT) or self._is_white(family, name)

    def _is_white(self, family: str, name: str) -> bool:
        return is_white(self.says(family, name, "style:text-properties", "fo:color"))

    def _has_background(self, element: Element) -> bool:
        for parent in (element, *element.iterancestors()):
            # Shapes and pages have backgrounds of many kinds.
            if parent.tag.startswith(f"{{{NAMESPACES['draw']}}}"):
                return True
            for kind, family, attribute in _BACKGROUNDS:
                name = parent.get(attribute)
                color = (
                    self.says(family, name, f"style:{kind}-properties", "fo:background-color")
                    if name
                    else None
                )
                if color is not None and color != "transparent" and not is_white(color):
                    return True
        return False


_BACKGROUNDS = (
    ("text", "text", odf("text:style-name")),
    ("text", "paragraph", odf("text:style-name")),
    ("paragraph", "paragraph", odf("text:style-name")),
    ("table-cell", "table-cell", odf("table:style-name")),
    ("table-row", "table-row", odf("table:style-name")),
    ("table", "table", odf("table:style-name")),
)
