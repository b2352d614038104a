"""Citations as people see them: the contract's Markdown, with a number, a link and the passage."""

from collections.abc import Sequence
from urllib.parse import quote

from server.kb.hits import Hit
from server.search.base import WebPage


def cite_file(number: int, hit: Hit, address: str) -> str:
    """`address`: where readers reach this server."""
    if hit.session_id:
        link = f"/session/files/content?session_id={hit.session_id}&document_id={hit.document_id}"
    else:
        query = f"knowledge_base_name={quote(hit.kb_name)}&file_name={quote(hit.file_name)}"
        link = f"/knowledge_base/download_doc?{query}"
    return _cite(number, hit.file_name, f"{address}{link}", hit.text)


def note_unread(names: Sequence[str]) -> list[str]:
    """What stands behind the citations when files of the conversation cannot be searched yet, or now."""
    return [f"附件还不能检索，这次回答没有用到：{'、'.join(names)}"] if names else []


def cite_page(number: int, page: WebPage) -> str:
    # What would end the link early stands there in its other form.
    link = page.url.translate({ord(char): quote(char, safe="") for char in "()<>[]\\\"' "})
    return _cite(number, page.title, link, page.text)


def _cite(number: int, label: str, link: str, text: str) -> str:
    shown = label.replace("[", "\\[").replace("]", "\\]")
    return f"出处 [{number}] [{shown}]({link}) \n\n{text}\n\n"
