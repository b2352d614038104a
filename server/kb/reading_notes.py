"""What the reading of a file found (`loaders.base.Findings`), in sentences: what its text lacks, or what is doubtful in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from server.core.i18n import Text

# Spans of pages that are named; of more, only how many pages they are is told.
_MAX_SPANS = 6
# A few come with every copied web page.
_MANY_INVISIBLE = 10


def notes(findings: Mapping[str, Any]) -> list[Text]:
    """The gravest first."""
    return [text for name, say in _SENTENCES.items() if (text := say(findings.get(name) or 0)) is not None]


def _pages(zh: str, en: str) -> Callable[[Any], Text | None]:
    """A sentence with pages in it."""

    def say(numbers: Sequence[int] | int) -> Text | None:
        if not isinstance(numbers, list) or not numbers:
            return None
        spans = list(islice(_spans(numbers), _MAX_SPANS + 1))
        if len(spans) > _MAX_SPANS:
            return Text(zh.format(f"有 {len(numbers)} 页"), en.format(f"{len(numbers)} pages"))
        word = "page" if len(numbers) == 1 else "pages"
        return Text(zh.format(f"第 {'、'.join(spans)} 页"), en.format(f"{word} {', '.join(spans)}"))

    return say


def _spans(numbers: Sequence[int]) -> Iterator[str]:
    """1, 2, 3, 7 → "1–3", "7"."""
    rest = sorted(numbers)
    while rest:
        length = next((n for n in range(1, len(rest)) if rest[n] != rest[0] + n), len(rest))
        yield str(rest[0]) if length == 1 else f"{rest[0]}–{rest[length - 1]}"
        rest = rest[length:]


def _count(zh: str, en: str, *, least: int = 1) -> Callable[[Any], Text | None]:
    """A sentence with a number in it, of which there must be so many."""
    return lambda count: Text(zh.format(count), en.format(count)) if count >= least else None


_SENTENCES = {
    "damaged_pages": _pages(
        "{}已损坏，没有读入；请用原来的软件重新导出后再上传。",
        "Damaged and not read: {}. Export the file anew in its program and upload that.",
    ),
    "unread_pages": _pages(
        "{}是扫描图片，没有读入；服务器未安装文字识别（OCR），请联系管理员安装后重新处理。",
        "Scanned and not read: {}. The server has no OCR: ask your operator to install it, and have the file read again.",
    ),
    "blank_pages": _pages(
        "{}是图片，未能识别出文字。",
        "Pictures in which no text was recognised: {}.",
    ),
    "replaced_chars": _count(
        "有 {} 个字符无法解码，已用“\ufffd”代替；请检查文件的编码。",
        "Characters that could not be decoded and stand as “\ufffd”: {}. Check the encoding of the file.",
    ),
    "formulas": _count(
        "有 {} 个公式没有存下计算结果，没有读入；请用 Excel 打开并保存后再上传。",
        "Formulas without a stored result, which are not read: {}. Open the file in Excel, save it, and upload that.",
    ),
    "pictures": _count(
        "文中有 {} 张较大的图片，图片里的文字没有读入；需要时请另存为图片或 PDF 上传。",
        "Large pictures in the text whose words are not read: {}. Where they matter, upload them as pictures or as a PDF.",
    ),
    "attachments": _count(
        "邮件有 {} 个附件，没有读入；需要时请单独上传。",
        "Attachments of the mail that are not read: {}. Where they matter, upload them as files.",
    ),
    "hidden_parts": _count(
        "有 {} 张隐藏的工作表或幻灯片，没有读入。",
        "Hidden sheets or slides that are left out: {}.",
    ),
    "hidden_chars": _count(
        "文件里有 {} 个读者看不见的字符（隐藏、白色或极小的文字），没有读入。",
        "Characters that no reader sees (hidden, white or tiny) and that are left out: {}.",
    ),
    "invisible_chars": _count(
        "文件里有 {} 个没有形状的字符（零宽、方向控制、标记），已去掉。",
        "Characters without a shape (zero-width, bidirectional, tags) that are left out: {}.",
        least=_MANY_INVISIBLE,
    ),
    "ocr_pages": _pages(
        "{}的文字由 OCR 识别而来，可能有个别错字。",
        "Recognised by OCR, so that single characters may be wrong: {}.",
    ),
}
