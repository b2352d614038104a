"""What a file is by its content, and whether that is what its name says. Nothing is unpacked or parsed here."""

import mmap
import re
import zipfile
from pathlib import Path

from server.core.errors import Invalid, UnsupportedFile
from server.core.i18n import Text
from server.kb.loaders.encoding import looks_like_utf16

_HEAD = 4096
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_ZIP = b"PK\x03\x04"

# What people call each kind.
_NAMES = {
    "pdf": Text("PDF 文件", "a PDF"),
    "docx": Text("Word 文档（.docx）", "a Word document (.docx)"),
    "xlsx": Text("Excel 工作簿（.xlsx）", "an Excel workbook (.xlsx)"),
    "pptx": Text("PowerPoint 演示文稿（.pptx）", "a PowerPoint presentation (.pptx)"),
    "odt": Text("OpenDocument 文本（.odt）", "an OpenDocument text (.odt)"),
    "ods": Text("OpenDocument 表格（.ods）", "an OpenDocument sheet (.ods)"),
    "odp": Text("OpenDocument 演示文稿（.odp）", "an OpenDocument presentation (.odp)"),
    "epub": Text("电子书（.epub）", "an e-book (.epub)"),
    "zip": Text("ZIP 压缩包", "a ZIP archive"),
    "doc": Text("旧版 Word 文档（.doc）", "a Word document of old (.doc)"),
    "xls": Text("旧版 Excel 工作簿（.xls）", "an Excel workbook of old (.xls)"),
    "ppt": Text("旧版 PowerPoint 演示文稿（.ppt）", "a PowerPoint presentation of old (.ppt)"),
    "msg": Text("Outlook 邮件（.msg）", "an Outlook message (.msg)"),
    "locked": Text("加密的 Office 文件", "an Office file with a password"),
    "ole": Text("OLE 复合文件", "an OLE file"),
    "rtf": Text("RTF 文档（.rtf）", "an RTF document (.rtf)"),
    "html": Text("网页（.html）", "a web page (.html)"),
    "image": Text("图片", "a picture"),
    "archive": Text("压缩包", "an archive"),
    "program": Text("可执行程序", "a program"),
    "binary": Text("二进制文件", "binary data"),
    "text": Text("纯文本", "plain text"),
}
_MAGIC = (
    (b"{\\rtf", "rtf"),
    (b"\x89PNG\r\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"\x7fELF", "program"),
    (b"MZ\x90", "program"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"\xcf\xfa\xed\xfe", "program"),
    (b"Rar!\x1a\x07", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"\x1f\x8b\x08", "archive"),
    (b"\xfd7zXZ\0", "archive"),
    (b"BZh9", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),
)
# The part that makes a zip a document of Office, and what the first entry of the others says.
_OFFICE_PARTS = {"word/document.xml": "docx", "xl/workbook.xml": "xlsx", "ppt/presentation.xml": "pptx"}
_MIMETYPES = {
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
    b"application/vnd.oasis.opendocument.presentation": "odp",
    b"application/epub+zip": "epub",
}
# Names in the directory of an OLE file, and what has them; in this order, as workbooks are embedded in documents.
_OLE_STREAMS = (
    ("EncryptedPackage", "locked"),
    ("__properties_version1.0", "msg"),
    ("PowerPoint Document", "ppt"),
    ("WordDocument", "doc"),
    ("Workbook", "xls"),
    ("Book", "xls"),
)
_HTML = re.compile(
    rb"\s*(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html|head|body|table|meta)\b", re.I | re.S
)

# Suffix → kinds that are it. What is not here is text of some kind; the loader tells an unreadable one by itself.
_OFFICE = frozenset({"locked", "ole", "doc", "xls", "ppt"})
_KINDS: dict[str, frozenset[str]] = {
    ".pdf": frozenset({"pdf"}),
    # The loaders say what to do with an encrypted file and with one in the format of old.
    **{f".{kind}": frozenset({kind}) | _OFFICE for kind in ("docx", "xlsx", "pptx")},
    **{f".{kind}": frozenset({kind}) for kind in ("odt", "ods", "odp", "epub", "rtf")},
    ".doc": frozenset({"doc", "rtf", "ole", "locked"}),
    ".xls": frozenset({"xls", "ole", "locked"}),
    ".ppt": frozenset({"ppt", "ole", "locked"}),
    ".msg": frozenset({"msg", "ole"}),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"), frozenset({"image"})),
}
_TEXTS = frozenset({"text", "html"})


def check_type(path: Path, suffix: str, size: int) -> None:
    """Is the content what the suffix says? Raises Invalid (empty) or UnsupportedFile (another type, and which)."""
    if size == 0:
        raise Invalid(Text("文件是空的（0 字节）", "the file is empty (0 bytes)"), code="empty_file")
    kind = kind_of(path, suffix)
    if kind not in _KINDS.get(suffix, _TEXTS):
        name = _NAMES[kind]
        raise UnsupportedFile(
            Text(
                f"文件内容不是 {suffix} 格式，而是{name.zh}，请检查扩展名",
                f"the content is not {suffix} but {name.en}; check the file's extension",
            ),
            code="type_mismatch",
        )


def kind_of(path: Path, suffix: str) -> str:
    """One of the names above. `suffix` decides where content alone leaves it open."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(_ZIP):
        return _zip_kind(path, suffix)
    if head.startswith(_OLE):
        return _ole_kind(path)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if b"%PDF-" in head[:1024] and (suffix == ".pdf" or head.startswith(b"%PDF-")):
        return "pdf"
    # Two letters say little: other bytes must agree.
    if (head.startswith(b"BM") and head[6:10] == bytes(4)) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    if head[257:262] == b"ustar":
        return "archive"
    if _is_binary(head):
        return "binary"
    return "html" if _HTML.match(head) else "text"


def _is_binary(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return False
    return head.count(0) * 100 > len(head) and not looks_like_utf16(head)


def _zip_kind(path: Path, suffix: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = frozenset(archive.namelist())
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
                with archive.open("mimetype") as entry:
                    mimetype = entry.read(200).strip()
                if mimetype in _MIMETYPES:
                    return _MIMETYPES[mimetype]
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, EOFError, NotImplementedError):
        # Damaged rather than mistyped, if it should be a zip at all: the loader finds out and says so.
        kind = suffix.removeprefix(".")
        return kind if kind in {*_OFFICE_PARTS.values(), *_MIMETYPES.values()} else "zip"
    return next((kind for part, kind in _OFFICE_PARTS.items() if part in names), "zip")


def _ole_kind(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name, kind in _OLE_STREAMS:
            # A directory's entry is 128 bytes, its name first, with a zero at its end.
            if data.find(name.encode("utf-16-le") + b"\0\0") >= 0:
                return kind
    return "ole"
