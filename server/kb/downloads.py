"""How a stored file is handed out: to browsers that show it, to pages that read it piece by piece, and as its text."""

from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse

from server.core.pagination import Page, PageParams
from server.kb.passages import ReadText
from server.kb.schemas import ReadPassage
from server.kb.service import Content

# The id of a passage, as databases keep it.
Near = Annotated[int | None, Query(ge=0, le=2**63 - 1)]


def hand_out(stored: Content, request: Request) -> Response:
    """The file, or the `Range` of it that is asked for; 304 when the caller has it. Nothing in it runs, whatever it is."""
    disposition = "inline" if stored.inline else "attachment"
    last = PurePosixPath(stored.document.file_name).name
    headers = {
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(last, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{stored.document.sha256}"',
    }
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {headers["ETag"], "*"}:
        return Response(status_code=304, headers=headers)
    return FileResponse(stored.path, media_type=stored.media_type, headers=headers)


def read_out(read: ReadText, paging: PageParams) -> Page[ReadPassage]:
    """What was read of a file."""
    items = [ReadPassage(chunk_id=number, text=text, anchor=anchor) for number, text, anchor in read.passages]
    return Page(items=items, total=read.total, page=read.page, page_size=paging.page_size)
