"""Ingestion through the worker against the embedder alone on the same texts, and pages a second of a text PDF."""

import io
import time
from pathlib import Path

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from bench.report import Figure, show
from bench.stage import CALLER, stage
from server.kb.embedding import content_of
from server.kb.loaders.base import LoadLimits
from server.kb.parsing import Parser
from server.kb.splitters import Passage
from server.kb.uploads import Upload
from server.worker import open_worker

_FILES, _CHARS = 8, 6_000
_PAGES = 150


def _text(seed: int) -> str:
    """Prose without repetition, so that no passage's vector can be copied."""
    parts = [
        f"第{seed}部第{n}条：凡在第{seed * 7 + n}号岗位工作满{n % 17 + 1}个月的员工，可以向第{n % 23}部门提出第{n}类申请，"
        f"由编号{seed * 1000 + n}的负责人在{n % 9 + 1}个工作日内答复，金额不超过{n * 13 % 997}元。"
        for n in range(_CHARS // 75)
    ]
    return "\n".join(parts)


async def run() -> None:
    figures = [await _ingestion(), *await _parsing()]
    show("Ingestion: 250/50 characters, bundled model", figures)


async def _ingestion() -> Figure:
    """Three rounds of both, one after the other, each on texts of its own; the ratio of the sums."""
    through, alone, chars = [], [], 0
    for round_ in range(3):
        async with stage() as services, open_worker(services) as worker:
            kb = await services.kb.create(CALLER, "kb")
            embedder = await services.embedders.of(kb)
            for number in range(_FILES):
                data = _text(round_ * _FILES + number).encode()
                upload = Upload(f"{number}.txt", len(data), io.BytesIO(data))
                await services.kb.uploads.take(kb, upload, services.kb.choose_chunking())
            started = time.perf_counter()
            await worker.run_until_idle()
            through.append(time.perf_counter() - started)
            contents = await _contents(services)
            chars += sum(map(len, contents))
            started = time.perf_counter()
            for first in range(0, len(contents), 40):
                embedder.embed_passages(contents[first : first + 40])
            alone.append(time.perf_counter() - started)
    ratio = sum(alone) / sum(through)
    raw = (
        f"{chars:,} chars: worker {sum(through):.1f} s ({chars / sum(through):,.0f} chars/s), embedder alone "
    )
    raw += f"{sum(alone):.1f} s ({chars / sum(alone):,.0f} chars/s); rounds {[f'{a / b:.2f}' for a, b in zip(alone, through, strict=True)]}"
    return Figure("speed against the embedder alone", f"{ratio:.2f} ×", "≥ 0.9 ×", ratio >= 0.9, raw)


async def _contents(services) -> list[str]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    from sqlalchemy import select

    from server.kb.models import Chunk, Document

    async with services.database.read() as session:
        rows = await session.execute(
            select(Chunk, Document.file_name).join(Document, Document.id == Chunk.document_id)
        )
        return [
            content_of(name, Passage(chunk.text, chunk.anchor), is_plain=True).text for chunk, name in rows
        ]


async def _parsing() -> list[Figure]:
    with io.BytesIO() as buffer:
        _write_pdf(buffer)
        path = Path("/tmp") / "bench.pdf"
        path.write_bytes(buffer.getvalue())
    from datetime import timedelta

    parser = Parser(LoadLimits(), timeout=timedelta(minutes=5), memory=2 * 1024**3)
    try:
        started = time.perf_counter()
        await parser.parse(path, ".pdf")
        cold = time.perf_counter() - started
        times = []
        for _ in range(5):
            started = time.perf_counter()
            documents = await parser.parse(path, ".pdf")
            times.append(time.perf_counter() - started)
    finally:
        await parser.close()
        path.unlink()
    speed = _PAGES / min(times)
    chars = sum(len(document.page_content) for document in documents)
    raw = f"{_PAGES} pages, {chars:,} chars; first with the start of the child {cold:.2f} s, then {[f'{t:.2f}' for t in times]} s"
    return [Figure("text PDF, parsed", f"{speed:,.0f} pages/s", "≥ 40 pages/s", speed >= 40, raw)]


def _write_pdf(buffer: io.BytesIO) -> None:
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    canvas = Canvas(buffer)
    for page in range(_PAGES):
        canvas.setFont("STSong-Light", 11)
        for line in range(40):
            canvas.drawString(
                60,
                780 - line * 18,
                f"第{page}页第{line}行：员工应当按照本条的要求办理相关手续，并在规定时间内完成登记。",
            )
        canvas.showPage()
    canvas.save()
