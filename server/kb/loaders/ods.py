"""OpenDocument sheets: each row of a visible sheet one record, with the names of its columns."""

from collections.abc import Iterator

from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader
from server.kb.loaders.errors import library, too_many_pages
from server.kb.loaders.odf import OpenDocument
from server.kb.loaders.odf_styles import odf
from server.kb.loaders.tables import sheet_records


class OdsLoader(FileLoader):
    """Values as they are shown, dates as ISO. Hidden sheets, rows and columns are left out."""

    def lazy_load(self) -> Iterator[Document]:
        with library("ODS"):
            document = OpenDocument(self.path, ".ods", self.limits, self.watch)
            sheets = document.body.findall(odf("table:table"))
            if len(sheets) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            for sheet in sheets:
                style = sheet.get(odf("table:style-name"))
                if document.styles.says("table", style, "style:table-properties", "table:display") == "false":
                    self.watch.findings.hidden_parts += 1
                    document.count_hidden(sheet)
                    continue
                for text, metadata in sheet_records(sheet.get(odf("table:name"), ""), document.rows(sheet)):
                    yield Document(page_content=text, metadata=metadata)
