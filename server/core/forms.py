"""Forms as they are meant: whole, of bounded size, with names that can be read."""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from server.core.errors import AppError, BadRequest, TooLarge
from server.core.i18n import Text

_WINDOWS_PATH = re.compile(r'\bfilename="([A-Za-z]:\\[^"]*|\\\\[^"]*)"')


async def read_form(
    headers: Headers,
    stream: AsyncGenerator[bytes, None],
    *,
    max_files: int,
    max_fields: int,
    max_part_size: int,
) -> FormData:
    """Read a multipart or URL-encoded body; anything else has no fields. Raises BadRequest, TooLarge."""
    kind, _ = parse_options_header(headers.get("content-type"))
    parser: FormParser | MultiPartParser
    if kind == b"multipart/form-data":
        parser = _Multipart(
            headers, stream, max_files=max_files, max_fields=max_fields, max_part_size=max_part_size
        )
    elif kind == b"application/x-www-form-urlencoded":
        parser = FormParser(headers, stream, max_fields=max_fields, max_part_size=max_part_size)
    else:
        return FormData()
    try:
        async with aclosing(stream):
            return await parser.parse()
    except MultiPartException as error:
        raise _refusal(parser, error.message) from error


class _Multipart(MultiPartParser):
    """Starlette's parser passes over a missing end, and takes bytes that are no text for Latin ones."""

    _has_ended = False

    def on_end(self) -> None:
        self._has_ended = True

    def on_headers_finished(self) -> None:
        try:
            disposition = (self._current_part.content_disposition or b"").decode(self._charset)
        except (UnicodeError, LookupError):
            raise BadRequest(
                Text("文件名不是 UTF-8 编码", "a file name is not UTF-8"), code="bad_filename"
            ) from None
        super().on_headers_finished()
        # The parser cuts the path off, for Internet Explorer 6; a path is refused like any other.
        path = _WINDOWS_PATH.search(disposition)
        if path and self._current_part.file:
            self._current_part.file.filename = path[1]

    async def parse(self) -> FormData:
        self.stream = self._whole(self.stream)
        return await super().parse()

    async def _whole(self, stream: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in stream:
            yield chunk
        if not self._has_ended:
            # Raised from here, so that the parser closes the files it has begun.
            raise BadRequest(
                Text("上传中断，文件不完整，请重新上传", "the upload broke off; send it again"),
                code="upload_broken",
            )


def _refusal(parser: FormParser | MultiPartParser, message: str) -> AppError:
    if isinstance(parser, MultiPartParser) and parser._current_files > parser.max_files:
        return TooLarge(
            Text(
                f"一次最多上传 {parser.max_files} 个文件",
                f"at most {parser.max_files} files may be sent at once",
            )
        )
    if parser._current_fields > parser.max_fields:
        return TooLarge(
            Text(f"表单最多 {parser.max_fields} 个字段", f"a form has at most {parser.max_fields} fields")
        )
    if "maximum size" in message:
        size = parser.max_part_size
        return TooLarge(Text(f"表单字段超过 {size} 字节", f"a field is larger than {size} bytes"))
    return BadRequest(Text(f"表单格式有误：{message}", f"the form cannot be read: {message}"))
