"""Subtitles (SRT, WebVTT): what is said, with the time at which it is."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import read_text
from server.kb.loaders.errors import parse_error

_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_SPAN = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")
_VOICE = re.compile(r"<v(?:\.[\w.-]{0,50})?\s([^<>]{1,100})>")
_MARKUP = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_ENDS = re.compile(r"[。！？!?….]+[”’」』）)\"']*$")
# Cues are a line or two; what is said in them reads as one from this many characters on, if a sentence ends there.
_LENGTH = 200
_MAX_LENGTH = 600
# Silence this long begins something new.
_PAUSE = 20.0


@dataclass(slots=True)
class _Cue:
    start: float
    end: float
    lines: list[str] = field(default_factory=list)


class SubtitleLoader(FileLoader):
    """Cues that follow each other are one document, with the time from the first to the last of them."""

    def lazy_load(self) -> Iterator[Document]:
        cues = list(_cues(read_text(self.path, self.limits)))
        if not cues:
            raise parse_error(self.suffix.removeprefix(".").upper())
        group: list[_Cue] = []
        for cue in cues:
            if group and _is_over(group, cue):
                yield _document(group)
                group = []
            group.append(cue)
        yield _document(group)


def _cues(text: str) -> Iterator[_Cue]:
    """A cue is a line with its time, and the lines below up to an empty one. Everything else is a number or a note."""
    cue: _Cue | None = None
    said: list[str] = []
    for line in [*re.split(r"\r\n?|\n", text), ""]:
        match = _SPAN.match(line) if "-->" in line[:100] else None
        if cue is not None and (match or not line.strip()):
            cue.lines = [part for part in map(_plain, said) if part]
            yield cue
            cue = None
        if match:
            cue, said = _Cue(_seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])), []
        elif cue is not None:
            said.append(line[:10_000])


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000


def _plain(line: str) -> str:
    line = _VOICE.sub(lambda match: f"{match[1].strip()}: ", line)
    return " ".join(html.unescape(_MARKUP.sub("", line)).split())


def _is_over(group: list[_Cue], cue: _Cue) -> bool:
    said = [line for one in group for line in one.lines]
    length = sum(map(len, said))
    if cue.start - group[-1].end > _PAUSE or length >= _MAX_LENGTH:
        return True
    return length >= _LENGTH and bool(_ENDS.search(said[-1]))


def _document(group: list[_Cue]) -> Document:
    text = "\n".join(line for cue in group for line in cue.lines)
    end = max(cue.end for cue in group)
    return Document(page_content=text, metadata={"time": f"{_clock(group[0].start)}–{_clock(end)}"})


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"
