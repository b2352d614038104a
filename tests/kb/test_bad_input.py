"""Runs the catalogue of bad inputs against the server, its worker and its parser. After every case: it is alive, nothing was
a 500, nothing lies outside its folder, nobody was called, it has not grown, and what it says tells nothing of itself."""

import asyncio
import ctypes
import gc
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from server.core.settings import Settings
from tests.kb.badinput.cases import CONTENTS, NAMES, QUERIES, Content, Name
from tests.kb.badinput.protocol import PATH, REQUESTS, Request
from tests.support.api import Caller

pytestmark = [pytest.mark.one_database, pytest.mark.timeout(400)]

GROWTH = 64 * 1024**2
SECONDS = 45
TELLS = re.compile(r"Traceback|File \"|SELECT |INSERT |/tmp/|/work/|site-packages|sqlalchemy|pypdfium")
_WATCHED = {"socket.connect", "socket.sendto"}
_calls: list[Any] = []
_is_watching = False


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _is_watching and event in _WATCHED:
        _calls.append(args[1])


sys.addaudithook(_watch)


@dataclass
class Trap:
    """A server that nobody may ask anything."""

    url: str
    asked: list[bytes] = field(default_factory=list)


@pytest.fixture
async def trap() -> AsyncIterator[Trap]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    found = Trap(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield found


class Guard:
    """What is looked at after every case."""

    def __init__(self, editor: Caller, settings: Settings, folder: Path, trap: Trap) -> None:
        self.editor, self._data, self._folder, self._trap = editor, settings.server.data_dir, folder, trap
        self._outside = self._files_outside()
        _forget()
        self._rss = _memory()
        self.faults: list[str] = []

    def _files_outside(self) -> set[Path]:
        names = {path for path in self._folder.rglob("*") if self._data not in (path, *path.parents)}
        return {path for path in names if not path.name.startswith("info.db")}

    async def look(self, case: str, begun: float, *texts: str) -> None:
        """Note what is wrong after this case."""
        faults = []
        alive = await self.editor.get("/knowledge_base/list_knowledge_bases")
        if alive.status_code != 200:
            faults.append(f"not alive: {alive.status_code}")
        if new := self._files_outside() - self._outside:
            faults.append(f"outside its folder: {new}")
        content = [
            path for path in self._data.rglob("content/*") if not re.fullmatch(r"doc_\w+\.\w+", path.name)
        ]
        if content:
            faults.append(f"names of its files: {content}")
        if self._trap.asked:
            faults.append(f"it asked: {self._trap.asked}")
            self._trap.asked.clear()
        if (seconds := time.monotonic() - begun) > SECONDS:
            faults.append(f"took {seconds:.0f} s")
        faults += [f"says too much: {found[0]}" for text in texts if (found := TELLS.search(text))]
        if _memory() - self._rss > GROWTH:
            _forget()
            if (grown := _memory() - self._rss) > GROWTH:
                faults.append(f"grew by {grown >> 20} MiB")
            self._rss += max(grown, 0)
        self.note(case, *faults)

    def note(self, case: str, *faults: str) -> None:
        self.faults += [f"{case}: {fault}" for fault in faults]


def _forget() -> None:
    """Give back what is only kept for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _memory() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.fixture
async def guard(editor: Caller, settings: Settings, tmp_path: Path, trap: Trap) -> AsyncIterator[Guard]:
    global _is_watching
    if sys.platform != "linux":
        pytest.skip("memory is looked up as on Linux")
    await editor.create_kb()
    await editor.ingest("kb", {"warm.txt": "年假十五天。".encode()})  # loads models
    _calls.clear()
    _is_watching = True
    yield Guard(editor, settings, tmp_path, trap)
    _is_watching = False
    elsewhere = [call for call in _calls if isinstance(call, tuple) and call[0] not in ("127.0.0.1", "::1")]
    assert elsewhere == []


async def test_names(guard: Guard) -> None:
    for case in NAMES:
        begun = time.monotonic()
        answer = await _send_name(guard.editor, case)
        label = f"{case.id} {case.name!r}"
        if answer.status_code not in case.status:
            guard.note(label, f"answered {answer.status_code}: {answer.text[:300]}")
        elif case.code and answer.json()["error"]["code"] != case.code:
            guard.note(label, f"code {answer.json()['error']['code']}")
        await guard.look(label, begun, answer.text)
    assert guard.editor.worker is not None
    await guard.editor.worker.run_until_idle()
    documents = await guard.editor.documents("kb")
    assert {item["state"] for item in documents.values()} == {"ready"}
    assert len([name for name in documents if name.casefold() == "a.txt"]) == 1
    for name in documents:  # and each can be fetched under its name, with one header
        answer = await guard.editor.get(
            "/knowledge_base/download_doc", knowledge_base_name="kb", file_name=name
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers.get("set-cookie") is None
        # Nothing that came from outside is shown in the place of a page.
        assert answer.headers["content-disposition"].startswith("attachment;")
    assert not guard.faults, "\n".join(guard.faults)


async def _send_name(editor: Caller, case: Name) -> httpx2.Response:
    name = case.name if isinstance(case.name, bytes) else case.name.encode()
    head = b'Content-Disposition: form-data; name="files"; filename="%s"' % name.replace(b'"', b"%22")
    kb = b'--XX\r\nContent-Disposition: form-data; name="knowledge_base_name"\r\n\r\nkb\r\n'
    body = kb + b"--XX\r\n" + head + b"\r\n\r\n" + "年假十五天。".encode() + b"\r\n--XX--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    return await editor.http.post(PATH, content=body, headers=headers)


@pytest.mark.parametrize("part", range(3))
async def test_contents(guard: Guard, trap: Trap, part: int) -> None:
    for number, case in enumerate(CONTENTS[part::3]):
        begun = time.monotonic()
        label = f"{case.id} {case.name} ({number * 3 + part})"
        end, text, found = await _read(guard.editor, case, trap.url)
        if end not in case.ends:
            guard.note(label, f"ended {end!r}: {text[:300]}")
        elif end == "ready" and (case.says not in text or (case.hides and case.hides in text)):
            guard.note(label, f"reads {text[:200]!r}")
        if case.counts and not found.get(case.counts):
            guard.note(label, f"counted {found}")
        await guard.look(label, begun, "" if end == "ready" else text)
    assert not guard.faults, "\n".join(guard.faults)


async def _read(editor: Caller, case: Content, url: str) -> tuple[str, str, dict[str, Any]]:
    """How it ended, its text or what was said, and what was found."""
    answer = await editor.upload("kb", {case.name: case.make(url)}, override=True)
    if answer.status_code != 200:
        return f"{answer.status_code} {answer.json()['error']['code']}", answer.text, {}
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    document = (await editor.documents("kb"))[case.name]
    # What is not read is listed with its reason, and never ready without anything in it.
    assert document["state"] in ("ready", "failed"), document
    if document["state"] == "failed":
        end, text = document["error_code"], document["reason"]
        assert text
    else:
        assert document["chunks"] > 0
        hits = await editor.search("kb", case.says or "年假", top_k=5, file_name=case.name, score_threshold=1)
        end, text = "ready", "\n".join(hit["page_content"] for hit in hits)
    body = {"knowledge_base_name": "kb", "file_names": [case.name], "delete_content": True}
    assert (await editor.post("/knowledge_base/delete_docs", body)).status_code == 200
    return end, text, document["findings"]


async def test_protocol(guard: Guard) -> None:
    for case in REQUESTS:
        begun = time.monotonic()
        status, text = await _send(guard.editor, case)
        if status not in case.status:
            guard.note(case.id, f"answered {status}: {text[:300]}")
        await guard.look(case.id, begun, text)
    assert not guard.faults, "\n".join(guard.faults)


async def _send(editor: Caller, case: Request) -> tuple[int, str]:
    """Status and body; 0 when the connection ended without an answer."""
    url = editor.http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lengths = (str(len(case.body)),) if case.lengths is None else case.lengths
    headers = [
        ("Host", f"{url.host}:{url.port}"),
        ("Authorization", editor.http.headers["Authorization"]),
        *case.headers,
    ]
    headers += (
        [("Transfer-Encoding", "chunked")]
        if case.is_chunked
        else [("Content-Length", one) for one in lengths]
    )
    head = (
        f"POST {PATH} HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers)
        + "Connection: close\r\n\r\n"
    )
    sending = asyncio.create_task(_write(writer, head.encode(), case))
    try:
        async with asyncio.timeout(SECONDS):
            answer = await reader.read()
    except ConnectionResetError:
        answer = b""
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()
    if not answer:
        return 0, ""
    first, _, rest = answer.partition(b"\r\n")
    return int(first.split()[1]), rest.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")


async def _write(writer: asyncio.StreamWriter, head: bytes, case: Request) -> None:
    writer.write(head)
    for start in range(0, len(case.body), 256 * 1024):
        block = case.body[start : start + 256 * 1024]
        writer.write(b"%x\r\n%s\r\n" % (len(block), block) if case.is_chunked else block)
        await writer.drain()
    if case.is_chunked:
        writer.write(b"0\r\n\r\n")
    if case.leaves:
        writer.write_eof()


async def test_questions(guard: Guard) -> None:
    for case, query, expected in QUERIES:
        begun = time.monotonic()
        body = {"query": query, "knowledge_base_name": "kb"}
        answer = await guard.editor.post("/knowledge_base/search_docs", body)
        if answer.status_code not in expected:
            guard.note(case, f"answered {answer.status_code}: {answer.text[:300]}")
        await guard.look(case, begun, "" if answer.status_code == 200 else answer.text)
    assert not guard.faults, "\n".join(guard.faults)


def test_the_catalogue_is_whole() -> None:
    """B59 cannot happen: an upload's bytes are ours alone before anything looks at them."""
    cases = (
        {case.id for case in NAMES}
        | {case.id for case in CONTENTS}
        | {case.id.split()[0] for case in REQUESTS}
    )
    cases |= {case.split()[0] for case, _, _ in QUERIES}
    assert cases == {f"B{n:02}" for n in range(1, 71)} - {"B59"} | {"B103"}
