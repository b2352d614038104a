"""OpenDocument presentations: one document per visible slide, with its tables and the speaker's notes."""

from collections.abc import Iterator
from typing import Any

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library, too_many_pages
from server.kb.loaders.odf import OpenDocument
from server.kb.loaders.odf_styles import odf

_NOTES, _CLASS = odf("presentation:notes"), odf("presentation:class")


class OdpLoader(FileLoader):
    """Title first, then the shapes in their order, then the notes. Hidden slides are left out."""

    def lazy_load(self) -> Iterator[Document]:
        with library("ODP"):
            show = OpenDocument(self.path, ".odp", self.limits, self.watch)
            slides = show.body.findall(odf("draw:page"))
            if len(slides) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            for number, slide in enumerate(slides, 1):
                if _is_hidden(show, slide):
                    self.watch.findings.hidden_parts += 1
                    show.count_hidden(slide)
                else:
                    yield _document(show, number, slide)


def _is_hidden(show: OpenDocument, slide: Any) -> bool:
    style = slide.get(odf("draw:style-name"))
    kind = "style:drawing-page-properties"
    return show.styles.says("drawing-page", style, kind, "presentation:visibility") == "hidden"


def _document(show: OpenDocument, number: int, slide: Any) -> Document:
    titles = [shape for shape in slide if shape.get(_CLASS) == "title"]
    heading = "\n".join(block.text for title in titles for block in show.blocks([title]))
    notes = [shape for part in slide.findall(_NOTES) for shape in part if shape.get(_CLASS) == "notes"]
    rest = [shape for shape in slide if shape.tag != _NOTES and shape not in titles]
    lines = [heading, *(block.text for block in show.blocks([*rest, *notes]))]
    text = "\n".join(line for line in lines if line.strip())
    return Document(page_content=text, metadata={"slide": number, "heading": heading})
