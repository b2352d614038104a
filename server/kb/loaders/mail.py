"""Mail (.eml): one document with the headers that a reader of mail sees, and the body. Attachments are files of their own."""

from collections.abc import Iterator
from datetime import datetime
from email import message_from_binary_file, policy
from email.headerregistry import DateHeader
from email.message import EmailMessage

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader, LoadError
from server.kb.loaders.encoding import decode, refuse_garbage
from server.kb.loaders.errors import library, too_long
from server.kb.loaders.html import html_lines
from server.kb.loaders.mhtml import part_text

_SHOWN = ("Subject", "From", "To", "Cc", "Date")


class MailLoader(FileLoader):
    """The HTML body where there is one, as tables are tables in it; else the plain one."""

    def lazy_load(self) -> Iterator[Document]:
        if self.path.stat().st_size > 4 * self.limits.max_chars:
            raise too_long(self.limits)
        with library("EML"):
            with self.path.open("rb") as file:
                mail = message_from_binary_file(file, policy=policy.default)
            headers = {name: _header(mail, name) for name in _SHOWN}
            lines = [f"{name}: {value}" for name, value in headers.items() if value]
            text = "\n".join([*lines, "", *self._body(mail)])
            # Those of a page's pictures are none.
            hung_on = [part for part in mail.walk() if part.get_content_disposition() == "attachment"]
            self.watch.findings.attachments = len(hung_on)
            yield Document(page_content=refuse_garbage(text), metadata={"heading": headers["Subject"]})

    def _body(self, mail: EmailMessage) -> Iterator[str]:
        body = mail.get_body(("html", "plain"))
        if body is None:
            return
        text = part_text(body)
        is_html = body.get_content_type() == "text/html"
        lines = html_lines(text, self.watch) if is_html else text.splitlines()
        yield from (line.rstrip() for line in lines if line.strip())


def _header(mail: EmailMessage, name: str) -> str:
    value = mail[name]
    if value is None:
        return ""
    if isinstance(value, DateHeader) and isinstance(value.datetime, datetime):
        return value.datetime.isoformat()  # by the clock of whoever sent it
    raw = next(str(raw) for key, raw in mail.raw_items() if key.lower() == name.lower())
    if raw.isascii():
        return " ".join(str(value).split())
    # Bytes beyond ASCII, which headers should not have, come as half surrogates.
    data = raw.encode("utf-8", "surrogateescape")
    try:
        text = decode(data)
    except LoadError:  # too short to be told; no reason to refuse a mail
        text = data.decode("gb18030", "replace")
    return " ".join(text.split())
