"""Text under headings: one document per section, each with the path of headings that leads to it."""

from collections.abc import Iterable, Iterator

from langchain_core.documents import Document

SEPARATOR = " > "
# Whole paragraphs are sometimes set in a heading's style; a path needs their beginning only.
_MAX_TITLE = 100


class HeadingPath:
    """The headings that are open, outermost first."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> None:
        """Open a heading; those of its level or deeper end."""
        self._open = [(other, text) for other, text in self._open if other < level]
        self._open.append((level, " ".join(title.split())[:_MAX_TITLE]))

    def __str__(self) -> str:
        return SEPARATOR.join(title for _, title in self._open if title)


class Sections:
    """Gathers lines and hands out a document whenever a heading ends the section before it."""

    def __init__(self) -> None:
        self._path, self._level = HeadingPath(), 0
        self._heading: str | None = None
        self._lines: list[str] = []

    def enter(self, level: int, title: str, line: str | None = None) -> Iterator[Document]:
        """Begin a section with the heading `title`, which its text shows as `line`."""
        # A heading with nothing but deeper headings below it lives on in their paths.
        if any(text.strip() for text in self._lines) or level <= self._level:
            yield from self.finish()
        self._path.enter(level, title)
        self._level, self._heading, self._lines = level, title if line is None else line, []

    def add(self, line: str) -> None:
        self._lines.append(line)

    def add_all(self, lines: Iterable[str]) -> None:
        self._lines.extend(lines)

    def drop_last(self) -> None:
        """Take the last line back: it turned out to be a heading."""
        self._lines.pop()

    def finish(self) -> Iterator[Document]:
        """Hand out the last section."""
        lines = self._lines if self._heading is None else [self._heading, *self._lines]
        text = "\n".join(lines).strip("\n")
        if text.strip():
            path = str(self._path)
            yield Document(page_content=text, metadata={"heading": path} if path else {})
        self._heading, self._lines = None, []
