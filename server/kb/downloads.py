"""How a stored file is handed out, to browsers that show it and pages that read it piece by piece."""

from urllib.parse import quote

from fastapi.responses import FileResponse

from server.kb.service import Content


def hand_out(stored: Content) -> FileResponse:
    """The file, or the `Range` of it that is asked for. Nothing in it runs, whatever it is."""
    disposition = "inline" if stored.inline else "attachment"
    headers = {
        "Content-Disposition": f"{disposition}; filename*=UTF-8''{quote(stored.document.file_name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Cache-Control": "private, no-cache",
    }
    return FileResponse(stored.path, media_type=stored.media_type, headers=headers)
