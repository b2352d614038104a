"""What of a PDF's page is text, what is hidden, what is a picture; the pictures are recognised in test_ocr.py."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from server.kb.loaders import load, ocr
from server.kb.loaders.base import LoadError, LoadLimits, Watch
from server.kb.loaders.pdf_page import is_garbage
from tests.kb.loaders.reading import read, refused
from tests.kb.loaders.test_pdf import make_pdf

pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))


@pytest.fixture
def _no_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.kb.loaders.pdf.has_ocr", lambda: False)


@pytest.fixture
def recognised(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the pictures that were given to OCR, which reads the same in each."""
    shapes: list[tuple[int, ...]] = []

    def recognise(picture: ocr.Picture) -> str:
        shapes.append(picture.shape)
        return "识别的文字"

    monkeypatch.setattr("server.kb.loaders.pdf.has_ocr", lambda: True)
    monkeypatch.setattr("server.kb.loaders.pdf.recognise", recognise)
    return shapes


def _picture() -> ImageReader:
    buffer = BytesIO()
    Image.new("RGB", (60, 80), (200, 200, 200)).save(buffer, "PNG")
    return ImageReader(buffer)


def _canvas(path: Path) -> Canvas:
    canvas = Canvas(str(path), pagesize=(600, 800))
    canvas.setFont("STSong-Light", 12)
    return canvas


def test_hidden_text_is_left_out_and_counted(tmp_path: Path) -> None:
    canvas = _canvas(tmp_path / "a.pdf")
    canvas.drawString(60, 700, "看得见的文字。")
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(60, 650, "白底白字")
    canvas.setFillColorRGB(0, 0, 0.5)
    canvas.rect(60, 590, 200, 30, fill=1, stroke=0)
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(62, 600, "蓝底白字")
    canvas.setFillColorRGB(0, 0, 0)
    canvas.setFont("STSong-Light", 0.5)
    canvas.drawString(60, 550, "极小的字")
    canvas.setFont("STSong-Light", 12)
    text = canvas.beginText(60, 500)
    text.setTextRenderMode(3)
    text.textLine("无墨的字")
    canvas.drawText(text)
    canvas.save()
    watch = Watch()
    (document,) = load(tmp_path / "a.pdf", ".pdf", LoadLimits(), watch)
    assert document.page_content == "看得见的文字。\n蓝底白字"
    assert watch.findings.hidden_chars == 12


def test_hidden_text_inside_a_form(tmp_path: Path) -> None:
    canvas = _canvas(tmp_path / "a.pdf")
    canvas.beginForm("stamp")
    canvas.setFont("STSong-Light", 12)
    canvas.drawString(60, 700, "看得见")
    canvas.setFillColorRGB(1, 1, 1)
    canvas.drawString(60, 650, "白字")
    canvas.endForm()
    canvas.doForm("stamp")
    canvas.save()
    watch = Watch()
    (document,) = load(tmp_path / "a.pdf", ".pdf", LoadLimits(), watch)
    assert (document.page_content, watch.findings.hidden_chars) == ("看得见", 2)


def test_the_unseen_text_of_a_scan_is_its_text(tmp_path: Path, recognised: list[tuple[int, ...]]) -> None:
    """Programs that recognise scans put it there."""
    canvas = _canvas(tmp_path / "a.pdf")
    canvas.drawImage(_picture(), 0, 0, 600, 800)
    text = canvas.beginText(60, 500)
    text.setTextRenderMode(3)
    text.textLine("扫描件里面已经识别好的文字，有三十个字以上，所以不再识别一遍了。")
    canvas.drawText(text)
    canvas.save()
    watch = Watch()
    (document,) = load(tmp_path / "a.pdf", ".pdf", LoadLimits(), watch)
    assert document.page_content.startswith("扫描件里面")
    assert recognised == []
    assert watch.findings.pictures == 0  # its picture is read


@pytest.mark.usefixtures("recognised")
def test_a_line_above_a_picture_is_its_title(tmp_path: Path) -> None:
    canvas = _canvas(tmp_path / "a.pdf")
    canvas.drawString(60, 700, "组织结构图")
    canvas.drawImage(_picture(), 60, 400, 180, 150)
    canvas.save()
    assert [d.page_content for d in read(tmp_path / "a.pdf")] == ["组织结构图\n识别的文字"]


def _mixed(path: Path) -> Path:
    canvas = _canvas(path)
    canvas.drawString(60, 700, "第一页有一段普通的文字，不是扫描出来的，因此不需要识别，只需要读取。")
    canvas.drawImage(_picture(), 0, 0, 300, 100)  # a picture in a text
    canvas.showPage()
    canvas.drawImage(_picture(), 0, 0, 600, 400)  # a scan in two strips, with a stamp
    canvas.drawImage(_picture(), 0, 400, 600, 400)
    canvas.setFont("STSong-Light", 12)
    canvas.drawString(60, 20, "受控文件")
    canvas.showPage()
    canvas.showPage()  # empty
    canvas.save()
    return path


def test_only_pages_that_are_pictures_are_recognised(
    tmp_path: Path, recognised: list[tuple[int, ...]]
) -> None:
    told: list[tuple[int, int, bool]] = []
    watch = Watch(tell=lambda *message: told.append(message))
    documents = list(load(_mixed(tmp_path / "a.pdf"), ".pdf", LoadLimits(), watch))
    assert [(d.metadata["page"], d.page_content) for d in documents[1:]] == [(2, "识别的文字\n受控文件")]
    assert documents[0].page_content.startswith("第一页")
    assert recognised == [(2000, 1500, 3)]
    assert watch.findings.to_json() == {"pages": 3, "ocr_pages": [2], "pictures": 1}
    assert told == [(0, 3, False), (1, 3, True)]


@pytest.mark.usefixtures("_no_ocr")
def test_without_ocr_scanned_pages_are_counted(tmp_path: Path) -> None:
    watch = Watch()
    documents = list(load(_mixed(tmp_path / "a.pdf"), ".pdf", LoadLimits(), watch))
    assert [d.page_content for d in documents][1:] == ["受控文件"]
    assert (watch.findings.ocr_pages, watch.findings.unread_pages) == ([], [2])


@pytest.mark.usefixtures("_no_ocr")
def test_a_scan_without_ocr_says_what_to_install(tmp_path: Path) -> None:
    canvas = _canvas(tmp_path / "a.pdf")
    canvas.drawImage(_picture(), 0, 0, 600, 800)
    canvas.save()
    assert refused(tmp_path / "a.pdf") == "needs_ocr"
    with pytest.raises(LoadError, match="rapidocr"):
        read(tmp_path / "a.pdf")


def test_too_many_scanned_pages(tmp_path: Path, recognised: list[tuple[int, ...]]) -> None:
    canvas = _canvas(tmp_path / "a.pdf")
    for _ in range(3):
        canvas.drawImage(_picture(), 0, 0, 600, 800)
        canvas.showPage()
    canvas.save()
    assert refused(tmp_path / "a.pdf", LoadLimits(max_ocr_pages=2)) == "too_many_pages"
    assert len(recognised) == 2


def test_text_made_into_shapes_is_recognised(tmp_path: Path, recognised: list[tuple[int, ...]]) -> None:
    canvas = _canvas(tmp_path / "a.pdf")
    for index in range(250):
        canvas.circle(50 + index % 20 * 20, 50 + index // 20 * 20, 5)
    canvas.save()
    assert [d.page_content for d in read(tmp_path / "a.pdf")] == ["识别的文字"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(cid:12)(cid:7) 年", True),
        ("\ue001\ue002\ue003", True),
        ("\x01\x02\x03 a", True),
        ("年假十五天 \ue001", False),
        ("", False),
    ],
)
def test_garbage(text: str, expected: bool) -> None:
    assert is_garbage(text) is expected


def test_garbage_is_recognised_instead(
    tmp_path: Path, recognised: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.kb.loaders.pdf.PDFLoader._raw_text", lambda *_: "\ue001\ue002 (cid:3)")
    assert [d.page_content for d in read(make_pdf(tmp_path / "a.pdf", ["x"]))] == ["识别的文字"]
    assert len(recognised) == 1
