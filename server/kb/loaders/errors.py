"""Why a file cannot be read, in one sentence per language that also says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from server.kb.loaders.base import LoadError, LoadLimits


@contextmanager
def library(kind: str) -> Iterator[None]:
    """The border to a parser library: whatever it raises on a bad file becomes a LoadError.

    Parsers of hostile files raise anything at all, so this is the one place that catches everything. Running out of
    memory is not the file's answer but the process's end, and passes.
    """
    try:
        yield
    except (LoadError, MemoryError):
        raise
    except Exception as error:
        raise parse_error(kind) from error


def parse_error(kind: str) -> LoadError:
    return LoadError(
        "parse_error",
        f"无法按 {kind} 格式读取该文件，文件可能已损坏；请用原来的软件打开并重新保存后再上传。",
        f"The file cannot be read as {kind} and may be damaged: open it in its program, save it again and upload that.",
    )


def bad_line(kind: str, number: int) -> LoadError:
    return LoadError(
        "parse_error",
        f"第 {number} 行不是有效的 {kind}；请改正这一行后再上传。",
        f"Line {number} is not valid {kind}: correct that line and upload the file again.",
    )


def content_gone() -> LoadError:
    return LoadError(
        "content_gone",
        "服务器上保存的该文件已丢失；请重新上传。",
        "The file's content is gone from the server: upload it again.",
    )


def unsupported(suffix: str) -> LoadError:
    return LoadError(
        "parse_error",
        f"不支持 {suffix or '没有后缀的'} 文件；请转换为支持的格式后再上传。",
        f"Files ending in {suffix or 'nothing'} are not supported: convert the file to a supported format and upload that.",
    )


def old_office(suffix: str) -> LoadError:
    return LoadError(
        "parse_error",
        f"该文件是旧版 Office 格式；请在 Office 中另存为 {suffix} 后再上传。",
        f"The file has the old Office format: save it as {suffix} in Office and upload that.",
    )


def encrypted() -> LoadError:
    return LoadError(
        "encrypted",
        "文件已加密；请去除密码后再上传。",
        "The file is protected by a password: remove the password and upload it again.",
    )


def no_text() -> LoadError:
    return LoadError(
        "no_text",
        "文件中没有可读的文字；请上传含有文字内容的文件。",
        "The file holds no readable text: upload one that does.",
    )


def no_text_in_pdf() -> LoadError:
    return LoadError(
        "no_text",
        "该 PDF 中没有文字层，可能是扫描件，而目前还不支持 OCR；请先做文字识别，再上传带文字的 PDF。",
        "The PDF has no text layer, it may be a scan, and OCR is not available yet: "
        "recognise its text first and upload the searchable PDF.",
    )


def too_many_pages(limits: LoadLimits) -> LoadError:
    return LoadError(
        "too_many_pages",
        f"文件超过 {limits.max_pages} 页（张、个工作表）的上限；请拆分后再上传。",
        f"The file has more than {limits.max_pages} pages (slides, sheets): split it and upload the parts.",
    )


def too_long(limits: LoadLimits) -> LoadError:
    return LoadError(
        "parse_limit",
        f"文件内容超过 {limits.max_chars} 个字符（或单元格）的上限；请拆分后再上传。",
        f"The file holds more than {limits.max_chars} characters (or cells): split it and upload the parts.",
    )


def too_many_records(limit: int) -> LoadError:
    return LoadError(
        "parse_limit",
        f"文件超过 {limit} 条记录的上限；请拆分后再上传。",
        f"The file has more than {limit} records: split it and upload the parts.",
    )


def cell_too_long(number: int) -> LoadError:
    return LoadError(
        "parse_limit",
        f"从第 {number} 条记录起有一个过长的单元格，可能缺少右引号；请检查引号后再上传。",
        f"A cell after record {number} is far too long, perhaps a quote is never closed: "
        "check the quotes and upload the file again.",
    )


def too_deep() -> LoadError:
    return LoadError(
        "parse_limit",
        "文件内容嵌套过深；请减少嵌套层数后再上传。",
        "The content is nested too deeply: flatten it and upload the file again.",
    )


def bad_encoding() -> LoadError:
    return LoadError(
        "encoding",
        "无法确定文件的文字编码；请另存为 UTF-8 编码后再上传。",
        "The encoding of the text cannot be told: save the file as UTF-8 and upload that.",
    )


def archive_limit() -> LoadError:
    return LoadError(
        "archive_limit",
        "文件解压后过大或包含的部件过多；请删去多余内容（如大图）或拆分后再上传。",
        "The file unpacks to too much data or too many parts: remove large content such as pictures, or split it.",
    )


def bad_archive() -> LoadError:
    return LoadError(
        "bad_archive",
        "文件的压缩结构已损坏或不安全；请用原来的软件打开并重新保存后再上传。",
        "The archive inside the file is damaged or unsafe: open it in its program, save it again and upload that.",
    )


def xml_forbidden() -> LoadError:
    return LoadError(
        "xml_forbidden",
        "文件的 XML 中含有被禁止的 DTD 声明；请用 Office 重新保存后再上传。",
        "The file's XML holds a document type declaration, which is not allowed: save it again with Office.",
    )


def needs_full(suffix: str) -> LoadError:
    return LoadError(
        "needs_full",
        f"读取 {suffix} 文件需要完整安装；请管理员运行 make run FULL=1，或将文件转换为 PDF、DOCX 或 TXT 后再上传。",
        f"Reading {suffix} files needs the full installation: ask the administrator to run `make run FULL=1`, "
        "or convert the file to PDF, DOCX or TXT.",
    )


def parse_timeout(seconds: float) -> LoadError:
    return LoadError(
        "parse_timeout",
        f"解析文件超过 {seconds:g} 秒仍未完成，已停止；请拆分或简化文件后再上传。",
        f"Reading the file took more than {seconds:g} seconds and was stopped: split or simplify it and upload that.",
    )


def out_of_memory() -> LoadError:
    return LoadError(
        "parse_limit",
        "读取该文件所需的内存超过上限，其内容展开后过大；请拆分或精简后再上传。",
        "Reading the file takes more memory than allowed, its content unpacks to too much: "
        "split or simplify it and upload that.",
    )


def parse_crashed() -> LoadError:
    return LoadError(
        "parse_crashed",
        "解析程序在读取该文件时崩溃；文件可能已损坏或过于复杂，请重新保存或拆分后再上传。",
        "The parser crashed on this file, which may be damaged or too complex: "
        "save it again or split it, and upload that.",
    )
