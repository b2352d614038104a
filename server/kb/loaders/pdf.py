"""PDF: one document per page and section. pdfium reads; pypdf tries again what pdfium cannot open.

A page that is a picture of text, or whose text is garbage, is drawn and its text recognised; all others are only read.
"""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pypdfium2 as pdfium
from langchain_core.documents import Document

from server.kb.loaders.base import FileLoader, LoadError
from server.kb.loaders.errors import (
    encrypted,
    library,
    no_text_in_pdf,
    parse_error,
    scan_needs_ocr,
    too_long,
    too_many_ocr_pages,
    too_many_pages,
)
from server.kb.loaders.hiding import count_shown
from server.kb.loaders.lines import join_wrapped
from server.kb.loaders.ocr import best_scale, has_ocr, recognise
from server.kb.loaders.pdf_font import use_box_font
from server.kb.loaders.pdf_page import Page, is_garbage
from server.kb.loaders.sections import HeadingPath

_TELL_EVERY = 25
_MAX_SCALE = 300 / 72  # of points to pixels: more dots show no more
_WRONG_PASSWORD = 4  # FPDF_ERR_PASSWORD

# PDF programs often map a glyph to the radical that looks like it (⽂⻚), which no query is ever typed with.
# Unicode folds the Kangxi block by itself, but hardly any of U+2E80 to U+2EFF.
_RADICALS = str.maketrans(
    "⺁⺄⺅⺆⺈⺉⺊⺌⺍⺎⺒⺓⺖⺘⺙⺛⺜⺝⺟⺠⺡⺣⺤⺥⺦⺧⺨⺩⺬⺭⺮⺯⺰⺱⺲⺶⺹⺻⺼⺽⺾⺿⻀⻁⻂⻃⻄⻅⻆⻈⻉⻊⻋⻌⻍⻎⻏⻐⻑⻓⻔⻖⻗⻘⻙⻚⻛⻜⻝⻠⻢⻣⻤⻥⻦⻧⻨⻩⻪⻫⻬⻭⻮⻯⻰⻱⻲⻳",
    "厂乙亻冂刀刂卜小小兀巳幺忄扌攵旡日月母民氵灬爫爫丬牛犭王示礻竹糹纟罓罒羊耂聿肉臼艹艹艹虎衤覀西见角讠贝足车辶辶辶阝钅長长门阝雨青韦页风飞食饣马骨鬼鱼鸟卤麦黄黾斉齐歯齿竜龙龜亀龟",
)
_KANGXI = re.compile("[\u2f00-\u2fdf]+")
# pdfium puts U+FFFE where it joins a word that a hyphen broke over two lines, U+0002 in some versions.
_HYPHENATED = re.compile("(?<=[a-z])[\ufffe\x02](?:\r?\n)?(?=[a-z])")
_HYPHEN = re.compile("[\ufffe\x02](?:\r?\n)?")


class _Bookmark(NamedTuple):
    """An entry of the outline: its title, and the path of headings that leads to it."""

    title: str
    path: str


class PDFLoader(FileLoader):
    """Pages without text are left out. Scripts, forms and attachments are not looked at, hidden text is counted."""

    def lazy_load(self) -> Iterator[Document]:
        has_text, path = False, ""
        for number, (bookmarks, text) in enumerate(self._pages(), 1):
            sections = _sections(path, bookmarks, join_wrapped(repair(text).replace("\r\n", "\n")))
            path = bookmarks[-1].path if bookmarks else path
            for heading, part in sections:
                has_text = True
                yield Document(page_content=part, metadata={"page": number, "heading": heading})
        if not has_text:
            raise self._nothing()

    def _nothing(self) -> LoadError:
        """Why there is no text."""
        if self.watch.findings.unread_pages:
            return scan_needs_ocr()
        return parse_error("PDF") if self.watch.findings.damaged_pages else no_text_in_pdf()

    def _pages(self) -> Iterator[tuple[list[_Bookmark], str]]:
        use_box_font()
        try:
            pdf = pdfium.PdfDocument(self.path)
        except pdfium.PdfiumError as error:
            if error.err_code == _WRONG_PASSWORD:
                raise encrypted() from error
            yield from self._pages_by_pypdf()
            return
        with library("PDF"), closing(pdf):
            yield from self._pages_by_pdfium(pdf)

    def _pages_by_pdfium(self, pdf: pdfium.PdfDocument) -> Iterator[tuple[list[_Bookmark], str]]:
        if len(pdf) > self.limits.max_pages:
            raise too_many_pages(self.limits)
        outline = _outline(pdf)
        self.watch.findings.pages = len(pdf)
        for index in range(len(pdf)):
            if index % _TELL_EVERY == 0:
                self.watch.tell(index, len(pdf), False)
            text = ""
            try:
                text = self._page(pdf, index)
            except pdfium.PdfiumError:  # the others are worth reading
                self.watch.findings.damaged_pages.append(index + 1)
            yield outline.get(index, []), text

    def _page(self, pdf: pdfium.PdfDocument, index: int) -> str:
        with closing(pdf[index]) as page:
            content = Page(page)
            text = self._text(page, content)
            if content.is_scan(text):
                return self._recognise(page, content, text, (index, len(pdf)))
            self.watch.findings.pictures += content.count_silent_pictures()
            return text

    def _text(self, page: pdfium.PdfPage, content: Page) -> str:
        """What is seen of a page's text."""
        text = self._raw_text(page)
        if content.take_hidden():
            seen = self._raw_text(page)
            self.watch.findings.hidden_chars += max(count_shown(text) - count_shown(seen), 0)
            return seen
        return text

    def _raw_text(self, page: pdfium.PdfPage) -> str:
        with closing(page.get_textpage()) as text_page:
            if text_page.count_chars() > self.limits.max_chars:
                raise too_long(self.limits)
            return str(text_page.get_text_range())

    def _recognise(self, page: pdfium.PdfPage, content: Page, text: str, at: tuple[int, int]) -> str:
        """The text of a scan, and below it what was stamped on it; or a line above a picture, and the text of that."""
        findings = self.watch.findings
        number = at[0] + 1
        if not has_ocr():
            findings.unread_pages.append(number)
            return text
        if len(findings.ocr_pages) + len(findings.blank_pages) >= self.limits.max_ocr_pages:
            raise too_many_ocr_pages(self.limits)
        self.watch.tell(*at, True)
        if is_garbage(text):
            text = ""
        else:
            content.take_text()  # or it would be read twice
        bitmap = page.render(scale=min(best_scale(*page.get_size()), _MAX_SCALE), rev_byteorder=True)
        found = recognise(bitmap.to_numpy()[:, :, :3])
        bitmap.close()
        (findings.ocr_pages if found else findings.blank_pages).append(number)
        parts = (found, text) if content.is_covered() else (text, found)
        return "\n".join(part for part in parts if part.strip())

    def _pages_by_pypdf(self) -> Iterator[tuple[list[_Bookmark], str]]:
        from pypdf import PdfReader

        with library("PDF"):
            reader = PdfReader(self.path)
            if reader.is_encrypted and not reader.decrypt(""):
                raise encrypted()
            if len(reader.pages) > self.limits.max_pages:
                raise too_many_pages(self.limits)
            if not reader.pages:
                raise parse_error("PDF")
            for page in reader.pages:
                yield [], page.extract_text()


def _outline(pdf: pdfium.PdfDocument) -> dict[int, list[_Bookmark]]:
    """Page index → its bookmarks. An outline is a help: what is wrong with it is passed over."""
    path, bookmarks = HeadingPath(), dict[int, list[_Bookmark]]()
    for bookmark in pdf.get_toc():
        title = repair(bookmark.get_title()).strip()
        path.enter(bookmark.level, title)
        destination = bookmark.get_dest()
        index = destination.get_index() if destination else None
        if index is not None:
            bookmarks.setdefault(index, []).append(_Bookmark(title, str(path)))
    return bookmarks


def _sections(path: str, bookmarks: list[_Bookmark], text: str) -> Iterator[tuple[str, str]]:
    """Cut a page where the titles of its bookmarks stand; `path` is the heading it begins under.

    A title that the page does not show leaves its text under the heading before; where it shows none of them, the
    whole page is under the last.
    """
    start, is_shown = 0, False
    for bookmark in bookmarks:
        title = r"\s*".join(map(re.escape, "".join(bookmark.title.split())))
        match = re.compile(title).search(text, start) if title else None
        if match is None:
            continue
        if before := text[start : match.start()].strip():
            yield path, before
        start, path, is_shown = match.start(), bookmark.path, True
    if bookmarks and not is_shown:
        path = bookmarks[-1].path
    if rest := text[start:].strip():
        yield path, rest


def repair(text: str) -> str:
    """What extraction does to text, undone: hyphens at line ends, radicals in place of characters."""
    text = _HYPHENATED.sub("", text)
    text = _HYPHEN.sub("-", text)
    text = _KANGXI.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    return text.translate(_RADICALS) if any("\u2e80" <= char <= "\u2eff" for char in text) else text
