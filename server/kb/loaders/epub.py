"""E-books (EPUB): the chapters in their order, each read as the web page that it is."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote
from zipfile import ZipFile

from defusedxml import ElementTree
from langchain_core.documents import Document

from server.kb.loaders.archive import check_zip
from server.kb.loaders.base import FileLoader
from server.kb.loaders.encoding import decode
from server.kb.loaders.errors import encrypted, library, parse_error, too_many_pages, xml_forbidden
from server.kb.loaders.html import declared_encoding, html_sections
from server.kb.loaders.sections import Sections
from server.kb.loaders.xml import declared_in_xml

_CONTAINER = "META-INF/container.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document"})
_ENCRYPTION = "{http://www.w3.org/2001/04/xmlenc#}EncryptionMethod"
_FONT_METHODS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")


class EpubLoader(FileLoader):
    """One document per section; sections go on from one chapter to the next. The navigation page is left out."""

    def lazy_load(self) -> Iterator[Document]:
        check_zip(self.path, ".epub", self.limits)
        with library("EPUB"), ZipFile(self.path) as archive:
            _refuse_encrypted(archive)
            chapters = list(_chapters(archive))
            if len(chapters) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            sections = Sections()
            for name in chapters:
                data = archive.read(name)
                text = decode(data, declared_in_xml(data) or declared_encoding(data))
                yield from html_sections(text, self.watch, sections)
            yield from sections.finish()


def _chapters(archive: ZipFile) -> Iterator[str]:
    """Names of the pages in reading order; those that the archive lacks are passed over."""
    names = set(archive.namelist())
    if _CONTAINER not in names:
        raise parse_error("EPUB")
    root = _parse(archive.read(_CONTAINER))
    package_name = next((file.get("full-path", "") for file in root.findall(".//{*}rootfile")), "")
    if package_name not in names:
        raise parse_error("EPUB")
    package = _parse(archive.read(package_name))
    folder = PurePosixPath(package_name).parent
    pages = {
        item.get("id"): _inside(folder, item.get("href", ""))
        for item in package.findall(".//{*}item")
        if item.get("media-type") in _PAGES and "nav" not in item.get("properties", "").split()
    }
    for reference in package.findall(".//{*}itemref"):
        name = pages.pop(reference.get("idref"), None)
        if name in names:
            yield name


def _inside(folder: PurePosixPath, href: str) -> str:
    parts: list[str] = []
    for part in (folder / unquote(href.partition("#")[0])).parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in (".", ".."):
            parts.append(part)
    return "/".join(parts)


def _refuse_encrypted(archive: ZipFile) -> None:
    """Fonts may be scrambled; anything else that is encrypted is the book."""
    if "META-INF/encryption.xml" in archive.namelist():
        root = _parse(archive.read("META-INF/encryption.xml"))
        methods = [method.get("Algorithm", "") for method in root.iter(_ENCRYPTION)]
        if not all(method.startswith(_FONT_METHODS) for method in methods):
            raise encrypted()


def _parse(data: bytes) -> Any:
    from defusedxml import DefusedXmlException

    try:
        return ElementTree.fromstring(data, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise xml_forbidden() from error
