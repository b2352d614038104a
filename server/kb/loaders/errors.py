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


def no_questions() -> LoadError:
    return LoadError(
        "no_questions",
        "文件里没有问答两列：请在表头写明“问题”和“答案”（或 question、answer），或换一种分块方式。",
        "There are no columns of questions and answers: name them question and answer (or 问题, 答案) in the header, or cut the file another way.",
    )


def answer_too_long(row: int) -> LoadError:
    return LoadError(
        "answer_too_long",
        f"第 {row} 行的答案超过 20000 字；请缩短或拆成几条问答，或换一种分块方式。",
        f"The answer in row {row} has more than 20,000 characters: shorten or divide it, or cut the file another way.",
    )


def too_much_overlap() -> LoadError:
    return LoadError(
        "too_much_overlap",
        "段落重叠太多，切出的文字超过原文的十倍；请减小 chunk_overlap",
        "passages overlap so much that they would be ten times as long as the file; choose a smaller chunk_overlap",
    )


def too_long_for_one(most: int) -> LoadError:
    return LoadError(
        "too_long_for_one_passage",
        f"全文超过 {most} 字，不能作为一段；请换一种分块方式。",
        f"The file has more than {most} characters and cannot be one passage: cut it another way.",
    )


def nothing_enabled() -> LoadError:
    return LoadError(
        "all_disabled",
        "该文件的段落都已被停用或删除，没有可检索的内容。请删除该文件后重新上传，或换一个文件名上传。",
        "All passages of this file are switched off or deleted: nothing of it can be searched. Delete the file and upload it again, or upload it under another name.",
    )


def no_text_in_pdf() -> LoadError:
    return LoadError(
        "no_text",
        "该 PDF 中没有可读的文字，也没有识别出文字；请上传带文字的 PDF 或更清晰的扫描件。",
        "The PDF holds no readable text and none was recognised: upload a searchable PDF or a clearer scan.",
    )


def scan_needs_ocr() -> LoadError:
    return LoadError(
        "needs_ocr",
        "该 PDF 中没有文字层，是扫描件，读取它需要 OCR 组件；请管理员运行 make run FULL=1"
        "（或 pip install rapidocr onnxruntime），或先做文字识别，再上传带文字的 PDF。",
        "The PDF has no text layer, it is a scan, and reading it needs the OCR packages: ask the administrator to run "
        "`make run FULL=1` (or `pip install rapidocr onnxruntime`), or upload a searchable PDF.",
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
        "文件的 XML 中含有被禁止的 DTD 或实体声明；请去除后再上传，Office 文件可用 Office 重新保存。",
        "The file's XML declares a document type or entities, which is not allowed: remove that, "
        "or save an Office file again with Office.",
    )


def needs_full(suffix: str) -> LoadError:
    return LoadError(
        "needs_full",
        f"读取 {suffix} 文件需要完整安装；请管理员运行 make run FULL=1，或将文件转换为 PDF、DOCX 或 TXT 后再上传。",
        f"Reading {suffix} files needs the full installation: ask the administrator to run `make run FULL=1`, "
        "or convert the file to PDF, DOCX or TXT.",
    )


def needs_ocr(suffix: str) -> LoadError:
    return LoadError(
        "needs_ocr",
        f"读取 {suffix} 图片中的文字需要 OCR 组件；请管理员运行 make run FULL=1（或 pip install rapidocr onnxruntime），"
        "或先做文字识别，再上传带文字的文件。",
        f"Reading the text in {suffix} pictures needs the OCR packages: ask the administrator to run `make run FULL=1` "
        "(or `pip install rapidocr onnxruntime`), or recognise the text first and upload that.",
    )


def needs_libreoffice(suffix: str) -> LoadError:
    new = f"{suffix}x"
    return LoadError(
        "needs_libreoffice",
        f"读取旧版 Office 的 {suffix} 文件需要服务器上装有 LibreOffice；请管理员安装（命令 soffice），"
        f"或在 Office 中另存为 {new} 后再上传。",
        f"Reading {suffix} files of old Office needs LibreOffice on the server: ask the administrator to install it "
        f"(command `soffice`), or save the file as {new} in Office and upload that.",
    )


def not_converted(suffix: str) -> LoadError:
    return LoadError(
        "parse_error",
        f"LibreOffice 无法转换该文件，文件可能已损坏或已加密；请在 Office 中另存为 {suffix}x 后再上传。",
        "LibreOffice cannot convert the file, which may be damaged or protected by a password: "
        f"save it as {suffix}x in Office and upload that.",
    )


def image_limit(limits: LoadLimits) -> LoadError:
    megapixels = limits.max_pixels // 1_000_000
    return LoadError(
        "image_limit",
        f"图片超过 {megapixels} 百万像素的上限；请缩小后再上传。",
        f"The picture has more than {megapixels} million pixels: make it smaller and upload that.",
    )


def no_text_in_picture() -> LoadError:
    return LoadError(
        "no_text",
        "图片中没有识别出文字；请上传更清晰的图片，或含有文字内容的文件。",
        "No text was recognised in the picture: upload a clearer one, or a file with text.",
    )


def too_many_ocr_pages(limits: LoadLimits) -> LoadError:
    return LoadError(
        "too_many_pages",
        f"文件中的扫描页超过 {limits.max_ocr_pages} 页的上限；请拆分后再上传，或先做文字识别。",
        f"The file has more than {limits.max_ocr_pages} scanned pages: split it and upload the parts, "
        "or recognise its text first.",
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
