"""Where a passage stands, in words.

An anchor is what the loader knew about a passage's place: `page` and `page_end`, `slide`, `sheet` and `range`, `row`,
`time` (a span of a recording), `heading` (a path, "假期 > 年假"); only the keys that apply. Of a question with its answer, it
has the question too: that is what is searched, and the answer is the passage's text.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from server.core.i18n import Language, Text

QUESTION = "qa_question"


def question_of(anchor: Mapping[str, Any]) -> str | None:
    """The question that a passage answers, if it is one of a list of questions."""
    question = anchor.get(QUESTION)
    return question if isinstance(question, str) and question else None


def describe_context(file_name: str, anchor: Mapping[str, Any]) -> str:
    """What a passage is about: its file and what it stands under. Models read it in front of the passage."""
    parts = [PurePath(file_name).stem, str(anchor.get("sheet", "")), str(anchor.get("heading", ""))]
    return " > ".join(part for part in parts if part)


def searched_text(file_name: str, anchor: Mapping[str, Any], text: str) -> str:
    """What a passage is found by when it is searched by words."""
    return f"{describe_context(file_name, anchor)}\n{question_of(anchor) or text}"


def text_for_model(file_name: str, anchor: Mapping[str, Any], text: str) -> str:
    """What an embedding model reads of a passage. A file's name without a letter (20240315-001) says nothing about it."""
    says_something = any(map(str.isalpha, PurePath(file_name).stem))
    context = describe_context(file_name if says_something else "", anchor)
    text = question_of(anchor) or text
    return f"{context}\n{text}" if context else text


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
    if "time" in anchor:
        parts.append(str(anchor["time"]))
    if "heading" in anchor:
        parts.append(str(anchor["heading"]))
    return " ".join(parts)
