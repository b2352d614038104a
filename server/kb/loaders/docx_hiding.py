"""Which runs of a Word document its reader does not see: marked as hidden, of no size, or white on nothing."""

from typing import Any

from docx.oxml.ns import qn

from server.kb.loaders.hiding import SMALLEST_FONT, is_white

_RPR, _PPR, _VAL, _FILL, _STYLE_ID = qn("w:rPr"), qn("w:pPr"), qn("w:val"), qn("w:fill"), qn("w:styleId")
_OFF = frozenset(("0", "false", "off"))
_MAX_BASE_STYLES = 20
# Where a background may come from that is not told here: pictures, shapes, the styles of tables.
_FRAMES = frozenset(map(qn, ("w:tbl", "w:txbxContent")))

Element = Any  # an lxml element: neither lxml nor python-docx says more


class Hiding:
    """Knows the styles of one document."""

    def __init__(self, document: Any) -> None:
        styles = {style.get(_STYLE_ID): style for style in document.styles.element.iter(qn("w:style"))}
        self._styles = {name for name, style in styles.items() if _hides_by_style(style, styles)}
        background = document.element.find(qn("w:background"))
        self._is_white_paper = background is None or is_white(background.get(qn("w:color"), "FFFFFF"))

    def hides(self, run: Element) -> bool:
        """Is the text of this `w:r` unseen?"""
        properties = run.find(_RPR)
        paragraph = run.getparent()
        if properties is None:
            return bool(self._styles) and self._has_hidden_style(paragraph)
        vanish = properties.find(qn("w:vanish"))
        if vanish is not None:
            return _is_on(vanish)
        if self._styles and (
            _style(properties, "w:rStyle") in self._styles or self._has_hidden_style(paragraph)
        ):
            return True
        return _is_tiny(properties) or (self._is_white_paper and _is_white_on_white(run, properties))

    def _has_hidden_style(self, element: Element) -> bool:
        while element is not None and element.tag != qn("w:p"):
            element = element.getparent()
        properties = element.find(_PPR) if element is not None else None
        return properties is not None and _style(properties, "w:pStyle") in self._styles


def _hides_by_style(style: Element, styles: dict[str, Element]) -> bool:
    for _ in range(_MAX_BASE_STYLES):
        properties = style.find(_RPR)
        vanish = properties.find(qn("w:vanish")) if properties is not None else None
        if vanish is not None:
            return _is_on(vanish)
        based_on = style.find(qn("w:basedOn"))
        style = styles.get(based_on.get(_VAL)) if based_on is not None else None
        if style is None:
            break
    return False


def _style(properties: Element, name: str) -> str:
    style = properties.find(qn(name))
    return style.get(_VAL, "") if style is not None else ""


def _is_on(mark: Element) -> bool:
    return mark.get(_VAL, "1") not in _OFF


def _is_tiny(properties: Element) -> bool:
    size = properties.find(qn("w:sz"))
    value = size.get(_VAL, "") if size is not None else ""
    return value.isdecimal() and int(value) <= SMALLEST_FONT * 2  # in half points


def _is_white_on_white(run: Element, properties: Element) -> bool:
    color = properties.find(qn("w:color"))
    if color is None or not is_white(color.get(_VAL)) or color.get(qn("w:themeColor")) is not None:
        return False
    if properties.find(qn("w:highlight")) is not None or _is_shaded(properties):
        return False
    return not any(parent.tag in _FRAMES or _is_shaded(parent.find(_PPR)) for parent in run.iterancestors())


def _is_shaded(properties: Element) -> bool:
    shading = properties.find(qn("w:shd")) if properties is not None else None
    return shading is not None and not (
        shading.get(_FILL, "auto") in ("auto", "none") or is_white(shading.get(_FILL))
    )
