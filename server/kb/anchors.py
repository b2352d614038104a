"""Where a passage stands, in words.

An anchor is what the loader knew about a passage's place: `page` and `page_end`, `slide`, `sheet` and `range`, `row`,
`heading` (a path, "假期 > 年假"); only the keys that apply.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from server.core.i18n import Language, Text


def describe_context(file_name: str, anchor: Mapping[str, Any]) -> str:
    """What a passage is about: its file and what it stands under. Models read it in front of the passage."""
    parts = [PurePath(file_name).stem, str(anchor.get("sheet", "")), str(anchor.get("heading", ""))]
    return " > ".join(part for part in parts if part)


def describe_place(file_name: str, anchor: Mapping[str, Any], language: Language) -> str:
    """Where to look, for people: `员工手册.pdf 第 3 页`, `价格.xlsx Sheet1!A2:D2`, `手册.md 假期 > 年假`."""
    parts = [file_name]
    if "page" in anchor:
        pages = f"{anchor['page']}–{anchor['page_end']}" if "page_end" in anchor else f"{anchor['page']}"
        parts.append(Text(f"第 {pages} 页", f"page {pages}").in_language(language))
    if "slide" in anchor:
        parts.append(Text(f"第 {anchor['slide']} 张幻灯片", f"slide {anchor['slide']}").in_language(language))
    if "sheet" in anchor:
        parts.append(f"{anchor['sheet']}!{anchor['range']}" if "range" in anchor else str(anchor["sheet"]))
    elif "row" in anchor:
        parts.append(Text(f"第 {anchor['row']} 行", f"row {anchor['row']}").in_language(language))
    if "heading" in anchor:
        parts.append(str(anchor["heading"]))
    return " ".join(parts)
