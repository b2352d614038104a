"""Web pages saved whole (MHTML): the page of the bundle, read as HTML. Its pictures and frames are left."""

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import DECLARED, decode
from server.kb.loaders.errors import library, parse_error, too_long
from server.kb.loaders.html import declared_encoding, html_sections

_MAX_PARTS = 2000


class MHTMLLoader(FileLoader):
    """The first HTML part is the page."""

    def lazy_load(self) -> Iterator[Document]:
        if self.path.stat().st_size > 4 * self.limits.max_chars:
            raise too_long(self.limits)
        with library("MHTML"):
            page = _page(message_from_bytes(self.path.read_bytes()))
            if page is None:
                raise parse_error("MHTML")
            yield from html_sections(part_text(page), self.watch)


def _page(message: Message) -> Message | None:
    for number, part in enumerate(message.walk()):
        if number > _MAX_PARTS:
            break
        if part.get_content_type() in ("text/html", "application/xhtml+xml"):
            return part
    return None


def part_text(part: Message) -> str:
    """The text of a part of a mail or bundle, in the encoding that it names or else is in. Raises LoadError."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    charset = str(part.get_param("charset", "") or "").strip("\"' ").lower()
    return decode(data, DECLARED.get(charset) or declared_encoding(data))
