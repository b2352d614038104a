"""What a stored file is to a browser. Nothing that a page could be made of is ever shown as one."""

import codecs
from pathlib import Path

# Shown in the browser when asked for. Text of whatever kind is shown as plain text.
_SHOWN = {
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/plain",
    ".csv": "text/plain",
    ".tsv": "text/plain",
    ".json": "text/plain",
    ".jsonl": "text/plain",
    ".eml": "text/plain",
}
_SAVED = {
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".eml": "message/rfc822",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".epub": "application/epub+zip",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".rtf": "application/rtf",
    ".msg": "application/vnd.ms-outlook",
}
# Bytes that are looked at.
_SAMPLE = 64 * 1024


def media_type(path: Path, suffix: str, *, preview: bool) -> tuple[str, bool]:
    """The media type, and whether a browser may show the file itself; HTML is bytes to be saved. Reads the beginning."""
    inline = preview and suffix in _SHOWN
    kind = (_SHOWN if inline else _SAVED).get(suffix, "application/octet-stream")
    return (f"{kind}; charset={_charset(path)}" if kind.startswith("text/") else kind), inline


def plain_type(suffix: str) -> str:
    """What a file of this kind is, without looking into it."""
    return _SAVED.get(suffix, "application/octet-stream")


def _charset(path: Path) -> str:
    """UTF-8 where it is, or else what Chinese files without it are written in."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # which allows the last character to be cut
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8"
