"""Uploads that are no proper requests (B60 to B70), each given to the server byte by byte."""

import gzip
from dataclasses import dataclass

PATH = "/knowledge_base/upload_docs"
_NAME = b'--XX\r\nContent-Disposition: form-data; name="knowledge_base_name"\r\n\r\nkb\r\n'
_END = b"--XX--\r\n"


def _file(name: bytes, data: bytes = b"text", more: bytes = b"") -> bytes:
    disposition = b'Content-Disposition: form-data; name="files"; filename="%s"%s' % (name, more)
    return b"--XX\r\n" + disposition + b"\r\nContent-Type: application/pdf\r\n\r\n" + data + b"\r\n"


def _field(name: str, value: str) -> bytes:
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


@dataclass(frozen=True)
class Request:
    """`lengths` are the headers Content-Length, the true one when None; `status` 0 is a connection closed without an answer."""

    id: str
    body: bytes
    status: frozenset[int]
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "multipart/form-data; boundary=XX"),)
    lengths: tuple[str, ...] | None = None
    is_chunked: bool = False
    leaves: bool = False  # the client sends no more after the body, and says so
    code: str = ""


def _of(*status: int) -> frozenset[int]:
    return frozenset(status)


def _typed(content_type: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", content_type),)


# The answer may be lost when the server stops listening to what is still being sent.
_CUT = _of(0, 413)
_WHOLE = _NAME + _file(b"p.txt") + _END

REQUESTS = [
    Request("B60 no boundary", _WHOLE, _of(400, 422), _typed("multipart/form-data")),
    Request("B60 another boundary", _WHOLE, _of(400, 422), _typed("multipart/form-data; boundary=YY")),
    Request("B60 10 kB of boundary", _WHOLE, _of(400, 422, 431), _typed("multipart/form-data; boundary=" + "X" * 10_000)),
    Request("B61", b"\r\n" * 5_000_000 + _WHOLE, _of(200, 400, 413, 422)),
    Request("B62 files", _NAME + b"".join(_file(b"%d.txt" % n) for n in range(2_000)) + _END, _of(413)),
    Request("B62 fields", b"".join(_field(str(n), "1") for n in range(2_000)) + _END, _of(413)),
    Request("B63", _field("x", "x" * 30_000_000) + _END, _CUT),
    Request("B64", b"&".join(b"%d=1" % n for n in range(300_000)), _CUT, _typed("application/x-www-form-urlencoded")),
    Request("B65 shorter", _WHOLE, _of(400, 422), lengths=("20",)),
    Request("B65 larger", _WHOLE, _of(0, 400), lengths=(str(len(_WHOLE) + 500),), leaves=True),
    Request("B65 negative", _WHOLE, _of(0, 400), lengths=("-1",)),
    Request("B65 two", _WHOLE, _of(0, 400), lengths=(str(len(_WHOLE)), "5")),
    Request("B66", gzip.compress(bytes(20_000_000)), _of(415), (*_typed("multipart/form-data; boundary=XX"), ("Content-Encoding", "gzip"))),
    Request("B67", _NAME + _file(b"wrong type.txt", "年假十五天。".encode()) + _END, _of(200)),
    Request("B68", _field("x", "x" * 30_000_000) + _END, _CUT, is_chunked=True),
    Request("B69", _NAME + _file(b"same.txt", b"one") + _file(b"same.txt", b"other") + _END, _of(200, 409)),
    Request("B09 no name", _NAME + _field("files", "年假十五天。") + _END, _of(400, 422)),
    Request("B18", _NAME + _file(b"good.txt", b"x", b"; filename*=UTF-8''..%2Fx.txt") + _END, _of(200, 400)),
    *(
        Request(f"B70 {name}={value}", _NAME + _field(name, value) + _file(b"q.txt") + _END, _of(422, 400))
        for name, value in (("override", "maybe"), ("chunk_size", "-1"), ("chunk_overlap", "10000"), ("chunk_size", str(10**9)), ("chunk_size", "x"))
    ),
]  # fmt: skip
