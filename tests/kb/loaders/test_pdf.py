"""PDF: real ones by reportlab and pypdf, broken ones by hand."""

from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from server.kb.loaders.base import LoadLimits
from server.kb.loaders.pdf import repair
from tests.kb.loaders.reading import SHARED, pairs, read, refused, write

pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))


def make_pdf(
    path: Path, *pages: list[str], bookmarks: dict[int, list[tuple[int, str]]] | None = None, **options: Any
) -> Path:
    """A page per list of lines; `bookmarks` are (level, title) by page, from 0."""
    canvas = Canvas(str(path), **options)
    for number, lines in enumerate(pages):
        for level, title in (bookmarks or {}).get(number, ()):
            canvas.bookmarkPage(f"{number}-{title}")
            canvas.addOutlineEntry(title, f"{number}-{title}", level)
        canvas.setFont("STSong-Light" if any(not line.isascii() for line in lines) else "Helvetica", 12)
        for index, line in enumerate(lines):
            canvas.drawString(60, 800 - 18 * index, line)
        canvas.showPage()
    canvas.save()
    return path


def test_one_document_per_page_with_its_heading(tmp_path: Path) -> None:
    path = make_pdf(
        tmp_path / "a.pdf",
        ["员工手册", "总则，气温 25℃。"],
        [],
        ["员工每年享有带薪年休假十五天。"],
        ["End."],
        bookmarks={0: [(0, "第一章")], 2: [(0, "第二章 假期"), (1, "年假")]},
    )
    assert [(d.page_content, d.metadata) for d in read(path)] == [
        ("员工手册\n总则，气温 25℃。", {"page": 1, "heading": "第一章"}),
        ("员工每年享有带薪年休假十五天。", {"page": 3, "heading": "第二章 假期 > 年假"}),
        ("End.", {"page": 4, "heading": "第二章 假期 > 年假"}),
    ]


def test_hyphenated_words_are_joined(tmp_path: Path) -> None:
    path = make_pdf(
        tmp_path / "a.pdf", ["This is an inter-", "national firm in 2024-", "2025, Anglo-", "French."]
    )
    (document,) = read(path)
    assert document.page_content == "This is an international firm in 2024-2025, Anglo-French."


def test_a_page_is_cut_where_its_bookmarks_stand(tmp_path: Path) -> None:
    path = make_pdf(
        tmp_path / "a.pdf",
        ["总则。", "第一章 考勤", "九点上班。", "第二章", "假期", "年假五天。"],
        ["病假三天。"],
        bookmarks={0: [(0, "第一章 考勤"), (0, "第二章 假期")]},
    )
    assert [(d.page_content, d.metadata) for d in read(path)] == [
        ("总则。", {"page": 1}),
        ("第一章 考勤\n九点上班。", {"page": 1, "heading": "第一章 考勤"}),
        ("第二章\n假期\n年假五天。", {"page": 1, "heading": "第二章 假期"}),
        ("病假三天。", {"page": 2, "heading": "第二章 假期"}),
    ]


def test_radicals_become_characters() -> None:
    assert repair("⽂⾃⼈⻚ ⺟⻓⻔ ①ﬁ㎡") == "文自人页 母长门 ①ﬁ㎡"
    assert repair("exam\ufffe\r\nple A\ufffe1 in\x02ner") == "example A-1 inner"


def test_password(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=make_pdf(tmp_path / "plain.pdf", ["secret"]))
    writer.encrypt("user", "owner")
    writer.write(tmp_path / "a.pdf")
    assert refused(tmp_path / "a.pdf") == "encrypted"


def test_owner_password_alone_does_not_lock(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=make_pdf(tmp_path / "plain.pdf", ["open"]))
    writer.encrypt("", "owner")
    writer.write(tmp_path / "a.pdf")
    assert pairs(tmp_path / "a.pdf", "page") == [(1, "open")]


def test_missing_xref_is_rebuilt(tmp_path: Path) -> None:
    data = make_pdf(tmp_path / "whole.pdf", ["hello"]).read_bytes()
    assert pairs(write(tmp_path / "a.pdf", data[: data.rindex(b"xref")]), "page") == [(1, "hello")]


@pytest.mark.parametrize("keep", [0.02, 0.1, 0.3])
def test_truncated(tmp_path: Path, keep: float) -> None:
    data = make_pdf(tmp_path / "whole.pdf", *[["第一页"]] * 5).read_bytes()
    assert refused(write(tmp_path / "a.pdf", data[: int(len(data) * keep)])) in ("parse_error", "no_text")


@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7\n", b"<html></html>", b"PK\3\4", b"%PDF-1.4\nstartxref\n99999999\n%%EOF"]
)
def test_what_is_no_pdf(tmp_path: Path, data: bytes) -> None:
    assert refused(write(tmp_path / "a.pdf", data)) == "parse_error"


@pytest.mark.parametrize("fallback", [False, True])
def test_too_many_pages(tmp_path: Path, fallback: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["1"], ["2"], ["3"])
    if fallback:
        _break_pdfium(monkeypatch)
    assert refused(path, LoadLimits(max_pages=2)) == "too_many_pages"
    assert len(read(path, LoadLimits(max_pages=3))) == 3


def test_too_many_characters(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["x" * 80], ["y" * 80])
    assert (
        refused(path, LoadLimits(max_chars=70)) == refused(path, LoadLimits(max_chars=100)) == "parse_limit"
    )


def _break_pdfium(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise pypdfium2.PdfiumError("cannot load", err_code=3)

    monkeypatch.setattr(pypdfium2, "PdfDocument", fail)


def test_pypdf_reads_what_pdfium_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["员工手册"], ["second"])
    _break_pdfium(monkeypatch)
    assert pairs(path, "page") == [(1, "员工手册"), (2, "second")]


def test_pypdf_refuses_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = PdfWriter(clone_from=make_pdf(tmp_path / "plain.pdf", ["secret"]))
    writer.encrypt("user", "owner")
    writer.write(tmp_path / "a.pdf")
    _break_pdfium(monkeypatch)
    assert refused(tmp_path / "a.pdf") == "encrypted"


def test_scripts_and_attachments_are_not_read(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=make_pdf(tmp_path / "plain.pdf", ["hello"]))
    script = {"/S": NameObject("/JavaScript"), "/JS": TextStringObject("app.alert('bad')")}
    writer.root_object[NameObject("/OpenAction")] = DictionaryObject(
        {NameObject(k): v for k, v in script.items()}
    )
    writer.add_attachment("evil.txt", b"bad")
    writer.write(tmp_path / "a.pdf")
    assert len(PdfReader(tmp_path / "a.pdf").attachments) == 1
    assert pairs(tmp_path / "a.pdf", "page") == [(1, "hello")]


def _with_catalog(catalog: bytes, *objects: bytes) -> bytes:
    """A PDF without a cross-reference table, of one page that says "hello"."""
    parts = [
        b"%PDF-1.4",
        b"1 0 obj<</Type/Catalog/Pages 2 0 R" + catalog + b">>endobj",
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj",
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj",
        b"4 0 obj<</Length 38>>stream\nBT /F 12 Tf 20 200 Td (hello) Tj ET    \nendstream endobj",
        b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj",
        *objects,
        b"trailer<</Root 1 0 R>>\n%%EOF",
    ]
    return b"\n".join(parts)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "objects",
    [
        [b"6 0 obj<</First 7 0 R>>endobj", b"7 0 obj<</Title(a)/Next 7 0 R/First 7 0 R>>endobj"],
        [
            b"6 0 obj<</First 7 0 R>>endobj",
            b"7 0 obj<</Title(a)/First 6 0 R/Next 8 0 R>>endobj",
            b"8 0 obj<</Next 7 0 R>>endobj",
        ],
    ],
)
def test_endless_outline(tmp_path: Path, objects: list[bytes]) -> None:
    data = _with_catalog(b"/Outlines 6 0 R", *objects)
    assert pairs(write(tmp_path / "a.pdf", data), "page") == [(1, "hello")]


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
def test_real_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line above a picture of text; test_ocr.py reads that, too."""
    monkeypatch.setattr("server.kb.loaders.pdf.has_ocr", lambda: False)
    assert pairs(SHARED / "ocr_test.pdf", "page") == [(1, "我是文字")]


def test_repeated_text_is_kept_without_fonts_of_the_system(tmp_path: Path) -> None:
    """Cells that say the same, in a font that is not embedded: pdfium without any CJK font takes them for one."""
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.setFont("STSong-Light", 12)
    for index in range(10):
        canvas.drawString(60, 800 - 18 * index, "是")
        canvas.drawString(200, 800 - 18 * index, "是否通过")
    canvas.save()
    (document,) = read(tmp_path / "a.pdf")
    assert document.page_content.split() == ["是", "是否通过"] * 10


def test_no_font_of_the_system_is_looked_for(tmp_path: Path) -> None:
    """Where CJK fonts are installed, loading them for each page takes ten times as long."""
    read(make_pdf(tmp_path / "a.pdf", ["hello"]))
    handler: Any = pypdfium2.PdfSysfontBase.SINGLETON
    assert handler.MapFont(None, 400, 0, 134, 0, b"SimSun", None) == 1
    assert handler.MapFont(None, 400, 0, 0, 0, b"Garamond", None) is None
    assert handler.GetFont(None, b"SimSun") is None
