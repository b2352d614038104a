"""What RapidOCR reads, in the parser's child: under its limits, without a network."""

import importlib.util
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from server.kb.loaders.base import LoadLimits
from server.kb.parsing import Parser
from tests.kb.loaders.reading import SHARED

FONTS = [
    Path(f"/usr/share/fonts/truetype/{name}")
    for name in ("wqy/wqy-microhei.ttc", "noto/NotoSansSC-Regular.ttf")
]
FONT = next((font for font in FONTS if font.is_file()), None)
HANDBOOK = Path(__file__).resolve().parents[3] / "knowledge_base/samples/handbook/员工手册.md"
ARCHITECTURE = HANDBOOK.parents[3] / "docs/architecture.md"
# File, and which of the fonts in it: the third of Noto's is for simplified Chinese.
SERIF = (Path("/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc"), 2)
ENGLISH = (Path("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf"), 0)
SIZES = (19, 22, 25, 33)  # pixels: 9, 10.5, 12 and 16 points
A4 = (1240, 1754)  # at 150 dpi


def full(test: Callable[..., Any]) -> Callable[..., Any]:
    reason = "needs rapidocr, onnxruntime and the font fonts-wqy-microhei"
    has_all = FONT is not None and all(map(importlib.util.find_spec, ("rapidocr", "onnxruntime")))
    marked: Callable[..., Any] = pytest.mark.full(pytest.mark.skipif(not has_all, reason=reason)(test))
    return marked


@pytest.fixture(scope="module")
async def parser() -> AsyncIterator[Parser]:
    """With the limits of the default configuration."""
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=100), memory=2 * 1024**3)
    yield parser
    await parser.close()


def _lines(count: int, width: int) -> list[str]:
    """Of the handbook, markup and spaces left out."""
    text = "".join(c for c in HANDBOOK.read_text(encoding="utf-8") if not c.isspace() and c not in "#*|-`>")
    return [text[start : start + width] for start in range(0, count * width, width)]


def _page(lines: list[str], size: int = 25) -> Image.Image:
    """A page at 150 dpi: 25 pixels are 12 points."""
    assert FONT is not None
    image = Image.new("RGB", A4, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(FONT), size)
    for index, line in enumerate(lines):
        draw.text((100, 100 + index * size * 1.8), line, font=font, fill="black")
    return image


def _full_page(words: list[str], font: tuple[Path, int], space: str) -> tuple[Image.Image, str]:
    """A page full of words in four sizes, four lines of each; and what stands on it."""
    image, lines, y = Image.new("RGB", A4, "white"), list[str](), 80
    draw, left = ImageDraw.Draw(image), list(words)
    while y < A4[1] - 100 and left:
        size = SIZES[len(lines) // 4 % len(SIZES)]
        face = ImageFont.truetype(str(font[0]), size, index=font[1])
        line = left.pop(0)
        while left and draw.textlength(line + space + left[0], font=face) < A4[0] - 200:
            line += space + left.pop(0)
        draw.text((100, y), line, font=face, fill="black")
        lines.append(line)
        y += round(size * 1.8)
    return image, space.join(lines)


def accuracy(text: str, expected: str) -> float:
    """The share of characters that are right; widths of punctuation count as the same."""
    wide = str.maketrans("，。：；（）！？“”‘’", ",.:;()!?\"\"''")
    a, b = ("".join(one.split()).translate(wide) for one in (text, expected))
    same = sum(block.size for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
    return same / max(len(a), len(b))


@full
async def test_chinese_at_150_dpi(parser: Parser, tmp_path: Path) -> None:
    lines = _lines(30, 40)
    _page(lines).save(tmp_path / "a.png")
    (document,) = await parser.parse(tmp_path / "a.png", ".png")
    assert accuracy(document.page_content, "".join(lines)) >= 0.97


@full
async def test_a_full_page_of_chinese_in_several_sizes(parser: Parser, tmp_path: Path) -> None:
    if not SERIF[0].is_file():
        pytest.skip("the font fonts-noto-cjk is not here")
    image, said = _full_page(list("".join(_lines(60, 40))), SERIF, "")
    assert len(said) > 1_500
    image.save(tmp_path / "a.png")
    (document,) = await parser.parse(tmp_path / "a.png", ".png")
    assert accuracy(document.page_content, said) >= 0.97


@full
async def test_a_full_page_of_english(parser: Parser, tmp_path: Path) -> None:
    """With its spaces, which are no part of `accuracy`."""
    if not ENGLISH[0].is_file():
        pytest.skip("the font fonts-dejavu is not here")
    text = ARCHITECTURE.read_text(encoding="utf-8").partition("## Words")[2].replace("|", " ")
    words = [word for word in text.split() if word.isascii() and word.strip("`*").isalpha()]
    image, said = _full_page([word.strip("`*") for word in words], ENGLISH, " ")
    assert len(said) > 2_500
    image.save(tmp_path / "a.png")
    (document,) = await parser.parse(tmp_path / "a.png", ".png")
    assert accuracy(document.page_content, said) >= 0.97
    read, expected = document.page_content.split(), said.split()
    same = SequenceMatcher(None, read, expected, autojunk=False).get_matching_blocks()
    assert sum(block.size for block in same) >= 0.97 * len(expected)


@full
async def test_a_scan_at_150_dpi_and_only_that_page(parser: Parser, tmp_path: Path) -> None:
    lines = _lines(20, 40)
    canvas = Canvas(str(tmp_path / "a.pdf"), pagesize=(595, 842))
    canvas.drawString(60, 700, "The first page is text, and long enough to need no recognising of anything.")
    canvas.showPage()
    canvas.drawImage(ImageReader(_page(lines)), 0, 0, 595, 842)
    canvas.showPage()
    canvas.save()
    told: list[tuple[int, int]] = []
    reading = await parser.read(tmp_path / "a.pdf", ".pdf", lambda *message: told.append(message))
    first, second = reading.documents
    assert first.page_content.startswith("The first page")
    assert second.metadata == {"page": 2}
    assert accuracy(second.page_content, "".join(lines)) >= 0.97
    assert reading.findings.ocr_pages == [2]
    assert told == [(0, 2), (1, 2), (2, 2)]


@full
@pytest.mark.parametrize("angle", [90, 180])
async def test_turned_photos_and_columns(parser: Parser, tmp_path: Path, angle: int) -> None:
    left, right = _lines(24, 16)[:12], _lines(24, 16)[12:]
    image = _page(left)
    image.paste(_page(right).crop((100, 0, 700, A4[1])), (620, 0))
    image.rotate(angle, expand=True).save(tmp_path / "a.jpg", quality=85)
    (document,) = await parser.parse(tmp_path / "a.jpg", ".jpg")
    assert accuracy(document.page_content, "".join(left + right)) >= 0.97


@full
async def test_the_shared_picture(parser: Parser) -> None:
    path = SHARED / "ocr_test.jpg"
    if not path.is_file():
        pytest.skip("the shared documents are not here")
    (document,) = await parser.parse(path, ".jpg")
    assert document.page_content.split() == ["横向文本框", "竖向文本框", "English", "text"]
    # The same below a line of a PDF.
    reading = await parser.read(SHARED / "ocr_test.pdf", ".pdf")
    (document,) = reading.documents
    assert document.page_content.split() == ["我是文字", "横向文本框", "竖向文本框", "English", "text"]
    assert reading.findings.ocr_pages == [1]
