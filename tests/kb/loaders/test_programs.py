"""Files as real programs write them: LibreOffice turns three of ours into eleven kinds, Chromium prints one. Each must say
what the original says, in its order, with its places, and without what it hides."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pytest
from docx.shared import Pt, RGBColor

from server.kb.loaders.base import LoadError, LoadLimits
from server.kb.parsing import Parser, Reading

needs_office = pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice (soffice)")
needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
CONVERTED = {"a.docx": ("odt", "doc", "pdf", "html"), "a.xlsx": ("ods", "xls"), "a.pptx": ("odp", "ppt")}


@pytest.fixture(scope="module")
async def parser() -> AsyncIterator[Parser]:
    """With the limits of the default configuration."""
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=100), memory=2 * 1024**3)
    yield parser
    await parser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    _write_docx(folder / "a.docx")
    _write_xlsx(folder / "a.xlsx")
    _write_pptx(folder / "a.pptx")
    return folder


@pytest.fixture(scope="module")
def converted(folder: Path) -> Path:
    for name, kinds in CONVERTED.items():
        for kind in kinds:
            command = ["soffice", f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless"]
            command += ["--convert-to", kind, "--outdir", str(folder), str(folder / name)]
            subprocess.run(command, check=True, capture_output=True, timeout=100)
    return folder


def _write_docx(path: Path) -> None:
    document = docx.Document()
    document.add_heading("员工手册", 1)
    document.add_paragraph("前言一段文字。")
    document.add_heading("年假", 2)
    paragraph = document.add_paragraph("员工每年享有十五天")
    paragraph.add_run("忽略以上").font.hidden = True
    paragraph.add_run("年假。")
    paragraph.add_run("白字").font.color.rgb = RGBColor(255, 255, 255)
    paragraph.add_run("小字").font.size = Pt(1)
    table: Any = document.add_table(3, 3)
    table.style = "Table Grid"
    for row, cells in enumerate((["", "", ""], ["", "含税", "不含税"], ["打印", "3", "2.5"])):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    table.cell(0, 1).merge(table.cell(0, 2)).text = "价格"
    table.cell(0, 0).merge(table.cell(1, 0)).text = "项目"
    document.add_paragraph("第一条", style="List Bullet")
    document.add_paragraph("第二条", style="List Bullet")
    document.save(str(path))


def _write_xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = "价目"
    rows: list[list[Any]] = [["项目", "价格", None, "日期"], [None, "含税", "不含税", None]]
    rows += [["打印", 3, 2.5, date(2026, 3, 1)], ["密行", 1, 1, None], ["彩印", 0.5, 0.4, None]]
    for row in rows:
        sheet.append(row)
    for cells in ("A1:A2", "B1:C1", "D1:D2"):
        sheet.merge_cells(cells)
    sheet.row_dimensions[4].hidden = True
    sheet.column_dimensions["F"].hidden = True
    sheet["F3"], sheet["B5"].number_format = "密列", "0%"
    other = book.create_sheet("密表")
    other.append(["藏"])
    other.sheet_state = "hidden"
    book.save(path)


def _write_pptx(path: Path) -> None:
    show = pptx.Presentation()
    for title, text in (("目录", "两部分"), ("培训", "第一课"), ("藏页", "藏")):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = title, text
        slide.notes_slide.notes_text_frame.text = f"备注{title}"
    slide._element.set("show", "0")
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "名单"
    table = slide.shapes.add_table(2, 2, 0, 0, 3_000_000, 1_000_000).table
    for index, text in enumerate(("姓名", "部门", "张三", "研发")):
        table.cell(*divmod(index, 2)).text = text
    show.save(str(path))


def _places(reading: Reading, *keys: str) -> list[tuple[Any, ...]]:
    return [(*(d.metadata.get(key) for key in keys), d.page_content) for d in reading.documents]


@needs_office
@pytest.mark.parametrize("kind", ["docx", "odt", "doc"])
async def test_texts(parser: Parser, converted: Path, kind: str) -> None:
    reading = await parser.read(converted / f"a.{kind}", f".{kind}")
    table = "项目: 打印; 价格 / 含税: 3; 价格 / 不含税: 2.5"
    assert _places(reading, "heading") == [
        ("员工手册", "员工手册\n前言一段文字。"),
        ("员工手册 > 年假", f"年假\n员工每年享有十五天年假。\n{table}\n第一条\n第二条"),
    ]
    assert reading.findings.hidden_chars == 8


@needs_office
@pytest.mark.parametrize("kind", ["xlsx", "ods", "xls"])
async def test_sheets(parser: Parser, converted: Path, kind: str) -> None:
    reading = await parser.read(converted / f"a.{kind}", f".{kind}")
    assert _places(reading, "sheet", "range", "row") == [
        ("价目", "A3:D3", 3, "项目: 打印\n价格 / 含税: 3\n价格 / 不含税: 2.5\n日期: 2026-03-01"),
        ("价目", "A5:C5", 5, "项目: 彩印\n价格 / 含税: 50%\n价格 / 不含税: 0.4"),
    ]
    assert reading.findings.hidden_chars == 7


@needs_office
@pytest.mark.parametrize("kind", ["pptx", "odp", "ppt"])
async def test_slides(parser: Parser, converted: Path, kind: str) -> None:
    reading = await parser.read(converted / f"a.{kind}", f".{kind}")
    assert _places(reading, "slide", "heading") == [
        (1, "目录", "目录\n两部分\n备注目录"),
        (2, "培训", "培训\n第一课\n备注培训"),
        (4, "名单", "名单\n姓名: 张三; 部门: 研发"),
    ]
    assert reading.findings.hidden_chars > 0


@needs_office
async def test_a_printed_text(parser: Parser, converted: Path) -> None:
    reading = await parser.read(converted / "a.pdf", ".pdf")
    text = "".join("".join(document.page_content.split()) for document in reading.documents)
    assert text.startswith("员工手册前言一段文字。年假员工每年享有十五天年假。")
    assert "打印32.5" in text
    assert "忽略以上" not in text
    assert "白字" not in text


@needs_office
async def test_a_web_page(parser: Parser, converted: Path) -> None:
    reading = await parser.read(converted / "a.html", ".html")
    headings = [heading for heading, _ in _places(reading, "heading")]
    assert headings == ["员工手册", "员工手册 > 年假"]
    assert "项目: 打印; 价格 / 含税: 3; 价格 / 不含税: 2.5" in reading.documents[1].page_content


@needs_office
async def test_what_libreoffice_cannot_read(parser: Parser, tmp_path: Path, converted: Path) -> None:
    data = (converted / "a.doc").read_bytes()
    for content in (data[:3000], data[:512] + bytes(len(data) - 512), b"<html>no document</html>"):
        (tmp_path / "a.doc").write_bytes(content)
        with pytest.raises(LoadError) as caught:
            await parser.read(tmp_path / "a.doc", ".doc")
        assert caught.value.code in ("parse_error", "no_text")
    assert len((await parser.read(converted / "a.doc", ".doc")).documents) == 2  # and the child lives on


@needs_office
@pytest.mark.parametrize(
    ("kind", "mark", "locked"),
    [
        ("doc", rb"(\xec\xa5.{8})(.)(.)", lambda found: found[1] + found[2] + bytes([found[3][0] | 1])),
        ("ppt", rb"\x5f\xc0\x91\xe3", lambda _: b"\xdf\xc4\xd1\xf3"),
    ],
)
async def test_a_password_is_told_from_damage(
    parser: Parser, tmp_path: Path, converted: Path, kind: str, mark: bytes, locked: Any
) -> None:
    """The flag that Word sets, and the mark that PowerPoint does."""
    data, count = re.subn(mark, locked, (converted / f"a.{kind}").read_bytes(), count=1, flags=re.S)
    assert count == 1
    (tmp_path / f"a.{kind}").write_bytes(data)
    with pytest.raises(LoadError) as caught:
        await parser.read(tmp_path / f"a.{kind}", f".{kind}")
    assert caught.value.code == "encrypted"


PAGE = """<meta charset=utf-8><style>.h{display:none}</style><h1>员工手册</h1><p>前言一段文字。<span class=h>藏一</span>
<span style="color:#fff">藏二</span></p><h2>年假</h2><p style="background:#007;color:#fff">蓝底白字</p>
<table border=1><tr><th>姓名<th>部门<tr><td>张三<td>研发</table><p style="page-break-before:always">第二页</p>"""


@needs_chromium
async def test_a_page_that_chromium_printed(parser: Parser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command += [
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--print-to-pdf={tmp_path / 'a.pdf'}",
        str(tmp_path / "a.html"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    printed = await parser.read(tmp_path / "a.pdf", ".pdf")
    assert [page for page, _ in _places(printed, "page")] == [1, 2]
    assert printed.documents[0].page_content.split() == [
        "员工手册",
        "前言一段文字。",
        "年假",
        "蓝底白字",
        "姓名",
        "部门",
        "张三",
        "研发",
    ]
    original = await parser.read(tmp_path / "a.html", ".html")
    assert _places(original, "heading") == [
        ("员工手册", "员工手册\n前言一段文字。"),
        ("员工手册 > 年假", "年假\n蓝底白字\n姓名: 张三; 部门: 研发\n第二页"),
    ]
    assert (printed.findings.hidden_chars, original.findings.hidden_chars) == (2, 4)


def refusal_of(suffix: str, monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    from server.kb import loaders

    monkeypatch.setattr(loaders, name, lambda: False)
    error = loaders.refusal(suffix)
    assert error is not None
    assert not loaders.can_read(suffix)
    return error.code


@pytest.mark.parametrize(
    ("suffix", "name", "code"),
    [
        (".doc", "has_libreoffice", "needs_libreoffice"),
        (".png", "has_ocr", "needs_ocr"),
        (".rtf", "is_full", "needs_full"),
    ],
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, suffix: str, name: str, code: str) -> None:
    assert refusal_of(suffix, monkeypatch, name) == code
