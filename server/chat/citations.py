"""Citations as people see them: the contract's Markdown, with a number, a link and the passage."""

from urllib.parse import quote

from server.kb.retriever import Hit
from server.search.base import WebPage


def cite_file(number: int, kb_name: str, hit: Hit, address: str) -> str:
    """`address`: where readers reach this server."""
    query = f"knowledge_base_name={quote(kb_name)}&file_name={quote(hit.file_name)}"
    return _cite(number, hit.file_name, f"{address}/knowledge_base/download_doc?{query}", hit.text)


def cite_page(number: int, page: WebPage) -> str:
    # What would end the link early stands there in its other form.
    link = page.url.translate({ord(char): quote(char, safe="") for char in "()<>[]\\\"' "})
    return _cite(number, page.title, link, page.text)


def _cite(number: int, label: str, link: str, text: str) -> str:
    shown = label.replace("[", "\\[").replace("]", "\\]")
    return f"出处 [{number}] [{shown}]({link}) \n\n{text}\n\n"
