"""Markdown: one document per section, its text as it is written."""

import re
from collections.abc import Iterator
from typing import Literal

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import read_text
from server.kb.loaders.sections import Sections

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?$")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)$")
_COMMENT = re.compile(r" {0,3}<!--")
# What cannot be the text of an underlined heading: quotes, lists, tables, headings, indented code.
_NOT_A_TITLE = re.compile(r"[ \t]*(>|[-+*][ \t]|\d+[.)][ \t]|\||#)| {4}|\t")
_MAX_LINE = 10_000  # no heading is longer; keeps the expressions off hostile lines

_Kind = Literal["text", "code", "comment"]


class MarkdownLoader(FileLoader):
    """Headings are `# …` and underlined lines, outside of code and front matter. Comments are dropped."""

    def lazy_load(self) -> Iterator[Document]:
        sections, blocks, before = Sections(), _Blocks(), ""
        for line in re.split(r"\r\n?|\n", read_text(self.path, self.limits)):
            kind = blocks.kind(line)
            text = line if kind == "text" and len(line) <= _MAX_LINE else ""
            if match := _HEADING.match(text):
                title = _CLOSING.sub("", (match[2] or "").rstrip()).strip()
                yield from sections.enter(len(match[1]), title, line)
            elif (match := _UNDERLINE.match(text)) and before.strip() and not _NOT_A_TITLE.match(before):
                sections.drop_last()
                yield from sections.enter(1 if match[1][0] == "=" else 2, before.strip(), f"{before}\n{line}")
                text = ""
            elif kind != "comment":
                sections.add(line)
            before = text
        yield from sections.finish()


class _Blocks:
    """Tells, line by line, text from code, front matter and comments, in which "# …" is no heading."""

    def __init__(self) -> None:
        self._kind: _Kind = "text"
        self._end = re.compile("")
        self._is_first = True

    def kind(self, line: str) -> _Kind:
        """What this line belongs to; the lines that open and close a block belong to it."""
        kind = self._kind
        if kind == "text":
            kind = self._kind = self._opens(line)
            self._is_first = False
            if kind != "comment":  # which alone may end on the line where it began
                return kind
        if self._end.search(line):
            self._kind = "text"
        return kind

    def _opens(self, line: str) -> _Kind:
        fence = _FENCE.match(line[:_MAX_LINE])
        if fence and (fence[1][0] == "~" or "`" not in fence[2]):
            self._end = re.compile(rf"^ {{0,3}}{fence[1][0]}{{{len(fence[1])},}}[ \t]*$")
            return "code"
        if self._is_first and line.rstrip() == "---":
            self._end = re.compile(r"^(---|\.\.\.)[ \t]*$")
            return "code"
        if _COMMENT.match(line):
            self._end = re.compile("-->")
            return "comment"
        return "text"
