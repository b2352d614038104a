"""Reading files: pages a second of a text PDF beside pypdf and pdfium alone, Word documents, a long PDF's memory, OCR."""

import ctypes
import gc
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from bench.report import Figure, show
from server.kb.loaders.base import LoadLimits
from server.kb.parsing import Parser

_PAGES, _LONG, _ROUNDS = 150, 1_600, 3
_DOCUMENTS, _SCANS = 40, 3
_FONT = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
_LINE = (
    "第{page}页第{line}行：员工应当按照本条的要求办理相关手续，并在规定时间内完成登记，逾期未办理的视为放弃。"
)


async def run() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parser = Parser(LoadLimits(), timeout=timedelta(minutes=5), memory=2 * 1024**3)
        try:
            figures = [await _text_pdf(parser, folder), await _word(parser, folder), await _memory(folder)]
            figures += [await _ocr(parser, folder)] if _has_ocr() else []
        finally:
            await parser.close()
    show("Reading files, in the parser's child", figures)


def _write_pdf(path: Path, pages: int) -> Path:
    """With an embedded font where there is one, as programs for people write it."""
    font = "Chinese"
    if _FONT.is_file():
        pdfmetrics.registerFont(TTFont(font, str(_FONT)))
    else:
        font = "STSong-Light"
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    canvas = Canvas(str(path))
    for page in range(pages):
        canvas.setFont(font, 10)
        for line in range(40):
            canvas.drawString(60, 780 - line * 18, _LINE.format(page=page, line=line))
        canvas.showPage()
    canvas.save()
    return path


async def _text_pdf(parser: Parser, folder: Path) -> Figure:
    path = _write_pdf(folder / "text.pdf", _PAGES)
    await parser.parse(path, ".pdf")  # the child is there, its libraries are loaded
    ours = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        documents = await parser.parse(path, ".pdf")
        ours.append(_PAGES / (time.perf_counter() - started))
    chars = sum(len(document.page_content) for document in documents)
    pdfium = [_PAGES / _seconds(_by_pdfium, path) for _ in range(_ROUNDS)]
    pypdf = _PAGES / _seconds(_by_pypdf, path)
    speed = statistics.median(ours)
    raw = (
        f"{_PAGES} pages, {chars:,} chars; pdfium alone {statistics.median(pdfium):,.0f} pages/s, pypdf alone {pypdf:,.0f} pages/s; "
        f"rounds {[f'{one:,.0f}' for one in ours]}"
    )
    return Figure("text PDF", f"{speed:,.0f} pages/s", "≥ 2 × pypdf", speed >= 2 * pypdf, raw)


def _seconds(read: Callable[[Path], int], path: Path) -> float:
    started = time.perf_counter()
    read(path)
    return time.perf_counter() - started


def _by_pdfium(path: Path) -> int:
    import pypdfium2

    chars = 0
    with pypdfium2.PdfDocument(path) as pdf:
        for page in pdf:
            text = page.get_textpage()
            chars += len(text.get_text_range())
            text.close()
            page.close()
    return chars


def _by_pypdf(path: Path) -> int:
    from pypdf import PdfReader

    return sum(len(page.extract_text()) for page in PdfReader(path).pages)


async def _word(parser: Parser, folder: Path) -> Figure:
    """Ten pages each: headings, paragraphs and a table."""
    import docx

    document = docx.Document()
    for chapter in range(10):
        document.add_heading(f"第{chapter}章", 1)
        for line in range(20):
            document.add_paragraph(_LINE.format(page=chapter, line=line))
        table = document.add_table(10, 4)
        for index in range(40):
            table.cell(*divmod(index, 4)).text = f"第{index}格"
    document.save(str(folder / "a.docx"))
    await parser.parse(folder / "a.docx", ".docx")
    started = time.perf_counter()
    for _ in range(_DOCUMENTS):
        await parser.parse(folder / "a.docx", ".docx")
    speed = _DOCUMENTS / (time.perf_counter() - started)
    return Figure(
        "Word documents of ten pages",
        f"{speed:,.1f} docx/s",
        "≥ 5 docx/s",
        speed >= 5,
        f"{_DOCUMENTS} one after the other",
    )


async def _memory(folder: Path) -> Figure:
    """Of a child of its own, which reads nothing else."""
    path = _write_pdf(folder / "long.pdf", _LONG)
    parser = Parser(LoadLimits(), timeout=timedelta(minutes=5), memory=2 * 1024**3)
    started, before = time.perf_counter(), _rss()
    try:
        documents = await parser.parse(path, ".pdf")
        seconds = time.perf_counter() - started
        peak = _of_child(parser, "status", "VmHWM") / 1024
    finally:
        await parser.close()
    size = path.stat().st_size / 1024**2
    raw = f"{_LONG} pages, {size:.1f} MiB, read in {seconds:.1f} s with the start of the child; "
    raw += f"{len(documents)} documents in the worker: {(_rss() - before) / 1024:.0f} MiB more"
    return Figure("memory of the child, 1,600 pages", f"{peak:,.0f} MiB", "≤ 500 MiB", peak <= 500, raw)


def _rss() -> int:
    """Of this process, in KiB, without what it only keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/status").read_text(encoding="utf-8").partition("VmRSS:")[2].split()[0])


def _of_child(parser: Parser, file: str, name: str) -> int:
    """What the kernel knows of the parser's child."""
    assert parser._child is not None
    text = Path(f"/proc/{parser._child._process.pid}/{file}").read_text(encoding="utf-8")
    if file == "status":
        return int(text.partition(f"{name}:")[2].split()[0])
    return sum(map(int, text.rsplit(")", 1)[1].split()[11:13]))


def _cpu_seconds(parser: Parser) -> float:
    return _of_child(parser, "stat", "") / os.sysconf("SC_CLK_TCK")


def _has_ocr() -> bool:
    return find_spec("rapidocr") is not None and _FONT.is_file()


async def _ocr(parser: Parser, folder: Path) -> Figure:
    """A4 pages of 30 lines, scanned at 150 dpi."""
    from PIL import Image, ImageDraw, ImageFont
    from reportlab.lib.utils import ImageReader

    font = ImageFont.truetype(str(_FONT), 25)
    canvas = Canvas(str(folder / "scan.pdf"), pagesize=(595, 842))
    for page in range(_SCANS + 1):
        image = Image.new("RGB", (1240, 1754), "white")
        draw = ImageDraw.Draw(image)
        for line in range(30):
            draw.text(
                (100, 100 + line * 50), _LINE.format(page=page, line=line)[:40], font=font, fill="black"
            )
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        canvas.drawImage(ImageReader(buffer), 0, 0, 595, 842)
        canvas.showPage()
    canvas.save()
    marks: list[tuple[float, float]] = []
    await parser.read(
        folder / "scan.pdf", ".pdf", lambda *_: marks.append((time.perf_counter(), _cpu_seconds(parser)))
    )
    # The file begins, its first page does, with which the models are loaded, and then those that count.
    (began, cpu), (ended, cpu_ended) = marks[2], marks[-1]
    pages = len(marks) - 3
    seconds = (cpu_ended - cpu) / pages
    raw = f"{pages} pages of 30 lines, one thread; {(ended - began) / pages:.1f} s/page by the clock"
    return Figure("OCR of a scanned page", f"{seconds:.1f} s of CPU", "≤ 5 s", seconds <= 5, raw)
